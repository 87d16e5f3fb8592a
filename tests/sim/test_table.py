"""For every failure the right alarms, in time and without flapping: the table in docs/alarms.md."""

import copy
import random
import re
from pathlib import Path

import pytest

from deliver_leads.api.http_client import HttpAnswer
from infra.alarm_texts import TEXTS
from sim.alarms.failures import FAILURES, Failure
from sim.alarms.stage_simulation import Simulation, answer
from sim.alarms.table import OF_EACH_LOT, alarms_of, reds_of, row_of, table, templates
from sim.synthesis import Resource, Templates

PAGE = Path(__file__).parents[2] / "docs/alarms.md"
# The simulations are made once in a process.
pytestmark = [pytest.mark.simulation, pytest.mark.xdist_group("alarms")]
WELL = [each for each in FAILURES if each.name.startswith("nothing")]
MADE = sorted(TEXTS)


def by_name(failure: Failure) -> str:
    """For the tests' names."""
    return failure.name


def test_the_table_of_the_page_is_what_the_simulation_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m sim.alarms --write` writes it anew."""
    computed = table(alarms_of(templates()))
    with capsys.disabled():
        print(f"\n{computed}")
    section = PAGE.read_text("utf-8").split("\n## Which failure raises which alarm\n")[1]
    assert "\n".join(re.findall(r"^\|.*", section.split("\n## ")[0], re.MULTILINE)) == computed


@pytest.mark.parametrize("failure", FAILURES, ids=by_name)
@pytest.mark.parametrize("late_min", [0, 2, 4])
def test_no_alarm_flaps_or_is_green_while_the_failure_lasts(failure: Failure, late_min: int) -> None:
    """The delay of CloudWatch's metrics makes no difference. Newly parked leads raise an alarm again."""
    for name, found in reds_of(alarms_of(templates()), failure, late_min).items():
        assert all(red.begin >= 0 for red in found), f"{name} is red before anything fails"
        if name not in OF_EACH_LOT:
            assert len(found) == 1, f"{name}: {found}"
            assert failure.over_at_once or found[0].end is None or found[0].end >= failure.lasts


@pytest.mark.parametrize("failure", WELL, ids=by_name)
def test_where_nothing_fails_no_alarm_is_red(failure: Failure) -> None:
    """Else nobody looks any more."""
    assert reds_of(alarms_of(templates()), failure) == {}


@pytest.mark.parametrize("failure", FAILURES, ids=by_name)
def test_after_the_end_every_alarm_is_green_again(failure: Failure) -> None:
    """A red one that nobody can end hides the next failure."""
    ends = {name: found[-1].end for name, found in reds_of(alarms_of(templates()), failure).items()}
    assert None not in ends.values(), ends


def test_newly_parked_leads_raise_the_alarm_each_time() -> None:
    """Leads are parked three times, two hours apart."""
    (failure,) = (each for each in FAILURES if each.name.startswith("leads are parked three times"))
    assert [red.begin // 120 for red in reds_of(alarms_of(templates()), failure)["LeadsParked"]] == [0, 1, 2]


def test_leads_parked_for_long_raise_an_alarm_before_sqs_deletes_them() -> None:
    """After 14 days; what SQS itself moved there may have 5.7 of them left."""
    (failure,) = (each for each in FAILURES if each.name.startswith("a parked lead is left"))
    (red,) = reds_of(alarms_of(templates()), failure)["LeadsParkedForLong"]
    assert red.begin < 5.5 * 1440


def test_a_pager_is_called_once_for_a_failure() -> None:
    """However many alarms follow the first."""
    for failure in FAILURES:
        assert len(reds_of(alarms_of(templates()), failure).get("LeadsNotFlowing", ())) <= 1


def test_a_pager_is_not_called_for_a_limit_or_for_a_single_lead() -> None:
    """Leads flow, or go as soon as the API lets them: only `LeadsWaiting` rings."""
    for failure in FAILURES:
        reds = reds_of(alarms_of(templates()), failure)
        if "LeadsWaiting" in reds and "LeadsNotFlowing" not in reds:
            assert re.search("429|one lead only|whose create never came", failure.name), failure.name
            assert set(reds) <= {"LeadsWaiting", "CheckFailed", "LeadsParked"}


@pytest.mark.parametrize(("part", "pages"), [(0.5, False), (0.9, True)])
def test_a_pager_is_called_only_if_leads_wait_for_an_hour_because_many_calls_fail(
    part: float, pages: bool
) -> None:
    """By chance. If each second call fails, `ApiDown` may come and go, but leads flow within minutes."""
    draw = random.Random(1)  # noqa: S311 - repeatable, protects nothing

    def begin(simulation: Simulation) -> None:
        def reply(method: str, lead: dict[str, str]) -> HttpAnswer:
            fails = method != "GET" and draw.random() < part
            return answer(500) if fails else simulation.take(method, lead)

        simulation.answer = reply

    reds = reds_of(alarms_of(templates()), Failure(name=f"{part:.0%} of all calls fail", begin=begin))
    assert ("LeadsWaiting" in reds, "LeadsNotFlowing" in reds) == (pages, pages)


def test_a_pager_is_called_if_half_of_the_leads_always_fail() -> None:
    """Though the others flow: it is more than a single lead."""
    (failure,) = (each for each in FAILURES if each.name == "7Targets answers 500 to half of the leads")
    (red,) = reds_of(alarms_of(templates()), failure)["LeadsNotFlowing"]
    assert red.begin <= 90


def without(stage: Templates, name: str) -> Templates:
    """A template from which somebody deleted this alarm."""
    monitoring = copy.deepcopy(stage.monitoring)
    (logical_id,) = (key for key in monitoring["Resources"] if re.sub(r"[0-9A-F]{8}$", "", key) == name)
    del monitoring["Resources"][logical_id]
    return Templates(stage.delivery, monitoring)


def metrics_in(stage: Templates) -> dict[str, Resource]:
    """Where each metric that an alarm watches has its name, by `<alarm>.<id>`."""
    found = {}
    for key, resource in stage.monitoring["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            name = re.sub(r"[0-9A-F]{8}$", "", key)
            for each in resource["Properties"].get("Metrics", []):
                if "MetricStat" in each:
                    found[f"{name}.{each['Id']}"] = each["MetricStat"]["Metric"]
            if "MetricName" in resource["Properties"]:
                found[f"{name}.metric"] = resource["Properties"]
    return found


def differs(stage: Templates) -> bool:
    """Whether any row of the table is another one."""
    mine, changed = alarms_of(templates()), alarms_of(stage)
    return any(row_of(mine, failure) != row_of(changed, failure) for failure in FAILURES)


@pytest.mark.parametrize("name", MADE)
def test_a_deleted_alarm_changes_the_table(name: str) -> None:
    """Each alarm sees something."""
    assert differs(without(templates(), name))


def test_a_metric_that_is_renamed_on_one_side_changes_the_table() -> None:
    """The alarm would watch a name that nothing writes."""
    stage = templates()
    for metric in metrics_in(stage):
        changed = Templates(stage.delivery, copy.deepcopy(stage.monitoring))
        metrics_in(changed)[metric]["MetricName"] += "Renamed"
        assert differs(changed), metric


@pytest.mark.parametrize("dimension", ["FunctionName", "QueueName", "RuleName", "EventBusName", "service"])
def test_a_wrong_dimension_changes_the_table(dimension: str) -> None:
    """CloudWatch takes a metric with other dimensions for another metric."""
    stage = templates()
    changed = Templates(stage.delivery, copy.deepcopy(stage.monitoring))
    for metric in metrics_in(changed).values():
        for each in metric["Dimensions"]:
            if each["Name"] == dimension:
                each["Value"] = "another"
    assert differs(changed)
