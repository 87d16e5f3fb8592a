"""What a function's zip holds: built from the lock file, without Docker, the same bytes everywhere.

A bundle is pure Python, so that one and the same runs on Lambda's arm64, in the emulator and in the tests.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from .runtime_python import RUNTIME_VERSION, find_runtime_python

PROJECT = Path(__file__).resolve().parent.parent
# A wheel of this package holds the bundle, because its user has neither the lock file nor uv.
BUILT = Path(__file__).with_name("bundle.zip")


@dataclass(frozen=True)
class Bundle:
    """What a function consists of.

    Its own code is in the folder `root`, and in the zip at `package`. `dependencies` is one of the groups in
    pyproject.toml, or "" for the project's own. `services`: the AWS services that it calls. botocore brings
    the data of some 400: three quarters of the zip, which is written, hashed and uploaded at each deployment
    and loaded at each cold start.
    """

    root: str
    package: str
    dependencies: str
    services: tuple[str, ...]


DELIVERY = Bundle("lambdas", "deliver_leads", "", ("dynamodb", "events", "secretsmanager", "sqs"))
SANDBOX = Bundle("local", "local/sandbox", "sandbox", ("dynamodb", "secretsmanager"))
# Powertools' features that the function doesn't use: most of what Powertools brings.
_UNUSED = ("aws_lambda_powertools/event_handler", "aws_lambda_powertools/utilities/*/")
_USED = ("jmespath_utils",)
# Compiled modules without which their packages are slower, but do the same.
_NOT_NEEDED = ("markupsafe/_speedups",)

# An installer's notes, some with the paths of the machine it ran on. Nothing reads them in the function.
_LEFTOVERS = (
    "bin",
    ".lock",
    "**/__pycache__",
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_*",
)


class BundlingError(Exception):
    """The bundle can't be built; the text says what to do."""


@jsii.implements(ILocalBundling)
class LocalBundling:
    """Builds a bundle on this machine; keeps the first error, because jsii passes on its text alone."""

    error: BundlingError | None = None

    def __init__(self, bundle: Bundle = DELIVERY) -> None:
        self.bundle = bundle

    def try_bundle(self, output_dir: str, *_options: object, **_more_options: object) -> bool:
        """Builds into `output_dir`. Never returns False, at which the CDK would start Docker."""
        try:
            build_bundle(Path(output_dir), bundle=self.bundle)
        except BundlingError as error:
            self.error = error
            raise
        return True


def function_code(bundling: LocalBundling | None = None) -> lambda_.Code:
    """A function's code: the bundle that was built for this package, or one that is built now.

    Its hash is that of the bundle's sources: the same sources, no new deployment, whatever compiled them.
    """
    bundling = bundling or LocalBundling()
    if bundling.bundle is DELIVERY and BUILT.exists():
        return lambda_.Code.from_asset(str(BUILT))
    return lambda_.Code.from_asset(
        str(PROJECT / bundling.bundle.root),
        asset_hash_type=AssetHashType.OUTPUT,
        # Only from the hash: compiled files differ with the Python that made them, and may be missing.
        exclude=["**/__pycache__"],
        # The CDK wants an image even though none is ever started.
        bundling=BundlingOptions(image=DockerImage.from_registry("scratch"), local=bundling),
    )


