"""The figures of a run of the fault suite, as a table."""

from collections import Counter

from rich.table import Table

from local.chaos.aws_fault_proxy import AwsFaultProxy
from local.chaos.campaign import Evidence
from local.chaos.faults import Kill
from local.chaos.invariants import Verdict


def figures(evidence: Evidence, verdict: Verdict, kills: list[Kill], proxy: AwsFaultProxy) -> Table:
    """Everything that was counted, whether the invariants held or not."""
    requests = evidence.requests
    outage = evidence.outage
    # The share is the storm's, because in an outage all answers are wrong.
    before = [each for each in requests if each["at"] < outage.began_at]
    faulty = sum(each["fault"] is not None for each in before)
    duplicates = sum(each.event.expected == "duplicate" for each in evidence.published)
    operations = Counter(kill.operation for kill in kills)
    effects = Counter(each["effect"] for each in requests)
    rows = {
        **{f"{promise}": count for promise, count in verdict.counts().items()},
        "events published": len(evidence.published),
        "  of these duplicates": duplicates,
        "leads the API holds": len(evidence.leads),
        "  held before": len(evidence.existing),
        "  of these, assigned by a create": effects["assigned"],
        "requests that reached the API": len(requests),
        "  before the outage": len(before),
        "    answered wrongly": f"{faulty} ({faulty / max(1, len(before)):.1%})",
        "workers killed in mid-call": ", ".join(f"{count} {name}" for name, count in operations.items()) or 0,
        "execution environments started": evidence.environments,
        "access tokens fetched": sum(
            each["operation"] == "token" and each["status"] == 200 for each in requests
        ),
        "ledger writes throttled": proxy.counts["throttled"],
        "  done, but the answer dropped": proxy.counts["dropped"],
        "  carried out but for one lead": proxy.counts["in part"],
        "  leads that met two in a row": len(proxy.retries_exhausted),
        "sent again, the answer not noted": verdict.repeated,
        "  or perhaps not seen in time": verdict.unseen,
        "requests that took effect late": sum(each["fault"] == "late" for each in requests),
        "dead letters": len(evidence.dead_letters),
        "  overruled by a later event": verdict.overruled,
        "  parked again after a kill": verdict.parked_twice,
        "  sends refused": proxy.counts["refused"],
        "outage, in seconds": f"{outage.lasted_s:.0f}",
        "  events that had to wait": outage.waiting,
        "  calls": f"{outage.calls} (bound {outage.most_calls}, for {outage.environments} environments)",
        "  last event delivered after": f"{verdict.drained_s:.1f} s",
    }
    table = Table("Figure", "Value")
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table
