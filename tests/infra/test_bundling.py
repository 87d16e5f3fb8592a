"""What the bundle holds, and that it is built the same way every time or not at all."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest

import app
from infra import bundling
from infra.bundling import PROJECT, SANDBOX, BundlingError, LocalBundling, build_bundle, function_code
from infra.runtime_python import find_runtime_python
from sim.settings import ENVIRONMENT

pytestmark = pytest.mark.shipped

# https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation
UNCHECKED_HASH = 0b01


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("bundle")
    build_bundle(folder)
    return folder


@pytest.fixture
def without_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles take a moment less when nothing is installed in them."""
    monkeypatch.setattr(bundling, "_install", lambda output_dir, _project, _bundle: output_dir.mkdir())


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of each file, by its path inside the folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_two_builds_are_byte_identical(bundle: Path, tmp_path: Path) -> None:
    """Folder and umask make no difference, so an unchanged function isn't redeployed."""
    umask = os.umask(0o077)
    try:
        build_bundle(tmp_path / "some" / "other-folder")
    finally:
        os.umask(umask)
    assert contents(tmp_path / "some" / "other-folder") == contents(bundle)


def test_the_bundle_names_no_path_of_this_machine(bundle: Path) -> None:
    """A path in it would make it differ from machine to machine."""
    places = [str(place).encode() for place in (bundle, PROJECT, Path(sys.prefix), Path.home() / ".cache")]
    assert [
        name for name, (_, data) in contents(bundle).items() if any(place in data for place in places)
    ] == []


def test_the_bundle_is_pure_python(bundle: Path) -> None:
    """The same bytes run on arm64, in the emulator and here."""
    assert [name for name in contents(bundle) if re.search(r"\.(so|pyd|dylib)$", name)] == []


def test_the_bundle_holds_no_installer_s_leftovers(bundle: Path) -> None:
    """They differ from machine to machine, and nothing reads them."""
    leftovers = r"(^bin/|^\.lock$|\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json|uv_.*)$)"
    assert [name for name in contents(bundle) if re.search(leftovers, name)] == []


@pytest.mark.parametrize("package", ["pydantic", "aws_xray_sdk", "aws_cdk", "moto", "pytest"])
def test_the_bundle_holds_only_what_the_function_imports(bundle: Path, package: str) -> None:
    """Each package in it is paid for at every cold start."""
    assert not (bundle / package).exists()


def test_the_bundle_has_the_data_of_the_services_that_the_function_calls(bundle: Path) -> None:
    """Without a service's data its client can't be made; those of all are three quarters of a zip."""
    sources = "".join(
        path.read_text("utf-8") for path in (PROJECT / "lambdas" / "deliver_leads").rglob("*.py")
    )
    called = set(re.findall(r"\.(?:client|resource)\(\s*\"([\w-]+)\"", sources))
    assert len(called) >= 4
    assert {path.name for path in (bundle / "botocore" / "data").iterdir() if path.is_dir()} == called


def test_the_bundle_has_the_function_s_sources(bundle: Path) -> None:
    """All modules of the package, and the handler where the stack says it is."""
    sources = PROJECT / "lambdas" / "deliver_leads"
    assert (sources / "handler.py").exists()
    for module in sources.rglob("*.py"):
        assert (bundle / "deliver_leads" / module.relative_to(sources)).read_bytes() == module.read_bytes()


def test_every_module_is_compiled_for_the_function_s_python(bundle: Path) -> None:
    """With unchecked-hash: a .pyc with a timestamp is stale as soon as a zip changes the file's time."""
    if find_runtime_python() is None:
        pytest.skip("no CPython 3.13 on this machine")
    for module in bundle.rglob("*.py"):
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == UNCHECKED_HASH, compiled


