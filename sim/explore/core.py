"""Imports the function's package under another name, so that its clock can be replaced, or its source broken.

A copy under its own name shares no state with the package that other tests import.
"""

import importlib
import importlib.machinery
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sim.mutants import PatchError, Patches, patch

PACKAGE = Path(__file__).resolve().parents[2] / "lambdas" / "deliver_leads"
_numbers = itertools.count()


class Core:
    """One copy of the package; its modules are attributes, named by their dotted path with underscores."""

    def __init__(self, patches: Patches | None = None) -> None:
        self._name = f"explored_core_{next(_numbers)}"
        finder = _Finder(self._name, patches or {})
        sys.meta_path.insert(0, finder)
        try:
            for path in sorted(PACKAGE.rglob("*.py")):
                if path.stem not in {"__init__", "handler"}:
                    importlib.import_module(".".join((self._name, *_dotted(path))))
        finally:
            sys.meta_path.remove(finder)
        unused = set(patches or {}) - finder.patched
        if unused:
            raise PatchError(f"no such file in the package: {sorted(unused)}")

    def module(self, name: str) -> Any:
        """A module of the copy by its dotted name, for example `api.leads_api`."""
        return sys.modules[f"{self._name}.{name}"]

    def modules(self) -> list[ModuleType]:
        """All modules of the copy."""
        return [each for name, each in sys.modules.items() if name.startswith(f"{self._name}.")]


def _dotted(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


class _Finder:
    """Finds the copy's modules in the package's own folder."""

    def __init__(self, name: str, patches: Patches) -> None:
        self._name = name
        self._patches = patches
        self.patched: set[str] = set()

    def find_spec(
        self, fullname: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        top, *parts = fullname.split(".")
        if top != self._name:
            return None
        place = PACKAGE.joinpath(*parts)
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        inside = file.relative_to(PACKAGE).as_posix()
        if inside in self._patches:
            self.patched.add(inside)
        loader = _PatchingLoader(fullname, str(file), inside, self._patches)
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


class _PatchingLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source with its patches, past the cache of compiled files."""

    def __init__(self, fullname: str, path: str, inside: str, patches: Patches) -> None:
        super().__init__(fullname, path)
        self._inside = inside
        self._patches = patches

    def get_code(self, fullname: str) -> Any:
        source = patch(self._patches, self._inside, Path(self.path).read_text("utf-8"))
        return compile(source, self.path, "exec", dont_inherit=True)
