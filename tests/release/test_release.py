"""What `make release` makes, by the process that makes it; and when it refuses."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.bundling import PROJECT
from infra.version import VERSION
from release.__main__ import ReleaseError, check_source
from tests.repository import ENVIRONMENT, git, publish


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit, which has the version's tag."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "file.txt").write_text("first\n", "utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "First")
    git(tmp_path, "tag", f"v{VERSION}")
    return tmp_path


def test_a_clean_tag_is_released(checkout: Path) -> None:
    """And nothing else is: see below."""
    check_source(checkout)


def test_a_changed_file_is_refused_by_name(checkout: Path) -> None:
    """What is released must be what the tag holds."""
    (checkout / "new.txt").touch()
    with pytest.raises(ReleaseError, match=r"^1 files differ .*, the first is new\.txt: commit them, or"):
        check_source(checkout)


def test_a_commit_without_the_version_s_tag_is_refused(checkout: Path) -> None:
    """A release is found again by its tag."""
    git(checkout, "commit", "-q", "--allow-empty", "-m", "Second")
    with pytest.raises(ReleaseError, match=rf"^This commit has no tag v{re.escape(VERSION)}: git tag"):
        check_source(checkout)


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    """A downloaded archive has no tag."""
    with pytest.raises(ReleaseError, match="in a git checkout, and this is none"):
        check_source(tmp_path)


def make_release(clone: Path, umask: int) -> Path:
    """`python -m release` in a clone; its dist/."""
    done = subprocess.run(
        [sys.executable, "-m", "release"],
        cwd=clone,
        env=ENVIRONMENT,
        umask=umask,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return clone / "dist"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this project's files as they are now, and the version's tag."""
    folder = tmp_path_factory.mktemp("upstream")
    publish(folder)
    git(folder, "tag", f"v{VERSION}")
    return folder


@pytest.fixture(scope="module")
def dist(upstream: Path) -> Path:
    """One release, for all tests that only look at it."""
    git(upstream, "clone", "-q", ".", "../clone")
    return make_release(upstream.parent / "clone", 0o022)


@pytest.mark.shipped
def test_two_fresh_clones_give_the_same_bytes(dist: Path, upstream: Path, tmp_path: Path) -> None:
    """Folder and umask make no difference, so anybody can make a release anew and compare."""
    git(tmp_path, "clone", "-q", str(upstream), "another-name")
    again = make_release(tmp_path / "another-name", 0o077)
    assert {each.name for each in dist.iterdir()} == {
        "SHA256SUMS",
        f"lead-delivery-{VERSION}.cdx.json",
        f"lead-delivery-{VERSION}.function.zip",
        f"lead-delivery-{VERSION}.template.json",
        f"lead_delivery_cdk-{VERSION}-py3-none-any.whl",
        f"leadctl-{VERSION}-py3-none-any.whl",
    }
    for file in dist.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name
    for line in (dist / "SHA256SUMS").read_text("ascii").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest


@pytest.mark.shipped
def test_the_construct_s_wheel_has_the_function_and_the_commit(dist: Path) -> None:
    """It is enough for a team's CDK app: no lock file, no uv, no git."""
    with zipfile.ZipFile(dist / f"lead_delivery_cdk-{VERSION}-py3-none-any.whl") as wheel:
        commit = wheel.read("lead_delivery_cdk/commit.txt").decode().strip()
        function = wheel.read("lead_delivery_cdk/bundle.zip")
        names = wheel.namelist()
    assert git(dist.parent, "rev-parse", "HEAD").startswith(commit)
    assert function == (dist / f"lead-delivery-{VERSION}.function.zip").read_bytes()
    assert not [name for name in names if name.endswith((".pyc", ".toml")) and "pyproject" not in name]


@pytest.mark.shipped
def test_the_template_stands_alone(dist: Path) -> None:
    """It needs no CDK: its parameters name the zip and the topic; it passes cfn-lint, and says its version.

    The Terraform example gives what it takes.
    """
    text = (dist / f"lead-delivery-{VERSION}.template.json").read_text("utf-8")
    template = json.loads(text)
    assert template["Parameters"].keys() == {"CodeBucket", "CodeKey", "TopicArn"}
    example = (PROJECT / "docs/terraform/main.tf").read_text("utf-8")
    [given] = re.findall(r"parameters = \{(.*?)\}", example, re.DOTALL)
    assert set(re.findall(r"^ +(\w+) +=", given, re.MULTILINE)) == template["Parameters"].keys()
    for kind in ("function.zip", "template.json"):
        assert f"lead-delivery-${{var.release}}.{kind}" in example
        assert (dist / f"lead-delivery-{VERSION}.{kind}").exists()
    assert set(re.findall(r'outputs\["(\w+)"\]', example)) <= template["Outputs"].keys()
    assert "cdk-hnb659fds" not in text
    assert "GetStackOutput" not in text
    assert template["Outputs"]["Version"]["Value"] == VERSION
    assert git(dist.parent, "rev-parse", "HEAD").startswith(template["Outputs"]["Commit"]["Value"])
    # What Terraform's and the console's users acknowledge is CAPABILITY_IAM, which named roles would refuse.
    assert not re.search('"(RoleName|ManagedPolicyName)"', text)
    from cfnlint.api import lint_all  # type: ignore[import-untyped]

    assert [str(match) for match in lint_all(text) if match.rule.id[0] != "I"] == []


@pytest.mark.shipped
def test_the_bill_of_materials_lists_what_is_in_the_function(dist: Path) -> None:
    """Each package with the version that is in the zip, and its licence."""
    with zipfile.ZipFile(dist / f"lead-delivery-{VERSION}.function.zip") as bundle:
        found = {name.split(".dist-info/")[0] for name in bundle.namelist() if ".dist-info/" in name}
    components = json.loads((dist / f"lead-delivery-{VERSION}.cdx.json").read_text("utf-8"))["components"]
    listed = {f"{each['name']}-{each['version']}".replace("-", "_").lower() for each in components}
    assert listed == {name.replace("-", "_").lower() for name in found}
    assert len(listed) > 8
    assert [each["name"] for each in components if not each["licenses"]] == []


@pytest.mark.shipped
def test_a_template_with_settings_of_one_s_own_is_one_command(tmp_path: Path) -> None:
    """Who wants other settings than the release's makes the template from the checkout."""
    settings = tmp_path / "mine.toml"
    settings.write_text(
        'alarmTopicArn = "arn:aws:sns:eu-central-1:111122223333:on-call"\nmemoryMegabytes = 512\n'
    )
    done = subprocess.run(  # noqa: S603
        [
            sys.executable,
            "-m",
            "release",
            "--template",
            "prod",
            "--settings",
            settings,
            "--to",
            tmp_path / "t.json",
        ],
        cwd=PROJECT,
        env=ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert template["Parameters"].keys() == {"CodeBucket", "CodeKey"}
    assert '"MemorySize": 512' in (tmp_path / "t.json").read_text("utf-8")
