"""The function's source with one rule taken away: the search has to find what each of them breaks."""

from dataclasses import dataclass

from tests.explore.core import Core, Patches
from tests.explore.worlds import (
    CREATE,
    CREATE_ELSEWHERE,
    CREATE_WITHOUT_KEY,
    REFUSED,
    STOP_WITH_CREATES_KEY,
    UPDATE,
    UPDATE_WITHOUT_KEY,
    Before,
    World,
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`world` shows what the mutant breaks, with `faults` faults and `turns` context switches at most."""

    breaks: str
    patches: Patches
    world: World
    faults: int = 1
    turns: int = 0

    def build(self) -> Core:
        """The broken package. Raises `PatchError` when the source has changed and the patch has not."""
        return Core(self.patches)


MUTANTS = {
    "no-settling-time": Mutant(
        "after a request without an answer, the next one is sent while the first may still take effect",
        {
            "delivery.py": [
                (
                    "quiet_s = self._settings.settling_s if isinstance(error, UnconfirmedError) else 0",
                    "quiet_s = 0",
                )
            ]
        },
        World("m1", (UPDATE, CREATE), Before.FOREIGN),
    ),
    "no-operation-in-key": Mutant(
        "a stop with the key of its lead's create counts as a repeat of it",
        {"event/idempotency_key.py": [('f"key {operation} {given}"', 'f"key {given}"')]},
        World("m2", (CREATE, STOP_WITH_CREATES_KEY), Before.NOTHING),
        faults=0,
    ),
    "no-condition": Mutant(
        "every claim is granted, whoever holds the lead",
        {"ledger.py": [("OR heldUntil <= :now)", "OR heldUntil <= :now OR heldUntil > :now)")]},
        World("m3", (CREATE, CREATE_ELSEWHERE), Before.NOTHING, apart=True),
        turns=1,
    ),
    "posted-in-doubt": Mutant(
        "a create whose lead may exist is POSTed",
        {"delivery.py": [("event.operation is Operation.CREATE and step.may_exist", "False")]},
        World("m4", (CREATE,), Before.NOTHING),
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
        World("m5", (CREATE_WITHOUT_KEY,), Before.RECENT),
        faults=0,
    ),
    "later-fields-overwritten": Mutant(
        "an event that is delivered late overwrites what a later one has set",
        {
            "next_call.py": [
                ("{name for name in lead if _was_set_later(state, own, name)}", "set[str]()"),
            ]
        },
        World("m6", (UPDATE, UPDATE_WITHOUT_KEY), Before.FOREIGN),
    ),
    "dead-claim-forgotten": Mutant(
        "a claim whose environment was killed leaves no trace",
        {"ledger.py": [("each.owner != entry.owner]", "False]")]},
        World("m7", (CREATE,), Before.NOTHING),
    ),
    "refusal-overlooked": Mutant(
        "a lead counts as claimed though its statement of a batch was refused",
        {"joint_writes.py": [('"Error" not in answer', "True")]},
        World("m11", (CREATE,), Before.RECENT),
        faults=0,
    ),
    "window-ignored": Mutant(
        "a lead that 7Targets has shown lately counts as unknown",
        {"next_call.py": [("return state.known_s > 0 and", "return False and")]},
        World("m8", (CREATE,), Before.RECENT),
        faults=0,
    ),
    "rejected-not-parked": Mutant(
        "a rejected event is acknowledged without being parked",
        {
            "delivery.py": [
                ("self._dead_letters.park(message, reading.event_id, verdict.outcome, error)", "pass"),
            ]
        },
        World("m9", (REFUSED,), Before.FOREIGN),
        faults=0,
    ),
    "repeated-at-once": Mutant(
        "an update without an answer is sent again in the same moment",
        {
            "api/leads_api.py": [
                (
                    'raise UnconfirmedError(f"leads API: {error}") from None',
                    "if operation is Operation.CREATE:\n"
                    '                raise UnconfirmedError(f"leads API: {error}") from None\n'
                    "            return self._call(operation, lead, token, user_identifier, deadline)",
                )
            ]
        },
        World("m10", (UPDATE,), Before.FOREIGN),
    ),
}
