"""The operators' queries of the function's log, in CloudWatch's query language; the dashboard shows some.

A line's fields are the ones that `deliver_leads/batch.py` writes; a parked lead has no `delay_s`, because it
doesn't come back to the lead queue. Only what JSON has as text or number is compared: the documentation says
nothing of how a query sees true and false.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

_PARKED = (
    'filter message = "attempt" and outcome not in ["delivered", "duplicate", "ignored"] '
    "and not ispresent(delay_s)"
)
_NOT_MAILED_STATE = 'tolower(lead_state) in ["new", "deactivated", "pending"]'
_LAST_FIRST = "sort @timestamp desc"

REASONS = f"""{_PARKED}
| stats count(*) as leads, latest(@timestamp) as last by outcome, reason, source
| sort leads desc
| limit 50"""

LAST_PARKED = f"""fields @timestamp, outcome, reason, operation, source, event_id, lead
| {_PARKED}
| {_LAST_FIRST}
| limit 20"""

WAITING = """filter message = "attempt" and ispresent(delay_s)
| stats count(*) as attempts, count_distinct(lead) as leads, latest(@timestamp) as last by outcome, reason
| sort attempts desc
| limit 50"""

# The states that the metric NotMailed counts.
NOT_MAILED = f"""fields @timestamp, lead_state, lead_id, operation, source, lead
| filter message = "attempt" and operation != "stop_followup" and {_NOT_MAILED_STATE}
| {_LAST_FIRST}
| limit 20"""

ONE_LEAD = """# HASH: printf %s "jane@example.com" | sha256sum, in lower case, the domain in punycode.
fields @timestamp, outcome, reason, operation, status, delay_s, receive_count, duration_ms, lead_id, event_id
| filter message = "attempt" and lead = "HASH"
| sort @timestamp asc
| limit 1000"""

SLOWEST = """fields @timestamp, duration_ms, outcome, status, reason, operation, lead
| filter message = "attempt"
| sort duration_ms desc
| limit 50"""

# An array's elements are fields of their own.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
UNKNOWN_FIELDS = """filter message = "attempt" and ispresent(unknown_fields.0)
| stats count(*) as events, latest(@timestamp) as last
    by source, unknown_fields.0, unknown_fields.1, unknown_fields.2
| sort events desc
| limit 50"""

SAVED = {
    "One lead's story": ONE_LEAD,
    "Parked, by reason": REASONS,
    "Last parked": LAST_PARKED,
    "Waiting, by reason": WAITING,
    "Slowest attempts": SLOWEST,
    "Unknown fields": UNKNOWN_FIELDS,
    "Leads not mailed": NOT_MAILED,
}
