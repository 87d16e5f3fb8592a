"""The nine situations of docs/scale.md, each by default settings and by the settings that suit it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.scale.simulation import LeadsApi, Scenario
from infra.config import DeploymentConfig

ARRIVING_MIN, DOWN_FROM_MIN, DOWN_UNTIL_MIN, UNTIL_MIN = 90, 15, 75, 120
RATES = (10, 1_000, 100_000)
# Below the first, defaults suit; above the second, five environments are too few.
FEW, MANY = 100, 10_000
BURST_RATE, BURST_MIN = 3_500, 10
A_SECOND = 50
LIMITED = f"{A_SECOND} calls a second"
APIS = {
    "healthy": LeadsApi(),
    LIMITED: LeadsApi(a_second=A_SECOND),
    "down for an hour": LeadsApi(down_from_s=DOWN_FROM_MIN * 60, down_until_s=DOWN_UNTIL_MIN * 60),
}
DEFAULTS = "defaults"
SUITED = "suited"

_DEFAULT_CONFIG = DeploymentConfig(stage="model")
# Calls at a time = calls a second x seconds of a call, so that no call is turned away.
_GENTLE: dict[str, Any] = {"maximum_concurrency": 2, "parallel_calls": 5}
_GATHER: dict[str, Any] = {"batching_window_seconds": 1}
_FEW_ENVIRONMENTS: Mapping[str, Any] = {"maximum_concurrency": 2}
_WIDE: Mapping[str, Any] = {"maximum_concurrency": 100}


@dataclass(frozen=True)
class Case:
    """One run. `changed`: the settings that differ from the defaults."""

    rate: int
    api: str
    settings: str
    changed: Mapping[str, Any] = field(compare=False)
    arriving_min: int = ARRIVING_MIN

    @property
    def leads(self) -> str:
        """How they come, in a few words."""
        few = self.arriving_min < ARRIVING_MIN
        return f"{self.rate:,} for {self.arriving_min} min" if few else f"{self.rate:,}"

    @property
    def scenario(self) -> Scenario:
        """To simulate; each with an API of its own."""
        return Scenario(
            leads_a_minute=self.rate,
            config=replace(_DEFAULT_CONFIG, **self.changed),
            api=replace(APIS[self.api]),
            arriving_s=self.arriving_min * 60,
            until_s=UNTIL_MIN * 60,
        )


def cases(rates: tuple[int, ...] = RATES) -> Iterator[Case]:
    """Where the defaults suit, there is one run only."""
    for rate in rates:
        for api in APIS:
            yield Case(rate, api, DEFAULTS, {})
            changed = _suited(rate, api)
            if changed:
                yield Case(rate, api, SUITED, changed)


def bursts() -> Iterator[Case]:
    """Somewhat more than the API takes, for a short time."""
    for settings, changed in ((DEFAULTS, {}), (SUITED, _GENTLE | _GATHER)):
        yield Case(BURST_RATE, LIMITED, settings, changed, BURST_MIN)


def at_once(
    leads: int, api: LeadsApi, changed: Mapping[str, Any] | None = None, *, seed: int = 1
) -> Scenario:
    """About so many leads within a second, until all are delivered."""
    return Scenario(
        leads_a_minute=leads * 60,
        config=replace(_DEFAULT_CONFIG, **(changed or {})),
        api=api,
        arriving_s=1,
        until_s=math.inf,
        seed=seed,
    )


@dataclass(frozen=True)
class Limit:
    """What an API with this limit takes in an hour, at once."""

    a_second: int
    settings: str
    changed: Mapping[str, Any] = field(compare=False)

    @property
    def scenario(self) -> Scenario:
        """To simulate."""
        return at_once(3_600 * self.a_second, LeadsApi(a_second=self.a_second), self.changed)


def limits() -> Iterator[Limit]:
    """By default, and with as few environments as possible."""
    for a_second in (1, 5, 50):
        yield Limit(a_second, DEFAULTS, {})
        yield Limit(a_second, SUITED, _FEW_ENVIRONMENTS)


def _suited(rate: int, api: str) -> Mapping[str, Any]:
    if rate < FEW:
        return {}
    if APIS[api].a_second < math.inf:
        return {**_GENTLE, **_GATHER}
    return {**_GATHER, **(_WIDE if rate > MANY else {})}
