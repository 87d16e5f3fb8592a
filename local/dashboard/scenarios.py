"""What happens in a run for the picture: which leads are published, and what goes wrong meanwhile."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.publishing import REFUSED_WORDS, LeadToPublish
from local.stack.deployment import Deployment

_UNAVAILABLE = {"kind": "status", "status": 503}


@dataclass(frozen=True)
class Scenario:
    """`begins` and `ends` are shares of the run; in between, `fault` is committed, and `undo` ends it.

    `share_wrong`: of the leads published meanwhile, how many the function can't take.
    """

    title: str
    begins: float
    ends: float
    fault: Callable[[Deployment], None]
    undo: Callable[[Deployment], None]
    share_wrong: float = 0.0


def usual_faults() -> list[dict[str, Any]]:
    """What a healthy API does now and then, and how long it takes."""
    refusal = {"kind": "status", "status": 422, "body": {"message": REFUSED_WORDS}}
    over_the_limit = {"id": 4711, "email": "over@example.com", "state": "New"}
    not_mailed = {"kind": "status", "status": 200, "body": over_the_limit, "stored": True}
    of_some = {40: refusal, 75: not_mailed, 171: refusal, 301: not_mailed}
    return [
        *(
            {"operation": "create", "email": f"lead{number}@example.com", "fault": fault}
            for number, fault in of_some.items()
        ),
        {"operation": "leads", "rate": 0.01, "fault": {"kind": "status", "status": 429}},
        {"operation": "leads", "fault": {"kind": "delay", "seconds": 0.15}},
    ]


def _calm(deployment: Deployment) -> None:
    deployment.sandbox.set_faults(usual_faults())


def _go_down(deployment: Deployment) -> None:
    deployment.sandbox.set_faults([{"operation": "leads", "fault": _UNAVAILABLE}])


def _withdraw_credentials(deployment: Deployment) -> None:
    """7Targets doesn't know the client any more."""
    cognito = deployment.emulator.client("cognito-idp")
    (pool,) = cognito.list_user_pools(MaxResults=10)["UserPools"]
    cognito.delete_user_pool_client(UserPoolId=pool["Id"], ClientId=deployment.credentials.client_id)
    deployment.sandbox.revoke_tokens()


def _nothing(_: Deployment) -> None:
    """The leads themselves are wrong."""


SCENARIOS: Mapping[str, Scenario] = {
    "outage": Scenario("7Targets was down, and is back", 0.4, 0.82, _go_down, _calm),
    "api-down": Scenario("7Targets is down", 0.6, 1.0, _go_down, _nothing),
    "credentials": Scenario("the credentials were withdrawn", 0.6, 1.0, _withdraw_credentials, _nothing),
    "rejected": Scenario("a producer sends wrong leads", 0.7, 0.85, _nothing, _nothing, share_wrong=0.6),
}


def event(number: int, is_wrong: bool) -> LeadToPublish:
    """A create, every third one on the bus; a wrong one has another name for the lead's name.

    Now and then an event is sent again, or its lead has a field that 7Targets doesn't have.
    """
    if number % 25 == 1:
        number -= 1
    name = "fullName" if is_wrong else "name"
    lead = {
        name: f"Lead {number}",
        "email": f"lead{number}@example.com",
        "assistantEmail": "sam@example.com",
        **({"utmCampaign": "spring"} if number % 50 == 7 else {}),
    }
    content = {"lead": lead, "idempotencyKey": f"form-{number}"}
    channel = "eventbridge" if number % 3 == 0 else "sqs"
    if channel == "sqs":
        content["operation"] = "create"
    expected = "rejected" if is_wrong else "delivered"
    return LeadToPublish(channel, "create", lead, json.dumps(content), expected)
