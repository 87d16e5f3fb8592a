"""`leadctl open`: the page where a stage, or a lead, is to be seen."""

import sys
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem

from deliver_leads.event.address import same_address
from deliver_leads.event.idempotency_key import hash_address
from leadctl.lead_story import APP_URL, LedgerReader
from leadctl.options import Command, Invocation, pass_invocation, target_options
from leadctl.problems import ProblemError, ToBeFixedError
from leadctl.target import Target

PLACES = ("dashboard", "alarms", "log", "queue", "parked", "function", "stack")


def _places(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    return [CompletionItem(each) for each in PLACES if each.startswith(incomplete)]


@click.command(
    "open",
    cls=Command,
    short_help="Open the page of a stage or a lead in the browser.",
    examples="""
    leadctl open --stage prod
    leadctl open log
    leadctl open jane@example.com --print
    """,
)
@click.argument("what", metavar="[WHAT|EMAIL|ID]", required=False, shell_complete=_places)
@click.option("--print", "only_print", is_flag=True, help="Only print the address, as off a terminal.")
@target_options
@pass_invocation
def open_(invocation: Invocation, what: str | None, only_print: bool) -> None:
    """Open a page in the browser: dashboard, alarms, log, queue, parked, function or stack.

    With an EMAIL or a 7Targets ID it is the lead's page in the vendor's app. Without anything it is the
    dashboard, or the local run's page. Off a terminal the address is printed.
    """
    url = _address(invocation.target, what)
    invocation.out.text(url)
    invocation.out.record({"url": url})
    if sys.stdout.isatty() and not only_print:
        click.launch(url)


def _address(target: Target, what: str | None) -> str:
    if what and "@" in same_address(what):
        lead = LedgerReader(target).find(hash_address(what))
        if lead is None or lead.url is None:
            raise ToBeFixedError("The ledger has no id of this lead at 7Targets: leadctl find shows more.")
        return lead.url
    if what and what.isdecimal():
        return APP_URL.format(what)
    if what and what not in PLACES:
        raise click.UsageError(f"{what!r} is none of {', '.join(PLACES)}, no address and no id.")
    if target.local:
        if what is None and target.local.page_url:
            return target.local.page_url
        raise ProblemError("A local run has no pages of AWS's console.")
    return _console(target, what or "dashboard")


def _console(target: Target, place: str) -> str:
    base = f"https://{target.region}.console.aws.amazon.com"
    region = f"region={target.region}"
    if place == "dashboard":
        url = (target.monitoring_outputs() or {}).get("DashboardUrl")
        if url is None:
            raise ProblemError(f"{target.monitoring_stack} has no dashboard: deploy this version of it.")
        return url
    if place == "alarms":
        name = quote(f"{target.monitoring_stack}-", safe="")
        return f"{base}/cloudwatch/home?{region}#alarmsV2:?search={name}"
    if place == "log":
        # CloudWatch's pages want the name escaped twice, with $ for %.
        group = quote(quote(target.output("LogGroupName"), safe=""), safe="").replace("%", "$")
        return f"{base}/cloudwatch/home?{region}#logsV2:log-groups/log-group/{group}"
    if place in {"queue", "parked"}:
        queue = target.output("LeadQueueUrl" if place == "queue" else "DeadLetterQueueUrl")
        return f"{base}/sqs/v3/home?{region}#/queues/{quote(queue, safe='')}"
    if place == "function":
        return f"{base}/lambda/home?{region}#/functions/{target.output('FunctionName')}"
    return f"{base}/cloudformation/home?{region}#/stacks?filteringText={target.stack_name}"
