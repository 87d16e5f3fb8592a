"""The pages and workflows about releases: what they name exists, and no action can be changed under them."""

import json
import re
import tomllib

import pytest
import yaml  # type: ignore[import-untyped]

from infra.version import VERSION
from tests.documents import PROJECT

WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))
TERRAFORM = PROJECT / "docs/terraform/main.tf"


def pipeline() -> str:
    """The workflow of the page about pipelines."""
    [block] = re.findall(r"^```yaml\n(.*?)^```$", read("docs/pipeline.md"), re.DOTALL | re.MULTILINE)
    return str(block)


def read(name: str) -> str:
    """A file's text."""
    return (PROJECT / name).read_text("utf-8")


@pytest.mark.parametrize("text", [*(path.read_text("utf-8") for path in WORKFLOWS), pipeline()])
def test_actions_are_pinned_by_hash_with_their_version_beside_it(text: str) -> None:
    """A tag can be moved to other code; Dependabot reads the version from the comment."""
    uses = re.findall(r"uses: (.*)$", text, re.MULTILINE)
    assert uses
    assert [
        use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)
    ] == []
    assert yaml.safe_load(text)["jobs"]


def test_the_same_action_has_the_same_hash_everywhere() -> None:
    """Dependabot doesn't look into the documents."""
    texts = [*(path.read_text("utf-8") for path in WORKFLOWS), pipeline()]
    pinned: dict[str, set[str]] = {}
    for action, version in re.findall(r"uses: ([^@]+)@(.*)$", "\n".join(texts), re.MULTILINE):
        pinned.setdefault(action, set()).add(version)
    assert [action for action, versions in pinned.items() if len(versions) > 1] == []


def test_the_pipeline_deploys_prod_after_dev_and_by_an_environment() -> None:
    """The environment is what somebody approves; the role's trust names it."""
    jobs = yaml.safe_load(pipeline())["jobs"]
    assert jobs["prod"]["needs"] == "dev"
    assert {name: job["environment"] for name, job in jobs.items()} == {
        "diff": "diff",
        "dev": "dev",
        "prod": "prod",
    }
    assert ':environment:prod"' in read("docs/pipeline.md")


def test_the_changelog_and_the_documents_name_this_version() -> None:
    """The last release of the changelog is the version that everything says it is."""
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE)
    assert releases[0][0] == VERSION
    assert tomllib.loads(read("pyproject.toml"))["project"]["version"] == VERSION
    for name in ("SECURITY.md", "docs/construct.md", "docs/terraform/main.tf"):
        named = set(re.findall(r"(?:[-v]|\")(\d+\.\d+\.\d+)(?=[-.\"` ])", read(name)))
        assert named == {VERSION}, name


def test_the_terraform_example_is_in_form() -> None:
    """Braces and quotes balance, each reference leads to a declaration; CI runs `terraform validate`."""
    text = re.sub(r"#.*$", "", TERRAFORM.read_text("utf-8"), flags=re.MULTILINE)
    assert text.count("{") == text.count("}")
    assert text.count('"') % 2 == 0
    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    declared = {
        f"{kind}.{name}" for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE)
    }
    used = set(re.findall(r"(?<!data\.)\b(aws_\w+\.\w+)(?=[.\[])", text))
    assert used <= declared


def test_dependabot_watches_pip_npm_and_actions() -> None:
    """Each in the folder in which its files are."""
    updates = yaml.safe_load(read(".github/dependabot.yml"))["updates"]
    assert {each["package-ecosystem"]: each["directory"] for each in updates} == {
        "pip": "/",
        "npm": "/",
        "github-actions": "/",
    }


def test_every_path_of_codeowners_exists() -> None:
    """A line for a file that was renamed protects nothing."""
    lines = [line for line in read(".github/CODEOWNERS").splitlines() if line and line[0] not in "#*"]
    assert lines
    assert [line for line in lines if not (PROJECT / line.split()[0].lstrip("/")).exists()] == []


def test_the_pipeline_s_policies_are_json_documents() -> None:
    """They are pasted as they are."""
    blocks = re.findall(r"^```json\n(.*?)^```$", read("docs/pipeline.md"), re.DOTALL | re.MULTILINE)
    assert [json.loads(block)["Version"] for block in blocks] == ["2012-10-17"] * 2