def test_the_handler_imports_from_the_bundle_alone(bundle: Path) -> None:
    """It needs no package of the development environment, imports no expensive package by
    accident, and says first which version it is."""
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import deliver_leads.handler as h;"
        "json.dump([h.__file__, callable(h.handler), sorted(sys.modules)], sys.stdout)"
    )
    # -I and -S: neither this environment's packages nor its variables. -B: the bundle stays as it is.
    done = subprocess.run(  # noqa: S603 - nothing comes from outside
        [find_runtime_python() or sys.executable, "-I", "-S", "-B", "-c", program, bundle],
        env={**ENVIRONMENT, "AWS_DEFAULT_REGION": "us-east-1", "DEPLOYED_VERSION": "0.0.0 0123456789ab"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    started, shown = done.stdout.splitlines()
    assert json.loads(started)["version"] == "0.0.0 0123456789ab"
    file, is_callable, modules = json.loads(shown)
    assert Path(file) == bundle / "deliver_leads" / "handler.py"
    assert is_callable
    assert not {"pydantic", "aws_xray_sdk"} & set(modules)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one's own with this one's dependencies, lock file and function."""
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "lambdas", tmp_path / "lambdas")
    return tmp_path


def test_a_package_that_differs_from_its_hash_is_refused(project: Path) -> None:
    """A tampered package, or a tampered lock file, never reaches the function."""
    lock = project / "requirements.lock"
    before, urllib3, after = re.split(r"(?m)(^urllib3==.*(?:\n +--hash=.*)+)", lock.read_text("utf-8"))
    lock.write_text(before + re.sub(r"sha256:\w+", "sha256:" + "0" * 64, urllib3) + after, "utf-8")
    with pytest.raises(BundlingError, match=r"(?s)urllib3.*0{64}"):
        build_bundle(project / "bundle", project)


def test_a_dependency_without_a_locked_version_is_refused(project: Path) -> None:
    """It would come in whatever version is newest that day."""
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text("utf-8").replace('"requests",', '"requests", "left-out",'))
    with pytest.raises(BundlingError, match=r"requirements\.lock has no left-out"):
        build_bundle(project / "bundle", project)


def test_a_package_that_needs_its_compiled_part_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would fail on every machine but Lambda's own."""

    def install(output_dir: Path, *_: object) -> None:
        (output_dir / "fast").mkdir(parents=True)
        (output_dir / "fast" / "core.cpython-313-aarch64-linux-gnu.so").touch()

    monkeypatch.setattr(bundling, "_install", install)
    with pytest.raises(
        BundlingError, match=r"fast/core\.cpython-313-aarch64-linux-gnu\.so has no Python version"
    ):
        build_bundle(tmp_path / "bundle")


@pytest.mark.usefixtures("without_dependencies")
def test_without_a_python_3_13_the_bundle_has_no_pyc_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs all the same, so nobody is made to install anything."""
    monkeypatch.setattr(bundling, "find_runtime_python", lambda: None)
    build_bundle(tmp_path / "bundle")
    assert list(tmp_path.rglob("*.pyc")) == []
    (notice,) = capsys.readouterr().err.splitlines()
    assert "`uv python install 3.13` fixes that" in notice


def test_the_hash_is_the_same_with_each_python_and_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two machines with other Pythons would replace each other's function at each deployment."""
    compilers: list[Path | None] = [None, Path(sys.executable)]
    if (runtime := find_runtime_python()) is not None:
        compilers.append(runtime)
    monkeypatch.setattr(bundling, "_install", lambda output_dir, *_: None)
    hashes, compiled = set(), []
    for number, python in enumerate(compilers):
        monkeypatch.setattr(bundling, "find_runtime_python", lambda python=python: python)
        stack = cdk.Stack(cdk.App(outdir=str(tmp_path / str(number))), "Stack")
        location = function_code().bind(stack).s3_location
        assert location is not None
        hashes.add(location.object_key)
        compiled.append({path.name for path in tmp_path.glob(f"{number}/asset.*/**/handler.*.pyc")})
    assert len(hashes) == 1
    # The bundles themselves differ, or this proves nothing.
    assert [len(names) for names in compiled] == [0, *[1] * (len(compilers) - 1)]


@pytest.mark.usefixtures("without_dependencies")
def test_only_the_package_s_own_files_are_shipped(project: Path) -> None:
    """An editor's or an earlier run's files would change the hash."""
    package = project / "lambdas" / "deliver_leads"
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "stale.pyc").touch()
    (package / ".handler.py.swp").touch()
    (package / "contract.json").touch()
    build_bundle(project / "bundle", project)
    shipped = {path.name for path in (project / "bundle").rglob("*")}
    assert "contract.json" in shipped
    assert not {"stale.pyc", ".handler.py.swp"} & shipped


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without uv."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_uv")
def test_bundling_never_falls_back_to_docker(tmp_path: Path) -> None:
    """The CDK starts Docker when it gets False, so an error is raised instead."""
    local_bundling = LocalBundling()
    with pytest.raises(BundlingError, match="uv is missing: install the development requirements"):
        local_bundling.try_bundle(str(tmp_path / "bundle"))


