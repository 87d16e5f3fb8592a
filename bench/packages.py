"""The folders of packages that are measured: the bundle as it is deployed, and what it is compared with."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from infra.runtime_python import RUNTIME_VERSION, find_runtime_python

PROJECT = Path(__file__).resolve().parent.parent
# In a process of its own, because it starts the CDK's Node.js process, which would stay.
_BUILD = """
import sys
from pathlib import Path
from infra.bundling import build_bundle
build_bundle(Path(sys.argv[1]))
"""
_PLAIN = ("aws-lambda-powertools", "boto3", "jmespath", "requests")


class NoPythonError(Exception):
    """There is no CPython of the function's version on this machine."""


@dataclass(frozen=True)
class Packages:
    """`bundle` is the function's; `plain` holds the same versions of the packages, whole, for floor and peer.

    The `bare_` ones are copies of these without `.pyc` files.
    """

    python: Path
    bundle: Path
    plain: Path
    bare_bundle: Path
    bare_plain: Path
    zip_bytes: int
    unzipped_bytes: int


def build(folder: Path) -> Packages:
    """Builds all into `folder`. Raises `NoPythonError`."""
    python = find_runtime_python()
    if python is None:
        raise NoPythonError(
            f"there is no CPython {RUNTIME_VERSION} here: uv python install {RUNTIME_VERSION}"
        )
    bundle, plain = folder / "bundle", folder / "plain"
    silence = {
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    }
    environment = os.environ | silence | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'lambdas'}"}
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", _BUILD, str(bundle)], check=True, cwd=PROJECT, env=environment
    )
    _install_plain(plain, python)
    zip_path = folder / "bundle.zip"
    _zip(bundle, zip_path)
    return Packages(
        python=python,
        bundle=bundle,
        plain=plain,
        bare_bundle=_without_pyc(bundle),
        bare_plain=_without_pyc(plain),
        zip_bytes=zip_path.stat().st_size,
        unzipped_bytes=sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
    )


def versions(folder: Path) -> dict[str, str]:
    """The versions of the installed packages, by their names."""
    found = (
        re.fullmatch(r"(.+)-([^-]+)\.dist-info", path.name) for path in sorted(folder.glob("*.dist-info"))
    )
    return {match[1]: match[2] for match in found if match}


def _install_plain(folder: Path, python: Path) -> None:
    """The lock's versions, compiled as the bundle is."""
    lock = (PROJECT / "requirements.lock").read_text("utf-8")
    pins = [pin for name in _PLAIN for pin in re.findall(rf"^({name}==[^\s;\\]+)", lock, re.MULTILINE)]
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--target", str(folder)]
    install += ["--require-hashes", "-c", "requirements.lock", *pins]
    compile_ = [str(python), "-m", "compileall", "-q", "-j", "1"]
    compile_ += ["--invalidation-mode", "unchecked-hash", str(folder)]
    for command in (install, compile_):
        subprocess.run(command, check=True, cwd=PROJECT)  # noqa: S603


def _zip(folder: Path, path: Path) -> None:
    """Writes the folder as a zip like the CDK's: compressed, one entry for each file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))


def _without_pyc(folder: Path) -> Path:
    copy = folder.with_name(f"bare-{folder.name}")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy
