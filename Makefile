# `make` lists the targets. Set-up (.venv, .emulator, node_modules) is done when a target needs it, and done anew only
# when the lock files change; the tests' packages come when a target needs them.

PYTHON ?= python3
SHELL := /bin/sh
VENV := .venv/bin
STAGE ?= dev

# 20 gets no more fixes, and the CDK warns of it, but all works with it.
CHECK_NODE = node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || { \
		echo "Node.js 22 or newer is needed, on PATH as node: https://nodejs.org"; exit 1; }

FIND_PYTHON = 'import sys; from infra.runtime_python import find_runtime_python as find; print(find() or sys.executable)'

# The certificate of a company's proxy may be in the system's store only, which uv ignores without this.
export UV_SYSTEM_CERTS ?= true
# A package is compiled when it is first imported: compiling all of them takes a minute and a third of a gigabyte. With this
# variable set, each process would compile anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run dev env prove check test chaos explore bench release lint types quick-tests other-tests all-tests lock synth clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /: /' | awk -F': ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

run: .emulator/ready node_modules/ready ## Run the deployed stack on this machine with a few hundred lead events
	@$(VENV)/python -m local.sample

dev: .emulator/ready node_modules/ready ## Run the deployed stack until Ctrl-C (PORT=, PAGE_PORT=, SANDBOX_PORT=, STATE=)
	@$(VENV)/python -m local.dev $(if $(PORT),--port $(PORT)) $(if $(PAGE_PORT),--page-port $(PAGE_PORT)) \
		$(if $(SANDBOX_PORT),--sandbox-port $(SANDBOX_PORT)) $(if $(STATE),--state $(STATE))

env: .venv/ready ## Print what a shell or .env file needs to publish to the local run
	@$(VENV)/python -m local.environment

prove: .venv/ready $(if $(LOCAL),.emulator/ready) node_modules/ready ## Deploy a stage that mails nobody, try it fact by fact, destroy it (STAGE=prove, LOCAL=1)
	@$(VENV)/python -m prove --stage $(if $(filter file,$(origin STAGE)),prove,$(STAGE)) $(if $(LOCAL),--local)

check: .venv/tests-ready ## Lint, check types, run the tests of the code in front of you
	@$(CHECK_NODE)
	@begun=$$(date +%s); status=0; \
	$(MAKE) --no-print-directory --jobs 4 --output-sync=target lint types quick-tests other-tests || status=1; \
	echo "make check took $$(($$(date +%s) - begun)) s"; exit $$status

test: .venv/tests-ready .emulator/ready node_modules/ready ## Lint, check types, run all tests, the deployed stack included (15 minutes)
	@begun=$$(date +%s); status=0; \
	$(MAKE) --no-print-directory --keep-going --jobs 2 lint types all-tests || status=1; \
	echo "make test took $$(($$(date +%s) - begun)) s"; exit $$status

chaos: .emulator/ready node_modules/ready ## Prove the delivery guarantees under faults (SEED=, LEADS=; about 15 minutes)
	@$(VENV)/python -m local.chaos $(if $(SEED),--seed $(SEED)) $(if $(LEADS),--leads $(LEADS))

explore: .venv/tests-ready ## Search for a history that breaks a promise (SEED=, WALKS=; half an hour)
	@$(VENV)/python -m sim.explore $(if $(SEED),--seed $(SEED)) $(if $(WALKS),--walks $(WALKS))

bench: .venv/tests-ready .emulator/ready node_modules/ready ## Measure speed and cost, write docs/measurements.md (PARTS=, SEED=; 17 minutes)
	@$(VENV)/python -m bench $(PARTS) $(if $(SEED),--seed $(SEED))

release: .venv/tests-ready ## Make a release's files in dist/, from the version's tag (DRAFT=1: to try it)
	@$(VENV)/python -m release $(if $(DRAFT),--draft)

lint: .venv/tests-ready
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .

types: .venv/tests-ready
	$(VENV)/mypy

# What needs the CDK runs in a process of its own, because importing it takes seconds. Three for the others, because some tests
# wait. The ignored folders hold tests with these markers only.
QUICK = $(VENV)/python -m pytest -q -m "not e2e and not shipped and not simulation" -p no:cov --hypothesis-profile=quick
APART = unit integration leadctl

quick-tests: .venv/tests-ready
	$(QUICK) -n 3 $(addprefix tests/,$(APART))

other-tests: .venv/tests-ready
	$(QUICK) -n 0 --ignore=tests/e2e --ignore=tests/sim $(addprefix --ignore=tests/,$(APART))

# More workers than two cores, because end-to-end tests mostly wait; in the order of tests/conftest.py.
all-tests: .venv/tests-ready .emulator/ready node_modules/ready
	$(VENV)/python -m pytest -q -n 6 --dist loadgroup --no-loadscope-reorder --cov --cov-report=term

synth: .venv/ready node_modules/ready ## Write the CloudFormation templates to cdk.out (STAGE=dev or prod)
	node node_modules/aws-cdk/bin/cdk synth --quiet -c stage=$(STAGE)

lock: .venv/ready ## Pin the newest versions of all packages anew
	$(VENV)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --python-version 3.11 \
		--group deploy --group emulator --group leadctl --group local --group release --group test --output-file requirements.lock pyproject.toml

clean: ## Remove everything that was built or installed
	rm -rf .venv .emulator node_modules cdk.out dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each step of the set-up is one line, with what it downloads on an empty machine. pip installs uv, and uv the rest, because it is
# ten times as fast. All comes in the lock file's versions, with its hashes.
STEP = @$(PYTHON) -m local.set_up_step
INSTALL = $(VENV)/uv pip install --require-hashes -c requirements.lock --exact

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, but '$(PYTHON)' is not: name another, e.g. make run PYTHON=python3.12"; \
		exit 1; }
	@$(CHECK_NODE)
	$(STEP) "1/4 uv, which installs the rest: 18 MB" sh -ec '$(PYTHON) -m venv .venv; \
		awk "/^[^ ]/ { wanted = /^uv==/ } wanted" requirements.lock > .venv/uv.lock; \
		$(VENV)/pip install --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock'
	$(STEP) "2/4 Python packages: 112 MB" $(INSTALL) --python $(VENV)/python \
		-r pyproject.toml --group deploy --group leadctl --group local
	@touch $@

.venv/tests-ready: .venv/ready
	$(STEP) "Linters, types and test packages: 55 MB" \
		$(VENV)/uv pip sync --python $(VENV)/python --require-hashes requirements.lock
	@touch $@

# The emulator's own environment is visible to the function, so it holds no more than the emulator needs. With a Python 3.13 at
# hand, the function runs on its own version.
.emulator/ready: requirements.lock .venv/ready
	@$(VENV)/python -c $(FIND_PYTHON) > .venv/function-python
	$(STEP) "3/4 The emulated AWS: 4 MB" sh -ec '$(VENV)/uv venv --clear --python "$$(cat .venv/function-python)" .emulator; \
		$(INSTALL) --python .emulator/bin/python --group emulator'
	@touch $@

node_modules/ready: package.json package-lock.json
	@$(CHECK_NODE)
	$(STEP) "4/4 The AWS CDK command line: 8 MB" npm ci
	@touch $@
