"""Deliberately broken builds of the function: each takes one mechanism away that a promise rests on."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "deliver_leads"


class MutantError(Exception):
    """A patch that no longer fits the source it was written for; the text says which."""


@dataclass(frozen=True)
class Mutant:
    """Replaces `old`, which must be in the package's `file` exactly once, by `new`."""

    name: str
    breaks: str
    file: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """Raises `MutantError` when `old` is not there, or not once."""
        if source.count(self.old) != 1:
            raise MutantError(
                f"mutant {self.name}: its text is found {source.count(self.old)} times, not once, in"
                f" {PACKAGE}/{self.file}: adapt it to the source"
            )
        return source.replace(self.old, self.new)

    def patch_folder(self, lambdas: Path) -> None:
        """Breaks the package in this copy of `lambdas/`."""
        path = lambdas / PACKAGE / self.file
        path.write_text(self.apply(path.read_text("utf-8")), "utf-8")

    def zip_bundle(self, bundle: Path) -> bytes:
        """The bundle's zip with the broken file and without compiled files, which are taken unchecked."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(bundle.rglob("*")):
                name = str(path.relative_to(bundle))
                if path.is_dir() or (path.suffix == ".pyc" and name.startswith(PACKAGE)):
                    continue
                content = path.read_bytes()
                if name == f"{PACKAGE}/{self.file}":
                    content = self.apply(content.decode()).encode()
                archive.writestr(name, content)
        return buffer.getvalue()


MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            "confirm",
            "a create without an answer is repeated blindly",
            "delivery.py",
            "if event.operation is Operation.CREATE and claim.maybe_sent:",
            "if False:",
        ),
        Mutant(
            "condition",
            "every claim is granted, whatever the ledger says",
            "ledger.py",
            "return self._refused(item, now)",
            "return Claim(event, owner, maybe_sent=False, unknown_since=None)",
        ),
        Mutant(
            "unconfirmed",
            "a lost answer counts as a request that was not sent",
            "delivery.py",
            "            claim.maybe_sent = True\n",
            "            claim.maybe_sent = False\n",
        ),
        Mutant(
            "parked",
            "a lead is parked for a fault that isn't its own",
            "delivery.py",
            "park = isinstance(error, RejectedError) or (",
            "park = isinstance(error, RetryError) or isinstance(error, RejectedError) or (",
        ),
        Mutant(
            "breaker",
            "an API that is down is called with every lead",
            "breaker.py",
            "if self._faults < FAULTS_TO_OPEN:",
            "if True:",
        ),
        Mutant(
            "overtaking",
            "an update that overtakes its create is rejected",
            "delivery.py",
            "if time.time() - claim.unknown_since >= self._settings.update_grace_s:",
            "if True:",
        ),
        Mutant(
            "order",
            "later events of a lead overtake one that failed",
            "batch.py",
            "if ahead is not None and ahead.delay_s is not None:",
            "if False:",
        ),
        Mutant(
            "dropped",
            "a rejected lead is acknowledged without being parked",
            "delivery.py",
            "        if park:\n",
            "        if False:\n",
        ),
    )
}
