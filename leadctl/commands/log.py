"""`leadctl log`: what the function's log says, by reason."""

import time
from typing import Any

import click
from click.shell_completion import CompletionItem

from deliver_leads.contract import Outcome
from leadctl.log_search import MOST_LINES, Filter, Line, lines
from leadctl.moments import Length, ago, epoch, iso
from leadctl.options import Command, Invocation, pass_invocation, target_options
from leadctl.output import Column

NAMED: dict[str, Filter] = {
    "waiting": Filter("{ $.delay_s > 0 }", lambda line: line.fields.get("delay_s", 0) > 0),
    "errors": Filter.of_any("ERROR", "Traceback", "Task timed out", "Runtime exited", "signal: killed"),
    "reports": Filter.of_any("REPORT RequestId"),
    "unmailed": Filter(
        '{ $.outcome = "delivered" && $.lead_state != "Cold" }',
        lambda line: line.fields.get("outcome") == "delivered" and line.fields.get("lead_state") != "Cold",
    ),
    **{outcome: Filter.of_field("outcome", outcome) for outcome in Outcome},
}
_COLUMNS = (
    Column("count", "how many", lambda value: f"{value:,}"),
    Column("last", "last", lambda value: ago(epoch(value))),
    Column("outcome", "outcome"),
    Column("source", "source"),
    Column("reason", "reason"),
)
_LINE_COLUMNS = (Column("at", "at"), Column("line", "line"))


def _names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    return [CompletionItem(each) for each in NAMED if each.startswith(incomplete)]


@click.command(
    cls=Command,
    short_help="Show what the function's log says, by reason.",
    examples="""
    leadctl log waiting --stage prod
    leadctl log rejected --since 6h
    leadctl log errors
    leadctl log 'ThrottlingException' --each
    """,
)
@click.argument("what", metavar="[WHAT]", required=False, shell_complete=_names)
@click.option("--each", is_flag=True, help="Every line as it is, instead of each reason.")
@click.option("--since", type=Length(), default="1h", show_default=True, help="How far back to look.")
@target_options
@pass_invocation
def log(invocation: Invocation, what: str | None, each: bool, since: float) -> None:
    """Show the attempts of the last hour, how many with which outcome and reason; other lines as they are.

    WHAT is "waiting" (why leads wait), an outcome (delivered, rejected, blocked, ...), "unmailed" (7Targets
    took the lead and sends it no e-mail), "errors", "reports" (Lambda's own lines about durations and
    memory), or any text to look for.
    """
    wanted = Filter.of_field("message", "attempt") if what is None else NAMED.get(what, Filter.of_any(what))
    found = lines(invocation.target, wanted, time.time() - since)
    if each:
        invocation.out.rows(_LINE_COLUMNS, [{"at": iso(line.at_s), "line": line.text} for line in found])
    else:
        invocation.out.rows(_COLUMNS, _grouped(found))
    if not found:
        invocation.out.text("The log has nothing like that.")
    if len(found) == MOST_LINES:
        invocation.out.note(f"These are the first {MOST_LINES:,} lines: look at a shorter time, by --since.")


def _grouped(found: list[Line]) -> list[dict[str, Any]]:
    """By what has to be done about them, the largest group first; a line that is no attempt is its own."""
    groups: dict[tuple[str | None, ...], dict[str, Any]] = {}
    for line in found:
        names = ("outcome", "source", "reason")
        of = {name: line.fields.get(name) if line.is_attempt else None for name in names}
        if not line.is_attempt:
            of["reason"] = line.text
        group = groups.setdefault(tuple(of.values()), {"count": 0, **of})
        group["count"] += 1
        group["last"] = iso(line.at_s)
    return sorted(groups.values(), key=lambda group: -group["count"])
