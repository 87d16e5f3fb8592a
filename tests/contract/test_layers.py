"""Who may import whom: the table in CONTRIBUTING.md, held to the code by reading its imports."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = {
    "deliver_leads": PROJECT / "lambdas",
    "infra": PROJECT,
    "leadctl": PROJECT,
    "local": PROJECT,
    "prove": PROJECT,
    "release": PROJECT,
    "sim": PROJECT,
    "bench": PROJECT,
}
STANDARD_LIBRARY = "standard library"
# What a module may import of this project; the row with the longest name that fits a module counts. The
# standard library in a row excludes other people's packages.
LAYERS: Mapping[str, tuple[str, ...]] = {
    "deliver_leads": ("deliver_leads",),
    "deliver_leads.contract": (STANDARD_LIBRARY,),
    "deliver_leads.dynamodb_notation": (STANDARD_LIBRARY,),
    "deliver_leads.outcome": (STANDARD_LIBRARY, "deliver_leads.contract"),
    "deliver_leads.event": (
        STANDARD_LIBRARY,
        "deliver_leads.contract",
        "deliver_leads.event",
        "deliver_leads.outcome",
    ),
    "deliver_leads.event.address": ("deliver_leads.event",),
    "deliver_leads.event.mapping_functions": ("deliver_leads.event",),
    "infra": (
        "infra",
        "deliver_leads.contract",
        "deliver_leads.event.address",
        "deliver_leads.event.mapping_functions",
    ),
    "leadctl": (
        "leadctl",
        "deliver_leads.contract",
        "deliver_leads.dynamodb_notation",
        "deliver_leads.event",
    ),
    "leadctl.importing": ("leadctl.importing", "deliver_leads.contract", "deliver_leads.event"),
    "local": ("local",),
    "local.sandbox": ("local.sandbox",),
    "local.stack": ("local.stack",),
    "local.sample": (
        "local.sample",
        "local.stack",
        "local.publishing",
        "local.judge",
        "local.run_file",
        "local.staying",
        "local.steps",
        "local.supervised_run",
    ),
    "local.dev": (
        "local.dev",
        "local.stack",
        "local.run_file",
        "local.staying",
        "local.steps",
        "local.supervised_run",
    ),
    "local.page": ("local.page", "local.stack", "local.publishing"),
    "local.chaos": (
        "local.chaos",
        "local.stack",
        "local.publishing",
        "local.judge",
        "local.supervised_run",
        "sim.mutants",
    ),
    "prove": ("prove", "local.stack", "bench.cost"),
    "release": ("release", "app", "infra"),
    "sim": ("sim", "app", "infra", "deliver_leads"),
    "sim.mutants": (STANDARD_LIBRARY,),
    "bench": (
        "bench",
        "infra.runtime_python",
        "infra.version",
        "leadctl.importing",
        "local.publishing",
        "local.stack",
        "sim.expressions",
        "sim.partiql",
        "sim.settings",
    ),
    "bench.cost": ("bench", "infra.config"),
    "bench.scale": (
        "bench",
        "infra.config",
        "deliver_leads.breaker",
        "deliver_leads.outcome",
        "deliver_leads.pace",
        "deliver_leads.retry_policy",
    ),
}


def is_part(module: str, package: str) -> bool:
    """Whether the module is the package or inside it."""
    return module == package or module.startswith(f"{package}.")


def read_modules(roots: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Every module of the project with its source."""
    for package, root in roots.items():
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts), path.read_text("utf-8")


def imported(module: str, source: str) -> Iterator[str]:
    """The modules that the source imports, wherever in it: also in functions and for type checkers only."""
    package = module.removesuffix(".__init__").split(".")
    package = package if module.endswith(".__init__") else package[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{base}.{name.name}" if base in ROOTS else base for name in node.names)


def violations(module: str, source: str) -> list[str]:
    """What the module imports and may not."""
    name = module.removesuffix(".__init__")
    row = max((package for package in LAYERS if is_part(name, package)), key=len)
    allowed = LAYERS[row]
    found = []
    for other in imported(module, source):
        top = other.split(".")[0]
        is_ours = top in ROOTS or top == "tests"
        if is_ours and not any(is_part(other, package) for package in (row, *allowed)):
            found.append(f"{name} imports {other}")
        if not is_ours and STANDARD_LIBRARY in allowed and top not in sys.stdlib_module_names:
            found.append(f"{name} imports {other}")
    return found


def test_no_module_imports_what_its_row_of_the_table_leaves_out() -> None:
    """The function ships without the rest, its judges share no code with it, and none imports from tests."""
    modules = list(read_modules(ROOTS))
    assert len(modules) > 50
    assert [line for module, source in modules for line in violations(module, source)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("local.judge", "from deliver_leads.event.lead import Operation"),
        ("local.sample.report", "import deliver_leads.contract"),
        ("local.sample.report", "from local.chaos import events"),
        ("local.page.history", "from deliver_leads.outcome import Outcome"),
        ("local.sandbox.app", "def f():\n    from local import publishing"),
        ("deliver_leads.event.lead", "from aws_lambda_powertools import Logger"),
        ("deliver_leads.event.lead", "from ..ledger import Ledger"),
        ("deliver_leads.contract", "import requests"),
        ("deliver_leads.batch", "from infra import config"),
        ("infra.config", "from deliver_leads.event.lead import MANDATORY"),
        ("leadctl.commands.find", "from deliver_leads.ledger import Ledger"),
        ("leadctl.importing.importer", "from leadctl.target import Target"),
        ("leadctl.target", "from local.stack import deployment"),
        ("infra.config", "if TYPE_CHECKING:\n    from local.stack import emulator"),
        ("infra.config", "from sim.settings import ENVIRONMENT"),
        ("sim.explore.judge", "from tests.clock import Clock"),
        ("sim.mutants", "from deliver_leads import contract"),
        ("bench.dynamodb", "from tests.ledger_table import TABLE"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    """Relative ones, ones inside a function and ones for type checkers too."""
    assert violations(module, source) != []


def test_the_table_in_contributing_is_this_one() -> None:
    """A contributor reads the table there."""
    text = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.split("## Who may import whom")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)
    written = {package: tuple(name.strip(" `") for name in names.split(",")) for package, names in rows}
    assert written == dict(LAYERS)