@pytest.mark.usefixtures("no_uv")
def test_synth_ends_with_a_sentence_when_the_bundle_can_t_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback through two languages for a tool that is missing."""
    context = json.loads((PROJECT / "cdk.json").read_text("utf-8"))["context"] | {
        "stage": "dev",
        "settings": "",
    }
    new_app = cdk.App
    monkeypatch.setattr(cdk, "App", lambda: new_app(context=context))
    with pytest.raises(SystemExit, match=r"^The function can't be bundled: uv is missing"):
        app.main()


def fake_python(path: Path, says: str) -> Path:
    """A program in the place of an interpreter that prints this when it is asked what it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n", "utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any Python 3.13; PATH is its folder `bin`, pyenv's its folder `pyenv`."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def test_no_python_3_13_is_found_where_there_is_none(bare_machine: Path) -> None:
    """A name alone doesn't count: a shim that fails and another version under that name are passed over."""
    fake_python(bare_machine / "bin" / "python3.13", "echo 'command not found' >&2; exit 127")
    fake_python(bare_machine / "pyenv/versions/3.13.1/bin/python3.13", "echo cpython 3.12 $0")
    (bare_machine / "pyenv/versions/3.13.2").mkdir()
    assert find_runtime_python() is None


def test_the_newest_of_pyenv_s_is_taken_behind_a_broken_shim(bare_machine: Path) -> None:
    """Newest by number, not by spelling."""
    fake_python(bare_machine / "bin" / "python3.13", "exit 127")
    fake_python(bare_machine / "pyenv/versions/3.13.9/bin/python3.13", "echo cpython 3.13 $0")
    newest = fake_python(bare_machine / "pyenv/versions/3.13.10/bin/python3.13", "echo cpython 3.13 $0")
    assert find_runtime_python() == newest


def test_a_shim_stands_for_the_python_that_it_runs(bare_machine: Path) -> None:
    """A process with other variables, such as the function's, would get another one from it, or none."""
    for its_own in ("/opt/my python/bin/python3.13", "/opt/my 3.13 python/bin/python3.13"):
        fake_python(bare_machine / "bin" / "python3.13", f"echo cpython 3.13 {its_own}")
        assert find_runtime_python() == Path(its_own)


def test_a_python_that_uv_installed_is_found(bare_machine: Path) -> None:
    """The notice says to install it this way."""
    python = fake_python(bare_machine / "uv/cpython-3.13.5-linux/bin/python3.13", "echo cpython 3.13 $0")
    assert find_runtime_python() == python


def test_uv_trusts_what_the_system_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy may be known to the system's certificate store only; a person's own choice wins."""
    program = [sys.executable, "-c", "import os; print(os.environ['UV_SYSTEM_CERTS'])"]
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    assert bundling._run(program).stdout == "true\n"
    monkeypatch.setenv("UV_SYSTEM_CERTS", "false")
    assert bundling._run(program).stdout == "false\n"


def test_the_sandbox_s_bundle_is_pure_python_and_all_that_it_needs(
    tmp_path: Path, clean_python: Path
) -> None:
    """Lambda imports it where nothing else is installed; the processor makes no difference."""
    build_bundle(tmp_path / "bundle", bundle=SANDBOX)
    assert [name for name in contents(tmp_path / "bundle") if re.search(r"\.(so|pyd|dylib)$", name)] == []
    code = "from local.sandbox.function import handler; import boto3; boto3.client('dynamodb', 'us-east-1')"
    environment = {"PYTHONPATH": str(tmp_path / "bundle"), "HOME": str(tmp_path)}
    subprocess.run(  # noqa: S603 - our own words
        [clean_python, "-c", code], check=True, cwd=tmp_path, env=environment
    )
