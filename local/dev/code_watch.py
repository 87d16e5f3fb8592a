"""The function's code in the local run, kept as it is under lambdas/."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from local.stack.child_process import PROJECT
from local.stack.deployment import Deployment

PACKAGE = "deliver_leads"
# What infra/bundling.py ships of the package.
_SHIPPED = (".py", ".json", ".typed")


class CodeWatch:
    """Puts the package in the place of the deployed one when it has changed, and ends the function's workers.

    The rest of the bundle stays as it was deployed, and so does the stack. `report` gets a sentence each
    time.
    """

    def __init__(
        self, deployment: Deployment, report: Callable[[str], None], project: Path = PROJECT
    ) -> None:
        self._deployment = deployment
        self._report = report
        self._package = project / "lambdas" / PACKAGE
        self._running = self._seen = self._look()

    def look(self) -> None:
        """Call it now and then. A change counts once two looks find it alike: an editor may be writing."""
        found = self._look()
        is_quiet, self._seen = found == self._seen, found
        if not is_quiet or found == self._running:
            return
        self._running = found
        if problem := self._problem():
            self._report(f"{problem}. The function runs its earlier code until that is corrected.")
            return
        self.put()
        self._report("The function's code has changed: its workers start anew with it.")

    def put(self) -> None:
        """Puts the package as it is now in the place of what the function runs."""
        self._deployment.emulator.client("lambda").update_function_code(
            FunctionName=self._deployment.outputs["FunctionName"],
            ZipFile=zip_code(self._deployment.bundle, self._package),
        )

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in shipped(self._package):
            status = path.stat()
            found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _problem(self) -> str:
        """Why the package can't be run, or nothing."""
        for path in shipped(self._package):
            if path.suffix == ".py":
                try:
                    compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
                except (SyntaxError, ValueError) as error:
                    return f"{path.relative_to(self._package)} is no Python: {error}"
        return ""


def shipped(package: Path) -> Iterator[Path]:
    """The package's files that a bundle has."""
    return (path for path in sorted(package.rglob("*")) if path.suffix in _SHIPPED and path.is_file())


def zip_code(bundle: Path, package: Path) -> bytes:
    """The bundle's zip with this package, uncompiled, in the place of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(bundle.rglob("*")):
            name = path.relative_to(bundle)
            if name.parts[0] != PACKAGE and path.is_file():
                archive.write(path, str(name))
        for path in shipped(package):
            archive.write(path, str(Path(PACKAGE, path.relative_to(package))))
    return buffer.getvalue()
