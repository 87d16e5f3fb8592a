"""The table of failures and the alarms that each raises: computed, and as docs/alarms.md shows it."""

import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sim.alarms.aws import MINUTE_S, Stage
from sim.alarms.cloudwatch import ALARM, Alarms, MetricAlarm, Metrics, read_alarms
from sim.alarms.failures import BEFORE, FAILURES, Failure
from sim.alarms.metric_math import compile_expression
from sim.alarms.stage_simulation import Simulation
from sim.synthesis import WITH_EVERY_ALARM, Templates, synthesise

# CloudWatch has a minute's metrics some time later.
LATE_MIN = 2
# These report each newly parked lead, and so turn green while a fault lasts.
OF_EACH_LOT = {"LeadsParked"}
UNSEEN = (
    "| an e-mail address isn't confirmed, or SNS can't deliver "
    "| none: a topic can't report its own failure | - |"
)


@dataclass(frozen=True)
class Red:
    """From `begin` to `end`, in minutes since the failure; `end` is None when it is red to the last."""

    begin: int
    end: int | None


Reds = Mapping[str, tuple[Red, ...]]
"""By alarm."""


def templates() -> Templates:
    """A stage as prod is, with every alarm that can be had."""
    return synthesise("prod", **WITH_EVERY_ALARM)


def alarms_of(stage: Templates) -> Alarms:
    """The alarms of a stage."""
    return read_alarms(stage.monitoring, stage.delivery)


@functools.cache
def metrics_of(failure: Failure) -> Metrics:
    """What CloudWatch gets to see of it."""
    simulation = Simulation(Stage(templates()))
    simulation.metrics.minutes = failure.minutes

    def lead_comes() -> None:
        if not simulation.silent:
            simulation.publish()

    # One comes a minute after the failure, and the last one early enough to be waited for.
    first = 1 + BEFORE % failure.traffic if failure.traffic else 0
    for minute in range(first, failure.minutes - 30, failure.traffic) if failure.traffic else ():
        simulation.clock.at(minute * MINUTE_S + 7, lead_comes)
    simulation.clock.at(BEFORE * MINUTE_S, lambda: failure.begin(simulation))
    simulation.clock.at((BEFORE + failure.lasts) * MINUTE_S, lambda: failure.fix(simulation))
    simulation.run(failure.minutes)
    return simulation.metrics


@functools.cache
def states_of(alarm: MetricAlarm, failure: Failure, late_min: int = LATE_MIN) -> tuple[str, ...]:
    """The alarm's state at each minute."""
    return tuple(alarm.states(metrics_of(failure), late_min))


def reds_of(alarms: Alarms, failure: Failure, late_min: int = LATE_MIN) -> Reds:
    """When which alarm is red."""
    states: dict[str, tuple[str, ...]] = {
        each.name: states_of(each, failure, late_min) for each in alarms.metric_alarms
    }
    for name, rule in alarms.composites.items():
        is_red = compile_expression(rule)
        rows = list(zip(*states.values(), strict=True))
        # An alarm that isn't there is not red.
        red = {
            row
            for row in set(rows)
            if is_red(defaultdict(float, zip(states, (each == ALARM for each in row), strict=True)))
        }
        states[name] = tuple(ALARM if row in red else "OK" for row in rows)
    return {name: found for name, row in states.items() if (found := _reds(row))}


def _reds(states: tuple[str, ...]) -> tuple[Red, ...]:
    found, begin = [], None
    for minute, state in enumerate(states):
        if state == ALARM and begin is None:
            begin = minute
        if state != ALARM and begin is not None:
            found.append(Red(begin - BEFORE, minute - BEFORE))
            begin = None
    return (*found, *([Red(begin - BEFORE, None)] if begin is not None else []))


def row_of(alarms: Alarms, failure: Failure) -> str:
    """As docs/alarms.md shows it."""
    reds = reds_of(alarms, failure)
    raised = [
        f"`{name}` {_times(name, reds[name])}" for name in sorted(reds, key=lambda name: reds[name][0].begin)
    ]
    return f"| {failure.name} | {', '.join(raised) or 'none'} | {_end(failure, reds)} |"


def _times(name: str, found: tuple[Red, ...]) -> str:
    if name in OF_EACH_LOT and len(found) > 1:
        return f"{shown(found[0].begin)}, {len(found)} times"
    return " and ".join(shown(red.begin) for red in found)


def _end(failure: Failure, reds: Reds) -> str:
    """How long after the fix the last alarm is green."""
    ends = [found[-1].end for found in reds.values()]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return "-"
    return shown(max(0, max(known) - (0 if failure.over_at_once else failure.lasts)))


def shown(minutes: int) -> str:
    """In words that fit: minutes to two hours, hours to three days."""
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.0f} h" if minutes < 3 * 1440 else f"{minutes / 1440:.1f} d"


def table(alarms: Alarms) -> str:
    """As docs/alarms.md shows it."""
    head = "| failure | red, and after how long | all green, after its end |\n|---|---|---|"
    return "\n".join([head, *(row_of(alarms, failure) for failure in FAILURES), UNSEEN])
