"""The function's environment, as the tests set it."""

import os
from pathlib import Path

from deliver_leads.contract import pack_mappings

ENVIRONMENT = {
    "LEADS_API_URL": "https://api.example.com",
    "TOKEN_URL": "https://login.example.com/oauth2/token",
    "SECRET_ID": "client-secret",
    "LEAD_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/leads",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
    "LEDGER_TABLE": "ledger",
    "LEAD_DEFAULTS": "{}",
    "EVENT_SOURCES": "[]",
    "ONLY_RECIPIENTS": "[]",
    "MAPPINGS": pack_mappings([]),
    "PARALLEL_CALLS": "10",
    "CALLS_PER_SECOND": "0",
    "CONNECT_TIMEOUT_S": "3",
    "READ_TIMEOUT_S": "30",
    "SETTLING_S": "60",
    "VISIBILITY_TIMEOUT_S": "900",
    "DUPLICATE_WINDOW_S": "129600",
    "LEDGER_S": "7776000",
    "UPDATE_GRACE_S": "3600",
    "RETRY_BASE_DELAY_S": "30",
    "RETRY_MAX_DELAY_S": "900",
    "PARK_AFTER_S": "345600",
    "OUTCOME_EVENTS": "off",
    "EVENT_BUS": "arn:aws:events:us-east-1:123456789012:event-bus/leads",
}


def lambda_environment(packages: Path) -> dict[str, str]:
    """Lambda's own variables and the stack's, for a process whose code and packages are in this folder."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(packages),
        "LAMBDA_TASK_ROOT": str(packages),
        "AWS_LAMBDA_FUNCTION_NAME": "deliver-leads",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_SERVICE_NAME": "deliver-leads",
        "POWERTOOLS_METRICS_NAMESPACE": "SevenTargets/LeadDelivery",
        **ENVIRONMENT,
    }
