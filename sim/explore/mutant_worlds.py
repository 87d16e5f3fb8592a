"""For mutants: a world in which the search has to find what each breaks."""

from dataclasses import dataclass

from sim.explore.worlds import (
    CREATE,
    CREATE_ELSEWHERE,
    CREATE_WITH_USED_KEY,
    CREATE_WITHOUT_KEY,
    HOUR_S,
    LARGE_CREATE,
    LARGE_UPDATE,
    REFUSED,
    REFUSED_CREATE,
    STOP,
    STOP_WITH_CREATES_KEY,
    UPDATE,
    UPDATE_WITHOUT_KEY,
    Before,
    World,
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a mutant breaks is found in this world, with so many faults and context switches at most."""

    world: World
    faults: int = 1
    turns: int = 0


MUTANT_WORLDS = {
    "settling": Shown(World("m1", (UPDATE, CREATE), Before.FOREIGN)),
    "operation": Shown(World("m2", (CREATE, STOP_WITH_CREATES_KEY), Before.NOTHING), faults=0),
    "condition": Shown(World("m3", (CREATE, CREATE_ELSEWHERE), Before.NOTHING, apart=True), turns=1),
    "doubt": Shown(World("m4", (CREATE,), Before.NOTHING)),
    "believed": Shown(World("m5", (CREATE_WITHOUT_KEY,), Before.RECENT), faults=0),
    "undone": Shown(World("m6", (UPDATE, UPDATE_WITHOUT_KEY), Before.FOREIGN)),
    "forgotten-claim": Shown(World("m7", (CREATE,), Before.NOTHING)),
    "window-ignored": Shown(World("m8", (CREATE,), Before.RECENT), faults=0),
    "dropped": Shown(World("m9", (REFUSED,), Before.FOREIGN), faults=0),
    "repeated-at-once": Shown(World("m10", (UPDATE,), Before.FOREIGN)),
    "key-alone": Shown(World("m12", (CREATE, CREATE_WITH_USED_KEY), Before.NOTHING), faults=0),
    "window-until-now": Shown(
        World("m13", (REFUSED_CREATE, STOP), Before.OLD, gap_s=HOUR_S, redriven_after_s=40 * HOUR_S)
    ),
    "create-forgotten": Shown(
        World("m14", (CREATE, CREATE_ELSEWHERE, CREATE), Before.NOTHING, gap_s=40 * HOUR_S, forgetful=True),
        faults=0,
    ),
    "begun-ignored": Shown(World("m16", (UPDATE, CREATE), Before.NOTHING), faults=0),
    "redriven-by-clock": Shown(World("m17", (REFUSED,), Before.RECENT)),
    "forbidden": Shown(World("m18", (UPDATE,), Before.RECENT)),
    "window-without-margin": Shown(
        World("m19", (CREATE, CREATE_ELSEWHERE), Before.NOTHING, gap_s=36 * HOUR_S - 5, clocks_differ=True),
        faults=0,
    ),
    "values-kept": Shown(World("m20", (LARGE_CREATE, LARGE_UPDATE), Before.NOTHING), faults=0),
    "window-too-long": Shown(
        World("m21", (CREATE, CREATE_ELSEWHERE), Before.NOTHING, gap_s=60 * HOUR_S), faults=0
    ),
    "open-breaker-parks": Shown(World("m22", (CREATE, UPDATE), Before.NOTHING, forgetful=True)),
    "unmailed": Shown(World("m15", (CREATE_WITHOUT_KEY, UPDATE), Before.UNMAILED, apart=True)),
    "refusal-overlooked": Shown(World("m11", (CREATE,), Before.RECENT), faults=0),
    "stop-copied": Shown(World("m24", (STOP, CREATE, STOP), Before.FOREIGN), faults=0),
    "stop-sets-nothing": Shown(World("m25", (UPDATE_WITHOUT_KEY, STOP, CREATE), Before.FOREIGN)),
    "retry-after-ignored": Shown(World("m23", (UPDATE,), Before.FOREIGN, has_retry_after=True)),
}
