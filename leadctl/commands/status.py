"""`leadctl status`: do leads flow?"""

import time

import click

from deliver_leads.contract import Metric
from leadctl.moments import how_long, iso
from leadctl.options import Command, Invocation, Result, pass_invocation, target_options
from leadctl.problems import ExitCode
from leadctl.stage_health import Health, look_at


@click.command(
    cls=Command,
    short_help="Say whether leads flow.",
    examples="""
    leadctl status --stage prod
    leadctl status --follow --every 10
    leadctl status -o json | jq .parkedByReason
    """,
)
@click.option("--follow", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--every", type=click.IntRange(1), default=5, show_default=True, help="Seconds, with --follow.")
@target_options
@pass_invocation
def status(invocation: Invocation, follow: bool, every: int) -> Result:
    """Say in one sentence whether leads flow; then the figures.

    The counts of queues are SQS's, and approximate. Ends with 3 when a person has to act. With --follow, a
    line for each change; -o json writes JSON Lines then.
    """
    health = look_at(invocation.target)
    if not follow:
        _tell(invocation, health)
        invocation.out.record(health.as_json())
        return ExitCode.A_PERSON_HAS_TO_ACT if health.needs_a_person else None
    shown = ""
    while True:
        if invocation.out.form != "table":
            invocation.out.json_line({"at": iso(time.time())} | health.as_json())
        elif (line := _line(health)) != shown:
            invocation.out.text(f"{iso(time.time())}  {line}")
            shown = line
        time.sleep(every)
        health = look_at(invocation.target, health.parked)


def _line(health: Health) -> str:
    queue = health.queue
    return f"{health.sentence()} Queue: {queue['waiting']:,} waiting, {queue['hidden']:,} under way or later."


def _tell(invocation: Invocation, health: Health) -> None:
    out, queue, parked = invocation.out, health.queue, health.parked
    out.text(health.sentence())
    out.text()
    out.text(f"{queue['waiting'] + queue['delayed']:10,}  wait in the lead queue")
    out.text(f"{queue['hidden']:10,}  are under way, or come back later")
    if (delivered := health.metrics.get(Metric.DELIVERED)) is not None:
        out.text(f"{round(delivered):10,}  delivered in the last hour")
    if (oldest := health.metrics.get(Metric.OLDEST_RETURNED)) is not None:
        out.text(f"{how_long(oldest):>10}  is how long the oldest one that was tried waits")
    out.text(f"{parked.count:10,}  parked")
    for group in parked.groups:
        out.text(f"{group['count']:14,}  {group['reason']}: {group['detail']}")
    if parked.looked_at < parked.count:
        out.text(f"{'':14}  (of the {parked.looked_at:,} that were looked at)")
    out.text(f"{health.tap.state:>10}  is the event source mapping")
    for alarm in health.alarms or []:
        out.text(f"{'ALARM':>10}  {alarm['name']}, since {alarm['since']}")
    if health.alarms is None:
        out.text(f"{'-':>10}  alarms: none is known here")
    elif not health.alarms:
        out.text(f"{'OK':>10}  all alarms")
    if not health.metrics:
        out.note("No metrics of the last hour: CloudWatch is minutes late, and has none of a local run.")
