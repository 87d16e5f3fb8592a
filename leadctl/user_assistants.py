"""The assistants of the user with whose credentials a stage delivers, as its function can list them."""

from dataclasses import dataclass
from typing import Any

from deliver_leads.contract import ASSISTANTS_EVENT
from deliver_leads.event.address import same_address
from leadctl.problems import action_of
from leadctl.target import Target

_LONGEST_LISTING_S = 60


@dataclass(frozen=True)
class UserAssistants:
    """`addresses` is None if they aren't known; `why_unknown` says so then, in a part of a sentence."""

    addresses: frozenset[str] | None
    why_unknown: str = ""

    @classmethod
    def of(cls, target: Target) -> "UserAssistants":
        """Asks the function, which has the credentials. Never raises for what AWS or 7Targets answer."""
        if target.local:
            why = "the local sandbox takes any, because the API document doesn't say what 7Targets does"
            return cls(None, why)
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found, failed = target.invoke(
                "FunctionName", ASSISTANTS_EVENT, read_timeout_s=_LONGEST_LISTING_S, tries=1
            )
        except (ClientError, BotoCoreError) as error:
            return cls(None, f"the function doesn't answer ({_short(error)})")
        if failed or not isinstance(found, dict):
            return cls(None, "the deployed function can't list them")
        if "assistants" not in found:
            return cls(None, str(found.get("why")))
        return cls(frozenset(same_address(each) for each in found["assistants"]))


def _short(error: Exception) -> str:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return f"{action_of(getattr(error, 'operation_name', ''))}: {response.get('Error', {}).get('Code')}"
    return type(error).__name__
