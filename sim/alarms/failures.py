"""The ways in which a stage can fail, each as what it changes in a simulated stage."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from deliver_leads.api.http_client import HttpAnswer
from sim.alarms.stage_simulation import SECRET, KilledError, Simulation, answer, no_answer

HOUR, DAY = 60, 1440  # in minutes
BUSY, QUIET, HARDLY = 10, 180, 720
# It runs well before.
BEFORE = 2 * HOUR
Change = Callable[[Simulation], None]


def _heal(simulation: Simulation) -> None:
    """Whatever it was."""
    well = Simulation(simulation.stage)
    for name in ("throttled", "breaks", "aws_errors", "rule_dead_letter_queue_refuses", "secret"):
        setattr(simulation, name, getattr(well, name))
    simulation.answer, simulation.token_answer = simulation.take, well.token_answer
    simulation.rule.refusal = ""
    simulation.lead_queue.others_in_flight = simulation.lead_queue.others_ready = 0
    if not simulation.mapping_enabled:
        simulation.enable_mapping(True)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """`traffic`: a lead in so many minutes; 0: none. `lasts` and `after`: minutes until it is fixed, and
    from then to the simulation's end. `over_at_once`: nothing is broken any more after it has happened.
    """

    name: str
    begin: Change
    fix: Change = _heal
    traffic: int = BUSY
    lasts: int = 8 * HOUR
    after: int = 6 * HOUR
    over_at_once: bool = False

    @property
    def minutes(self) -> int:
        """All together."""
        return BEFORE + self.lasts + self.after


def _set(**attributes: object) -> Change:
    def change(simulation: Simulation) -> None:
        for name, value in attributes.items():
            setattr(simulation, name, value)

    return change


def _api(status: int, **content: object) -> Change:
    return _set(answer=lambda *_: answer(status, **content))


def _limited(simulation: Simulation) -> None:
    """A lead in half an hour is taken."""
    free_s = 0.0

    def reply(method: str, lead: dict[str, str]) -> HttpAnswer:
        nonlocal free_s
        if method != "GET" and simulation.clock.now < free_s:
            return answer(429)
        free_s = simulation.clock.now + 1800 if method != "GET" else free_s
        return simulation.take(method, lead)

    simulation.answer = reply


def _half_of_the_leads(simulation: Simulation) -> None:
    """Each second one, however often it is sent."""
    is_well: dict[str, bool] = {}

    def reply(method: str, lead: dict[str, str]) -> HttpAnswer:
        if method == "GET" or is_well.setdefault(lead["email"], len(is_well) % 2 == 1):
            return simulation.take(method, lead)
        return answer(500)

    simulation.answer = reply


def _token(status: int, error: str = "") -> Change:
    """No token is left from before."""

    def change(simulation: Simulation) -> None:
        simulation.token_answer = lambda: answer(status, error=error)
        simulation.deploy()

    return change


def _no_answer(simulation: Simulation) -> None:
    simulation.answer = lambda *_: no_answer(simulation)


def _no_secret(code: str) -> Change:
    def change(simulation: Simulation) -> None:
        simulation.aws_errors = {"get_secret_value": code}
        simulation.deploy()

    return change


def _placeholder(simulation: Simulation) -> None:
    simulation.secret = json.dumps(dict.fromkeys(SECRET, "REPLACE_ME"))
    simulation.deploy()


def _rule(refusal: str, dead_letters: bool = True) -> Change:
    def change(simulation: Simulation) -> None:
        simulation.rule.refusal = refusal
        simulation.rule_dead_letter_queue_refuses = not dead_letters

    return change


def _empty_rule_dead_letters(simulation: Simulation) -> None:
    _heal(simulation)
    simulation.rule_dead_letter_queue.messages.clear()


def _one_lead(reply: Callable[[Simulation], HttpAnswer], **lead: str) -> Change:
    """It alone gets this reply."""

    def change(simulation: Simulation) -> None:
        def reply_to(called: str, sent: dict[str, str]) -> HttpAnswer:
            if sent["email"] == "special@example.com":
                return reply(simulation)
            return simulation.take(called, sent)

        simulation.answer = reply_to
        simulation.publish(email="special@example.com", **lead)

    return change


def _kill(_: Simulation) -> HttpAnswer:
    raise KilledError


def _lots(simulation: Simulation) -> None:
    """Three, two hours apart."""
    for hours in range(3):
        simulation.clock.after(hours * 2 * 3600, lambda: simulation.publish(email="no address"))


def _many(simulation: Simulation) -> None:
    """A producer sends one a minute that lacks its name."""
    for minute in range(8 * HOUR):
        simulation.clock.after(minute * 60, lambda: simulation.publish(name=""))


def _some(simulation: Simulation) -> None:
    """15 in an hour, beside 75 that are well."""
    for number in range(15):
        simulation.clock.after(number * 240 + 30, lambda: simulation.publish(name=""))
        simulation.clock.after(number * 240 + 90, simulation.publish)


def _others(**counts: int) -> Change:
    """So many leads that are not simulated one by one."""

    def change(simulation: Simulation) -> None:
        for name, count in counts.items():
            setattr(simulation.lead_queue, name, count)

    return change


def _one_undelivered(simulation: Simulation) -> None:
    simulation.rule.refusal = "final"
    simulation.publish()
    simulation.rule.refusal = ""


def _no_parking(simulation: Simulation) -> None:
    simulation.aws_errors = {"send_message": "AccessDenied"}
    simulation.publish(email="no address")


FAILURES: tuple[Failure, ...] = (
    Failure(name="nothing; a lead in ten minutes", begin=lambda _: None, lasts=2 * DAY),
    Failure(name="nothing; a lead in twelve hours", begin=lambda _: None, traffic=HARDLY, lasts=2 * DAY),
    Failure(name="nothing; leads wait for their turn, after an import", begin=_others(others_ready=1000)),
    Failure(
        name="the function fails at its start, crashes, or has no memory left",
        begin=_set(breaks="at its start"),
    ),
    Failure(name="the same, with few leads", begin=_set(breaks="at its start"), traffic=QUIET, lasts=DAY),
    Failure(name="the function times out on every batch", begin=_set(breaks="at its time-out")),
    Failure(name="invocations take nearly as long as the time-out", begin=_set(breaks="near its time-out")),
    Failure(name="the function crashes over one lead", begin=_one_lead(_kill), over_at_once=True),
    Failure(name="throttled by the account's concurrency", begin=_set(throttled=True)),
    Failure(name="the same, with few leads", begin=_set(throttled=True), traffic=QUIET, lasts=DAY),
    Failure(name="the event source mapping is disabled", begin=lambda s: s.enable_mapping(False)),
    Failure(
        name="the same, with few leads", begin=lambda s: s.enable_mapping(False), traffic=QUIET, lasts=DAY
    ),
    Failure(name="7Targets answers 503", begin=_api(503), lasts=8 * HOUR),
    Failure(name="the same, with few leads", begin=_api(503), traffic=QUIET, lasts=2 * DAY),
    Failure(name="the same, for 100 hours", begin=_api(503), traffic=HARDLY, lasts=100 * HOUR),
    Failure(name="7Targets doesn't answer", begin=_no_answer, traffic=QUIET, lasts=DAY),
    Failure(name="7Targets answers 429", begin=_api(429), lasts=8 * HOUR),
    Failure(
        name="7Targets takes fewer calls than leads come, and answers 429", begin=_limited, lasts=8 * HOUR
    ),
    Failure(name="7Targets answers 503 for three minutes", begin=_api(503), lasts=3),
    Failure(name="7Targets answers 500 to half of the leads", begin=_half_of_the_leads),
    Failure(
        name="7Targets answers 500 to one lead only", begin=_one_lead(lambda _: answer(500)), lasts=8 * HOUR
    ),
    Failure(name="the token endpoint answers 503", begin=_token(503), lasts=8 * HOUR),
    Failure(name="the same, with few leads", begin=_token(503), traffic=QUIET, lasts=DAY),
    Failure(
        name="Secrets Manager is throttled", begin=_no_secret("ThrottlingException"), traffic=QUIET, lasts=DAY
    ),
    Failure(name="the secret can't be read", begin=_no_secret("AccessDeniedException"), lasts=8 * HOUR),
    Failure(name="the secret is still the placeholder", begin=_placeholder, traffic=QUIET, lasts=2 * DAY),
    Failure(name="the credentials are wrong", begin=_token(400, "invalid_client"), lasts=8 * HOUR),
    Failure(
        name="the same, with few leads", begin=_token(400, "invalid_client"), traffic=QUIET, lasts=2 * DAY
    ),
    Failure(
        name="the credentials are wrong, and no lead comes", begin=_token(400, "invalid_client"), traffic=0
    ),
    Failure(name="`leadsApiUrl` is wrong (404)", begin=_api(404), lasts=8 * HOUR),
    Failure(name="the plan has ended (402)", begin=_api(402), traffic=QUIET, lasts=DAY),
    Failure(
        name="one lead's assistant isn't the user's (403)", begin=_one_lead(lambda _: answer(403)), lasts=DAY
    ),
    Failure(
        name="the plan is full: leads stay in the state `New`",
        begin=_api(201, id=1, state="New"),
        traffic=QUIET,
        lasts=DAY,
        after=30 * HOUR,
    ),
    Failure(name="7Targets rejects a lead (422)", begin=_one_lead(lambda _: answer(422)), over_at_once=True),
    Failure(
        name="an event with an unknown detail type",
        begin=lambda s: s.publish(detail_type="LeadCreated"),
        over_at_once=True,
    ),
    Failure(
        name="an update whose create never came",
        begin=_one_lead(lambda _: answer(404), detail_type="Lead Updated"),
        traffic=QUIET,
        over_at_once=True,
    ),
    Failure(name="leads are parked three times, two hours apart", begin=_lots, over_at_once=True),
    Failure(name="a producer sends leads that are rejected, one a minute", begin=_many),
    Failure(
        name="15 of the 90 leads of an hour are rejected", begin=_some, traffic=1, lasts=HOUR, after=2 * HOUR
    ),
    Failure(
        name="a parked lead is left for 13 days",
        begin=lambda s: s.publish(email="no address"),
        fix=lambda s: s.dead_letter_queue.messages.clear(),
        traffic=HARDLY,
        lasts=13 * DAY,
        after=3 * DAY,
    ),
    Failure(name="the dead-letter queue refuses a lead", begin=_no_parking, lasts=2 * DAY),
    Failure(
        name="the ledger can't be used", begin=_set(aws_errors={"update_item": "ResourceNotFoundException"})
    ),
    Failure(
        name="the same, with few leads",
        begin=_set(aws_errors={"update_item": "ThrottlingException"}),
        traffic=QUIET,
        lasts=2 * DAY,
    ),
    Failure(
        name="the ledger's writes after calls fail",
        begin=_set(aws_errors={"update_item after a call": "InternalServerError"}),
    ),
    Failure(
        name="the bus refuses outcome events (`outcomeEvents`)",
        begin=_set(aws_errors={"put_events": "AccessDeniedException"}),
    ),
    Failure(name="95,000 leads are in flight", begin=_others(others_in_flight=95_000)),
    Failure(
        name="the rule can't reach the lead queue for a time",
        begin=_rule("passing"),
        traffic=QUIET,
        lasts=20 * HOUR,
    ),
    Failure(
        name="the same, for more than 24 hours",
        begin=_rule("passing"),
        fix=_empty_rule_dead_letters,
        traffic=QUIET,
        lasts=2 * DAY,
    ),
    Failure(
        name="the rule may not use the lead queue",
        begin=_rule("final"),
        fix=_empty_rule_dead_letters,
        traffic=QUIET,
        lasts=DAY,
    ),
    Failure(
        name="an event is left in the rule's dead-letter queue for 13 days",
        begin=_one_undelivered,
        fix=_empty_rule_dead_letters,
        traffic=HARDLY,
        lasts=13 * DAY,
        after=3 * DAY,
    ),
    Failure(
        name="the rule may use neither queue",
        begin=_rule("final", dead_letters=False),
        traffic=QUIET,
        lasts=DAY,
        after=30 * HOUR,
    ),
    Failure(
        name="no lead comes (`noLeadsAlarmHours` is 24)",
        begin=lambda s: setattr(s, "silent", True),
        fix=lambda s: setattr(s, "silent", False),
        lasts=2 * DAY,
    ),
)