def build_bundle(output_dir: Path, project: Path = PROJECT, bundle: Bundle = DELIVERY) -> None:
    """Builds the bundle into `output_dir`, which is empty or not there yet.

    The same lock file and sources give the same bytes everywhere, but for the `.pyc` files: one patch version
    of CPython 3.13 makes the same ones, and without a CPython 3.13 there are none. Then the bundle runs, with
    more than twice the CPU time at a cold start.
    Raises `BundlingError`: no uv, a hash that isn't the lock file's, a package with a compiled part it needs.
    """
    _install(output_dir, project, bundle)
    _drop_compiled_parts(output_dir)
    _drop_unused(output_dir, bundle)
    for pattern in _LEFTOVERS:
        for path in list(output_dir.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    code = Path(bundle.package)
    shutil.copytree(project / bundle.root / code.name, output_dir / code, ignore=_not_shipped)
    _compile(output_dir)
    # The zip keeps a file's mode, and Lambda runs as another user: neither may depend on this user's umask.
    for path in output_dir.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def write_zip(folder: Path, path: Path) -> None:
    """Writes the folder's files into a zip: the same files give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            # 1980 is the first year that a zip knows.
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            written.writestr(entry, file.read_bytes())


def _install(output_dir: Path, project: Path, bundle: Bundle) -> None:
    """Installs the dependencies, each with the version and the hash that the lock file gives."""
    lock = project / "requirements.lock"
    options = {
        "--target": output_dir,
        "--constraint": lock,
        "--python": sys.executable,
        "--python-version": RUNTIME_VERSION,
        "--python-platform": "aarch64-manylinux2014",
        "--only-binary": ":all:",
        # Copied, not linked, because a change in the bundle must not change uv's cache.
        "--link-mode": "copy",
    }
    command = [_find_uv(), "pip", "install", "--quiet", "--require-hashes", "--no-compile-bytecode"]
    command += [str(word) for option in options.items() for word in option]
    done = _run([*command, *_pinned_dependencies(project, lock, bundle)])
    if done.returncode:
        raise BundlingError(f"the function's dependencies can't be installed:\n{done.stderr.strip()}")


def _pinned_dependencies(project: Path, lock: Path, bundle: Bundle) -> list[str]:
    """Each dependency in pyproject.toml as `name==version`, with the lock file's version."""
    settings = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    group = bundle.dependencies
    names = settings["dependency-groups"][group] if group else settings["project"]["dependencies"]
    versions = dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text("utf-8"), re.MULTILINE))
    if missing := [name for name in names if name not in versions]:
        raise BundlingError(
            f"requirements.lock has no {', '.join(missing)}; it is older than pyproject.toml."
        )
    return [f"{name}=={versions[name]}" for name in names]


def _find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise BundlingError("uv is missing: install the development requirements (requirements.lock).")
    return found


def _drop_compiled_parts(output_dir: Path) -> None:
    """Deletes compiled modules that have a Python version beside them, e.g. charset-normalizer's."""
    for compiled in list(output_dir.rglob("*.so")):
        name = compiled.with_name(compiled.name.split(".")[0])
        is_needed = name.relative_to(output_dir).as_posix() not in _NOT_NEEDED
        if is_needed and not name.with_suffix(".py").exists():
            raise BundlingError(
                f"{compiled.relative_to(output_dir)} has no Python version, so the bundle would run on arm64 "
                "only: do without that package, or pin a version of it in pure Python."
            )
        compiled.unlink()


def _drop_unused(output_dir: Path, bundle: Bundle) -> None:
    """Deletes botocore's data of services that the function doesn't call (what all share are files), and
    the features of Powertools that it doesn't use.
    """
    for service in output_dir.glob("botocore/data/*/"):
        if service.name not in bundle.services:
            shutil.rmtree(service)
    for pattern in _UNUSED:
        for feature in output_dir.glob(pattern):
            if feature.name not in _USED:
                shutil.rmtree(feature)


def _not_shipped(folder: str, names: Sequence[str]) -> list[str]:
    paths = [Path(folder, name) for name in names]
    return [
        path.name
        for path in paths
        if path.name == "__pycache__"
        or (path.is_file() and path.suffix not in {".py", ".json"} and path.name != "py.typed")
    ]


def _compile(output_dir: Path) -> None:
    python = find_runtime_python()
    if python is None:
        print(
            f"Notice: no CPython {RUNTIME_VERSION} found, so the function ships without .pyc files and takes "
            f"about twice the CPU time at a cold start. `uv python install {RUNTIME_VERSION}` fixes that.",
            file=sys.stderr,
        )
        return
    # unchecked-hash: a zip changes the files' times, which makes .pyc files with a timestamp stale.
    # -s and -p: the paths in them are Lambda's, not this machine's. One process and one hash seed give the
    # same bytes.
    command = [str(python), "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    done = _run([*command, "-s", str(output_dir), "-p", "/var/task", str(output_dir)])
    if done.returncode:
        raise BundlingError(f"{python} can't compile the bundle:\n{done.stdout}{done.stderr}".strip())


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    # A user's PYTHONOPTIMIZE or PYTHONPYCACHEPREFIX would change what is compiled, and where it goes.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # The certificate of a company's proxy may be in the system's store only, which uv ignores without this.
    environment.setdefault("UV_SYSTEM_CERTS", "true")
    return subprocess.run(  # noqa: S603 - the programs are found here, no word comes from outside
        command,
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        env=environment | {"PYTHONHASHSEED": "0"},
    )
