"""The function's source with one rule taken away, which a promise rests on.

`tests/contract/test_mutants.py` names a test that fails on each, or the search finds what it breaks. The
fault suite takes one with `python -m local.chaos --mutant NAME`.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "deliver_leads"

Patches = Mapping[str, Sequence[tuple[str, str]]]
"""For a file of the package: texts, each in it exactly once, and what replaces them."""


class PatchError(Exception):
    """A patch that no longer fits the source it was written for; the text says which."""


def patch(patches: Patches, file: str, source: str) -> str:
    """The file's source with its patches. Raises `PatchError` when a text is not there, or not once."""
    for old, new in patches.get(file, ()):
        if source.count(old) != 1:
            raise PatchError(f"found {source.count(old)} times, not once, in {PACKAGE}/{file}: {old!r}")
        source = source.replace(old, new)
    return source


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks` says what the function does then."""

    breaks: str
    patches: Patches

    def patch_folder(self, lambdas: Path) -> None:
        """Breaks the package in this copy of `lambdas/`."""
        for file in self.patches:
            path = lambdas / PACKAGE / file
            path.write_text(patch(self.patches, file, path.read_text("utf-8")), "utf-8")

    def zip_bundle(self, bundle: Path) -> bytes:
        """The bundle's zip with the broken files and without compiled ones, which are taken unchecked."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(bundle.rglob("*")):
                name = str(path.relative_to(bundle))
                if path.is_dir() or (path.suffix == ".pyc" and name.startswith(PACKAGE)):
                    continue
                content = path.read_bytes()
                file = name.removeprefix(f"{PACKAGE}/")
                if name != file and file in self.patches:
                    content = patch(self.patches, file, content.decode()).encode()
                archive.writestr(name, content)
        return buffer.getvalue()


MUTANTS = {
    "doubt": Mutant(
        "a create of a lead that may exist is sent as a create",
        {"delivery.py": [("if event.operation is Operation.CREATE and step.may_exist:", "if False:")]},
    ),
    "condition": Mutant(
        "every claim is granted, whoever holds the lead",
        {"ledger.py": [("OR heldUntil <= :now)", "OR heldUntil <= :now OR heldUntil > :now)")]},
    ),
    "settling": Mutant(
        "the next request is sent while one without an answer may still take effect",
        {
            "delivery.py": [
                (
                    "settling_s = self._settings.settling_s if isinstance(error, UnconfirmedError) else 0",
                    "settling_s = 0",
                )
            ]
        },
    ),
    "operation": Mutant(
        "an update or stop with the key of its lead's create counts as a repeat of it",
        {"event/idempotency_key.py": [('f"key {operation} {given}"', 'f"key {given}"')]},
    ),
    "undone": Mutant(
        "an event that is delivered late overwrites what a later one has set",
        {
            "next_call.py": [
                ("{name for name in lead if is_set_later(setters, name, rank)}", "set[str]()"),
            ]
        },
    ),
    "unanswered": Mutant(
        "a server error counts as a request that had no effect",
        {
            "after_call.py": [
                (
                    "return replace(own, unanswered=True), error",
                    "return own, RetryError(error.summary, status=error.status)",
                )
            ]
        },
    ),
    "parked": Mutant(
        "a lead is parked for a fault that isn't its own",
        {
            "after_call.py": [
                (
                    "isinstance(error, RejectedError) or _is_nearly_lost",
                    "isinstance(error, RejectedError | RetryError) or _is_nearly_lost",
                )
            ]
        },
    ),
    "dropped": Mutant(
        "a rejected event is acknowledged without being parked",
        {
            "delivery.py": [
                ("self._dead_letters.park(message, reading.event_id, verdict.outcome, error)", "pass"),
            ]
        },
    ),
    "breaker": Mutant(
        "an API that is down is called with every lead",
        {"breaker.py": [("if len(self._failed) < FAULTS_TO_OPEN:", "if True:")]},
    ),
    "overtaking": Mutant(
        "an update that overtakes its create is rejected",
        {
            "after_call.py": [
                ("if now_s - since_s < settings.update_grace_s or create_waits:", "if False:"),
            ]
        },
    ),
    "order": Mutant(
        "later events of a lead overtake one that failed",
        {"next_call.py": [("    if ahead:\n", "    if False:\n")]},
    ),
    "believed": Mutant(
        "a create counts as delivered because its lead exists, without its own fields",
        {
            "delivery.py": [
                (
                    "for name, value in fields.items() if name not in SEQUENCE_FIELDS}",
                    'for name, value in fields.items() if name in ("name", "email", "assistantEmail")}',
                )
            ]
        },
    ),
    "forgotten-claim": Mutant(
        "a claim whose environment crashed leaves no trace",
        {"ledger.py": [("each.owner != entry.owner]", "False]")]},
    ),
    "refusal-overlooked": Mutant(
        "a lead counts as claimed though its statement of a batch was refused",
        {"joint_writes.py": [('"Error" not in answer', "True")]},
    ),
    "key-alone": Mutant(
        "an event with a used key counts as a copy, whatever its content",
        {"next_call.py": [("    if final.digest != own.digest:\n        return False\n", "")]},
    ),
    "window-until-now": Mutant(
        "what shows a lead is measured from now, not from when the create was sent",
        {
            "next_call.py": [
                ("_may_exist(state, own, window_s))", "_may_exist(state, own, window_s, now_s))"),
                (
                    "own: EventRecord, window_s: int) -> bool:",
                    "own: EventRecord, window_s: int, now_s: int) -> bool:",
                ),
                (
                    "state.was_shown(own, window_s)",
                    "state.known_s > now_s - window_s",
                ),
            ]
        },
    ),
    "create-forgotten": Mutant(
        "a create is POSTed although one of the lead was forgotten",
        {"next_call.py": [("(own, window_s) or state.has_forgotten or", "(own, window_s) or")]},
    ),
    "unmailed": Mutant(
        "a create that an update overtook counts as delivered though 7Targets sends its lead no e-mails",
        {"delivery.py": [("if not asked and step.needs_mails and", "if False and")]},
    ),
    "begun-ignored": Mutant(
        "what an update asks for that came before its create is undone by the create",
        {"lead_state.py": [("if was_unknown else self", "if False else self")]},
    ),
    "redriven-by-clock": Mutant(
        "a message that a person sends again counts as a copy unless a clock shows that it is later",
        {"lead_state.py": [("        if claim.redriven:\n", "        if False:\n")]},
    ),
    "window-too-long": Mutant(
        "a create counts as one of a known lead for three times the window",
        {"lead_state.py": [("- window_s - CLOCK_SKEW_S", "- 3 * window_s")]},
    ),
    "open-breaker-parks": Mutant(
        "what the open breaker turns away is parked",
        {
            "after_call.py": [
                (
                    "isinstance(error, RejectedError) or _is_nearly_lost",
                    "isinstance(error, RejectedError | BreakerOpenError) or _is_nearly_lost",
                )
            ]
        },
    ),
    "window-without-margin": Mutant(
        "a window that two clocks measure has no margin for their difference",
        {"lead_state.py": [("- window_s - CLOCK_SKEW_S", "- window_s")]},
    ),
    "values-kept": Mutant(
        "the ledger keeps the fields of a lead, and its item outgrows DynamoDB's quota",
        {"setters.py": [('fingerprint(sent, name) if name in MANDATORY else ""', "str(sent[name])")]},
    ),
    "forbidden": Mutant(
        "a lead is parked because the user or the assistant is refused",
        {"api/answers.py": [("    if status in REFUSED_CLIENT:", "    if False:")]},
    ),
    "stop-waits": Mutant(
        "a stop waits until an earlier event of its lead has been delivered",
        {"next_call.py": [(" or own.operation is Operation.STOP_FOLLOWUP:", ":")]},
    ),
    "window-ignored": Mutant(
        "a lead that 7Targets has shown lately counts as unknown",
        {"next_call.py": [("return state.was_shown(own, window_s) or", "return")]},
    ),
    "repeated-at-once": Mutant(
        "an update without an answer is sent again in the same moment",
        {
            "api/leads_api.py": [
                (
                    'raise UnconfirmedError(f"leads API: {error}") from None',
                    "if operation is Operation.CREATE:\n"
                    '                raise UnconfirmedError(f"leads API: {error}") from None\n'
                    "            return self._call(operation, lead, token, user_identifier, time_left)",
                )
            ]
        },
    ),
    "stop-copied": Mutant(
        "a stop that is sent again counts as a copy, though e-mails were started since",
        {"next_call.py": [("return not any(first < rank < last for rank in starts)", "return True")]},
    ),
    "stop-sets-nothing": Mutant(
        "an event from before a stop starts e-mails again",
        {"setters.py": [('values = {SEQUENCE: ""}', "values = {}")]},
    ),
    "retry-after-ignored": Mutant(
        "the API is called before the end that its Retry-After said",
        {"pace.py": [("now + min(closed_s, LONGEST_RETRY_AFTER_S)", "now")]},
    ),
}
