"""docs/scanners.md lists each open finding of cdk-nag and checkov, and the settings that close some."""

import contextlib
import functools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import aws_cdk as cdk
import cdk_nag
import pytest

from sim.synthesis import Template, build, new_app, synthesise
from tests.documents import PROJECT
from tests.infra.test_sandbox_stack import ENDPOINTS, KEY, sandbox

pytestmark = pytest.mark.shipped

PACKS: dict[str, Callable[[cdk.App], cdk_nag.NagPack]] = {
    "AwsSolutions": cdk_nag.AwsSolutionsChecks,
    "HIPAA": cdk_nag.HIPAASecurityChecks,
    "NIST R4": cdk_nag.NIST80053R4Checks,
    "NIST R5": cdk_nag.NIST80053R5Checks,
    "PCI": cdk_nag.PCIDSS321Checks,
    "Serverless": cdk_nag.ServerlessChecks,
}
COMPANY = {
    "kmsKeyArn": KEY,
    "subnetIds": "subnet-0123456789abcdef0",
    "securityGroupIds": "sg-0123456789abcdef0",
    "tracing": "true",
}
Findings = frozenset[tuple[str, str]]


@functools.cache
def findings(*, with_settings: bool) -> Findings:
    """Each finding's rule and pack; the synthesis fails because there are any, and leaves a report."""
    with tempfile.TemporaryDirectory() as folder:
        app = new_app(folder)
        cdk.Validations.of(app).add_plugins(*(pack(app) for pack in PACKS.values()))
        build("prod", app=app, alarmEmails="ops@example.com", **(COMPANY if with_settings else {}))
        with contextlib.suppress(RuntimeError):
            app.synth()
        report = json.loads(Path(folder, "validation-report.json").read_text("utf-8"))
    found = set()
    for plugin in report["pluginReports"]:
        for violation in plugin["violations"]:
            pack, _, rule = violation["ruleName"].rpartition("-")
            found.add((rule, _pack(pack or plugin["pluginName"])))
    return frozenset(found)


def _pack(name: str) -> str:
    """`NIST.800.53.R5` is the page's NIST R5."""
    return next(pack for pack in PACKS if pack.split()[0] in name and pack.split()[-1] in name)


def rows() -> dict[str, list[str]]:
    """The page's rows on cdk-nag, by the rule."""
    table = (PROJECT / "docs/scanners.md").read_text("utf-8").split("**checkov**")[0]
    cells = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line[:2] == "| "
    )
    return {rule: rest for rule, *rest in cells if re.fullmatch("[A-Za-z]+", rule)}


def test_the_page_lists_each_finding_with_its_packs() -> None:
    """A company's reviewers read it beside their own report."""
    listed = {(rule, pack) for rule, (packs, *_) in rows().items() for pack in packs.split(", ")}
    assert listed == findings(with_settings=False) | findings(with_settings=True)


def test_a_setting_that_closes_a_finding_does_so() -> None:
    """And the others stay, with a reason."""
    left = {rule for rule, _ in findings(with_settings=True)}
    closed = {rule for rule, (_, setting, _) in rows().items() if setting and not setting.startswith("no ")}
    assert rows().keys() - left == closed
    only_by_settings = left - {rule for rule, _ in findings(with_settings=False)}
    assert only_by_settings == {rule for rule, (_, setting, _) in rows().items() if setting.startswith("no ")}
    assert [rule for rule, (*_, reason) in rows().items() if not reason] == []


def checkov(folder: Path, *templates: Template) -> list[str]:
    """The rule of each finding, once for each resource that it is about."""
    files = []
    for number, template in enumerate(templates):
        file = folder / f"{number}.json"
        file.write_text(json.dumps(template), "utf-8")
        files += ["--file", str(file)]
    program = shutil.which("checkov") or ""
    words = [program, "--quiet", "--compact", "--output", "json", "--skip-download", *files]
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)  # noqa: S603
    return [each["check_id"] for each in json.loads(done.stdout)["results"]["failed_checks"]]


@pytest.mark.skipif(shutil.which("checkov") is None, reason="checkov is installed for the nightly run only")
def test_the_page_lists_each_finding_of_checkov(tmp_path: Path) -> None:
    """It brings 70 packages, so it is none of ours: .github/workflows/check.yml pins its version."""
    text = (PROJECT / "docs/scanners.md").read_text("utf-8").split("**checkov**")[1]
    listed: dict[str, tuple[str, str]] = {}
    for line in re.findall(r"^\| CKV.*", text, re.MULTILINE):
        what, setting, _reason = (cell.strip() for cell in line.split("|")[1:-1])
        listed |= dict.fromkeys(re.findall(r"CKV\w+", what), (what, setting))
    dev, prod, company = (
        checkov(tmp_path, *templates)
        for templates in (synthesise("dev"), synthesise("prod"), synthesise("prod", **COMPANY))
    )
    in_sandbox = {*checkov(tmp_path, *(sandbox(endpoint, kmsKeyArn=KEY) for endpoint in ENDPOINTS))}
    assert {*dev, *prod, *company, *in_sandbox} == listed.keys()
    assert in_sandbox - {*dev} == {rule for rule, (what, _) in listed.items() if "dev's sandbox" in what}
    assert not {rule for rule in in_sandbox if listed[rule][1] == "`kmsKeyArn`"}
    assert len(prod) == 10
    assert {*dev} - {*prod} == {rule for rule, (what, _) in listed.items() if what.endswith("only in dev")}
    assert {*company} - {*prod} == {rule for rule, (what, _) in listed.items() if "only with" in what}
    assert {*dev, *prod} - {*company} == {
        rule for rule, (what, setting) in listed.items() if setting and "sandbox" not in what
    }
