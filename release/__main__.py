"""Makes the files of a release in dist/: the same commit gives the same bytes.

python -m release                     of the tag v<version>, from a checkout without changes
python -m release --draft             of whatever is there, to try it
python -m release --template prod     only the template, with the settings of a stage of yours
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import app  # noqa: F401 - it comes first: it makes deliver_leads known, and jsii quiet
from infra.bundling import PROJECT, BundlingError, build_bundle, write_zip
from infra.config import ConfigError, DeploymentConfig
from infra.runtime_python import RUNTIME_VERSION, find_runtime_python
from infra.stage_settings import STAGE_DEFAULTS, stage_config
from infra.version import VERSION, commit
from release.bill_of_materials import write_bill_of_materials
from release.template import write_template

DIST = PROJECT / "dist"
CHECKSUMS = "SHA256SUMS"


class ReleaseError(Exception):
    """There can be no release; the text says why, and what to do."""


def main() -> None:
    """Ends with status 1 and a sentence for a person when there can be no release."""
    parser = argparse.ArgumentParser(prog="python -m release", description="Makes a release in dist/.")
    parser.add_argument("--draft", action="store_true", help="also with changes, and without a tag")
    parser.add_argument("--template", metavar="STAGE", help="only the template, with this stage's settings")
    parser.add_argument("--settings", metavar="FILE", help="another file than settings/<stage>.toml")
    parser.add_argument("--to", metavar="FILE", type=Path, help="where to write that template")
    given = parser.parse_args()
    try:
        if given.template:
            print(_only_template(given.template, given.settings, given.to))
            return
        if not given.draft:
            check_source()
        make_release()
    except (ReleaseError, BundlingError, ConfigError) as error:
        sys.exit(str(error))
    print((DIST / CHECKSUMS).read_text("ascii"), end="")
    if given.draft:
        print("This is a draft. A release comes from its tag, without --draft.")


def check_source(project: Path = PROJECT) -> None:
    """Raises `ReleaseError` unless HEAD has the version's tag and no file differs from it."""
    tag = f"v{VERSION}"
    try:
        changed, tags = (
            _git(project, *words).splitlines()
            for words in (("status", "--porcelain"), ("tag", "--points-at", "HEAD"))
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise ReleaseError("A release is made in a git checkout, and this is none.") from None
    if changed:
        raise ReleaseError(
            f"{len(changed)} files differ from the commit, the first is {changed[0][3:]}: commit them, or "
            "try it with make release DRAFT=1."
        )
    if tag not in tags:
        raise ReleaseError(
            f"This commit has no tag {tag}: git tag {tag}, or try it with make release DRAFT=1."
        )


def make_release() -> None:
    """Writes all files. Raises `ReleaseError`, `BundlingError`."""
    if find_runtime_python() is None:
        raise ReleaseError(
            f"CPython {RUNTIME_VERSION} is missing, which compiles the function's bundle: "
            f"uv python install {RUNTIME_VERSION}."
        )
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    # All dates in the files are the commit's.
    seconds = int(_git(PROJECT, "log", "-1", "--format=%ct"))
    bundle_zip, commit_file = DIST / "bundle.zip", DIST / "commit.txt"
    commit_file.write_text(f"{commit()}\n", "ascii")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle")
        build_bundle(bundle)
        write_zip(bundle, bundle_zip)
        write_bill_of_materials(bundle, DIST / f"lead-delivery-{VERSION}.cdx.json", seconds)
    for package in ("leadctl", "infra"):
        _build_wheel(PROJECT / package, seconds)
    commit_file.unlink()
    bundle_zip.rename(DIST / f"lead-delivery-{VERSION}.function.zip")
    write_template(
        DeploymentConfig.read("prod", STAGE_DEFAULTS["prod"], {}),
        DIST / f"lead-delivery-{VERSION}.template.json",
    )
    sums = (
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in sorted(DIST.iterdir())
    )
    (DIST / CHECKSUMS).write_text("".join(sums), "ascii")


def _only_template(stage: str, settings: str | None, to: Path | None) -> Path:
    path = to or DIST / f"LeadDelivery-{stage}.template.json"
    path.parent.mkdir(exist_ok=True)
    write_template(stage_config({"stage": stage} | ({"settings": settings} if settings else {})), path)
    return path


def _build_wheel(folder: Path, seconds: int) -> None:
    """By the backend that the folder's pyproject.toml names, in the lock's version."""
    done = subprocess.run(  # noqa: S603 - the project's own folders
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(DIST)],
        cwd=folder,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ReleaseError(f"The wheel of {folder.name} can't be built:\n{done.stdout}{done.stderr}")


def _git(project: Path, *words: str) -> str:
    return subprocess.run(  # noqa: S603 - no word comes from outside
        ["git", *words],  # noqa: S607
        cwd=project,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


if __name__ == "__main__":
    main()
