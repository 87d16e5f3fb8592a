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
            "doubt",
            "a create of a lead that may exist is sent as a create",
            "delivery.py",
            "if event.operation is Operation.CREATE and step.may_exist:",
            "if False:",
        ),
        Mutant(
            "condition",
            "every claim is granted, whoever holds the lead",
            "ledger.py",
            "OR heldUntil <= :now)",
            "OR heldUntil <= :now OR heldUntil > :now)",
        ),
        Mutant(
            "settling",
            "the next request is sent while one without an answer may still take effect",
            "delivery.py",
            "quiet_s = self._settings.settling_s if isinstance(error, UnconfirmedError) else 0",
            "quiet_s = 0",
        ),
        Mutant(
            "operation",
            "an update or stop with the key of its lead's create counts as a repeat of it",
            "event/idempotency_key.py",
            'f"key {operation} {given}"',
            'f"key {given}"',
        ),
        Mutant(
            "undone",
            "an event that is delivered late overwrites what a later one has set",
            "next_call.py",
            "{name for name in lead if _was_set_later(state, own, name)}",
            "set[str]()",
        ),
        Mutant(
            "unanswered",
            "a server error counts as a request that had no effect",
            "after_call.py",
            "return replace(own, unanswered=True), error",
            "return own, RetryError(error.summary, status=error.status)",
        ),
        Mutant(
            "parked",
            "a lead is parked for a fault that isn't its own",
            "after_call.py",
            "isinstance(error, RejectedError) or _is_nearly_lost",
            "isinstance(error, RejectedError | RetryError) or _is_nearly_lost",
        ),
        Mutant(
            "dropped",
            "a rejected lead is acknowledged without being parked",
            "delivery.py",
            "self._dead_letters.park(message, reading.event_id, verdict.outcome, error)",
            "pass",
        ),
        Mutant(
            "breaker",
            "an API that is down is called with every lead",
            "breaker.py",
            "if len(self._failed) < FAULTS_TO_OPEN:",
            "if True:",
        ),
        Mutant(
            "overtaking",
            "an update that overtakes its create is rejected",
            "after_call.py",
            "if now_s - since_s < settings.update_grace_s or create_waits:",
            "if False:",
        ),
        Mutant(
            "order",
            "later events of a lead overtake one that failed",
            "next_call.py",
            "    if ahead:\n",
            "    if False:\n",
        ),
    )
}
