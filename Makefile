# `make` lists the targets. Set-up (.venv, .emulator, node_modules) is done when a target needs it, and done anew only
# when the lock files change.

PYTHON ?= python3
SHELL := /bin/sh
VENV := .venv/bin
STAGE ?= dev

CHECK_NODE = node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || { \
		echo "Node.js 20 or newer is needed, on PATH as node: https://nodejs.org"; exit 1; }

FIND_PYTHON = 'import sys; from infra.runtime_python import find_runtime_python as find; print(find() or sys.executable)'

# A company's proxy may be known to the system's certificate store only, which uv ignores unless told.
export UV_SYSTEM_CERTS ?= true

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run dev env check test chaos explore bench lint types quick-tests all-tests lock synth clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /: /' | awk -F': ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

run: .emulator/ready node_modules/ready ## Run the deployed stack on this machine with a few hundred lead events
	@$(VENV)/python -m local.sample

dev: .emulator/ready node_modules/ready ## Run the deployed stack until Ctrl-C (PORT=, PAGE_PORT=, SANDBOX_PORT=, STATE=)
	@$(VENV)/python -m local.dev $(if $(PORT),--port $(PORT)) $(if $(PAGE_PORT),--page-port $(PAGE_PORT)) \
		$(if $(SANDBOX_PORT),--sandbox-port $(SANDBOX_PORT)) $(if $(STATE),--state $(STATE))

env: .venv/ready ## Print what a shell or .env file needs to publish to the local run
	@$(VENV)/python -m local.environment

check: .venv/ready ## Lint, check types, run all tests that need no emulator (under a minute)
	@$(CHECK_NODE)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint types quick-tests

test: .emulator/ready node_modules/ready ## Lint, check types, run all tests, the deployed stack included (10 minutes)
	@begun=$$(date +%s); status=0; \
	$(MAKE) --no-print-directory --keep-going lint types all-tests || status=1; \
	echo "make test took $$(($$(date +%s) - begun)) s"; exit $$status

chaos: .emulator/ready node_modules/ready ## Prove the delivery guarantees under faults (SEED=, LEADS=; about 15 minutes)
	@$(VENV)/python -m local.chaos $(if $(SEED),--seed $(SEED)) $(if $(LEADS),--leads $(LEADS))
	@$(VENV)/python -m local.chaos --fifo --leads 200 --kills 3 --outage-hours 2 $(if $(SEED),--seed $(SEED))

explore: .venv/ready ## Search for a history that breaks a promise (SEED=, WALKS=; about 12 minutes)
	@$(VENV)/python -m tests.explore $(if $(SEED),--seed $(SEED)) $(if $(WALKS),--walks $(WALKS))

bench: .emulator/ready node_modules/ready ## Measure speed and cost, write docs/measurements.md (PARTS=, SEED=; 15 minutes)
	@$(VENV)/python -m bench $(PARTS) $(if $(SEED),--seed $(SEED))

lint: .venv/ready
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .

types: .venv/ready
	$(VENV)/mypy

quick-tests: .venv/ready
	$(VENV)/python -m pytest -q -m "not e2e" -n 3 --dist loadgroup

# More workers than two cores, because end-to-end tests mostly wait.
all-tests: .emulator/ready node_modules/ready
	$(VENV)/python -m pytest -q -n 5 --dist loadgroup --cov --cov-report=term

synth: .venv/ready node_modules/ready ## Write the CloudFormation templates to cdk.out (STAGE=dev or prod)
	node node_modules/aws-cdk/bin/cdk synth --quiet -c stage=$(STAGE)

lock: .venv/ready ## Pin the newest versions of all packages anew
	$(VENV)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --python-version 3.11 \
		--group deploy --group leadctl --group local --group test --output-file requirements.lock pyproject.toml

clean: ## Remove everything that was built or installed
	rm -rf .venv .emulator node_modules cdk.out .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs the rest, because it is ten times as fast as pip. It comes from the same lock file, with its hashes.
.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, but '$(PYTHON)' is not: name another, e.g. make run PYTHON=python3.12"; \
		exit 1; }
	$(PYTHON) -m venv .venv
	awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > .venv/uv.lock
	$(VENV)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock
	$(VENV)/uv pip sync --quiet --compile-bytecode --python $(VENV)/python --require-hashes requirements.lock
	@touch $@

# The emulator's own environment is visible to the function, so it holds no more than the emulator needs: `cryptography`
# signs the tokens of the emulated Cognito. With a Python 3.13 at hand, the function runs on its own version.
.emulator/ready: requirements.lock .venv/ready
	@$(CHECK_NODE)
	python=$$($(VENV)/python -c $(FIND_PYTHON)) && \
		$(VENV)/uv venv --quiet --clear --python "$$python" .emulator
	$(VENV)/uv pip install --quiet --python .emulator/bin/python --require-hashes -c requirements.lock \
		$$(sed -nE 's/^((ministack|cryptography)==[^ ]+) .*/\1/p' requirements.lock)
	@touch $@

node_modules/ready: package.json package-lock.json
	@$(CHECK_NODE)
	npm ci --silent
	@touch $@
