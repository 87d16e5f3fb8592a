"""A check without a lead: what a delivery needs, tried from inside the function's own network and role.

Nothing is written, sent or created. It costs one access token, which the API's owner pays for; a cached one
would prove nothing. The batches' token and circuit breaker aren't touched.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from ..api.access_token import AccessToken, AccessTokens
from ..api.http_client import LONGEST_AWS_CALL_S, HttpClient, TimeLeft
from ..contract import LedgerAttribute
from ..outcome import BlockedError, DeferredError, RetryError, describe_unforeseen
from ..settings import Settings
from .assistants import Assistants, UnprovenError, page_of_user

Result = TypeVar("Result")

# The codes with which DynamoDB and SQS answer.
GONE = {"ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
DENIED = {"AccessDenied", "AccessDeniedException"}
# The time that the metric and the answer to Lambda need after the last call.
ENDING_S = 1
IN_A_VPC = "in a VPC it needs DNS, a route out (a NAT gateway) and a security group that lets HTTPS out"
# A key that no lead has: the others are digests.
CHECK_KEY = {LedgerAttribute.PARTITION_KEY: {"S": "#ledger"}, LedgerAttribute.SORT_KEY: {"S": "#check"}}


class Report:
    """The findings of a check, part by part; free of secrets and personal data."""

    def __init__(self) -> None:
        self._right: list[str] = []
        self._unproven: list[dict[str, str]] = []
        self._problems: list[dict[str, str]] = []

    def part(self, name: str, step: Callable[[], Result], if_it_lasts: str = "") -> Result | None:
        """Tries one part, and never raises; returns None for a part that isn't shown to be right.

        `if_it_lasts`: what to do about a fault that may pass by itself, and doesn't.
        """
        try:
            result = step()
        except UnprovenError as error:
            self._unproven.append({"what": name, "why": str(error)})
        except BlockedError as error:
            self._add_problem(error.what, error.remedy)
        except DeferredError:
            what = f"{name}: not checked, because the invocation's time was nearly over"
            self._add_problem(what, "check again; if it lasts, raise the setting functionTimeoutSeconds")
        except RetryError as error:
            passes = "check again in some minutes, because this may pass by itself"
            self._add_problem(error.summary, f"{passes}; if it lasts, {if_it_lasts}")
        except Exception as error:
            self._add_problem(f"{name}: {describe_unforeseen(error)}", "report it, because this is a bug")
        else:
            self._right.append(name)
            return result
        return None

    def _add_problem(self, what: str, remedy: str) -> None:
        self._problems.append({"what": what, "do": remedy})

    def as_json(self) -> dict[str, Any]:
        """Each part is in `checked` (it is right), in `notChecked`, or has a problem."""
        return {
            "ok": not self._problems,
            "checked": self._right,
            "notChecked": self._unproven,
            "problems": self._problems,
        }


class Check:
    """The parts of one check."""

    def __init__(
        self,
        settings: Settings,
        http: HttpClient,
        tokens: AccessTokens,
        dynamodb: Any,  # noqa: ANN401 - boto3 clients, whose types exist in the stubs only
        sqs: Any,  # noqa: ANN401 - as above
        time_left: TimeLeft,
    ) -> None:
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._dynamodb = dynamodb
        self._sqs = sqs
        self._time_left = time_left

    def run(self) -> dict[str, Any]:
        """Tries every part, whatever the others show, as far as the time lets it. Never raises."""
        report, settings = Report(), self._settings
        credentials = report.part("secret", self._tokens.read_secret, _aws_fault("Secrets Manager"))
        token = report.part(
            "access token",
            lambda: self._tokens.fetch(_needed(credentials, "the secret"), self._time_left),
            _http_fault("tokenUrl", settings.token_url),
        )
        # Before the AWS calls: each HTTP call leaves time for four of them (RESERVE_S).
        self._check_api(report, token)
        report.part("ledger", self._reach_ledger, _aws_fault("DynamoDB"))
        for name, url in {
            "dead-letter queue": settings.dead_letter_queue_url,
            "lead queue": settings.lead_queue_url,
        }.items():
            report.part(name, partial(self._reach_queue, name, url), _aws_fault("SQS"))
        return report.as_json()

    def list_assistants(self) -> dict[str, Any]:
        """The addresses of the user's `assistants`, or `why` they aren't known. Nothing is logged."""
        try:
            token = self._tokens.fetch(self._tokens.read_secret(), self._time_left)
            api = Assistants(self._http, self._settings.leads_api_url, token, self._time_left)
            pages = api.pages(page_of_user(api.first_answer()))
            return {"assistants": sorted(set().union(*pages))}
        except UnprovenError as error:
            return {"why": str(error)}
        except RetryError as error:
            return {"why": error.summary}

    def _check_api(self, report: Report, token: AccessToken | None) -> None:
        base_url, wanted = self._settings.leads_api_url, self._settings.lead_defaults.get("assistantEmail")
        if_it_lasts = _http_fault("leadsApiUrl", base_url)
        api = Assistants(self._http, base_url, token, self._time_left) if token else None
        answer = report.part(
            "leads API", lambda: _needed(api, "the access token").first_answer(), if_it_lasts
        )
        page = report.part("user identifier", lambda: page_of_user(_needed(answer, "the leads API")))

        def require_assistant() -> None:
            first = _needed(page, "the user identifier")
            _needed(api, "the access token").require_assistant(first, wanted)

        report.part("assistants", require_assistant, if_it_lasts)

    def _reach_ledger(self) -> None:
        """Tries a write whose condition can't hold: it proves the right to write, and writes nothing."""
        write = partial(
            self._dynamodb.update_item,
            TableName=self._settings.ledger_table,
            Key=CHECK_KEY,
            UpdateExpression="SET checkedAt = :now",
            ConditionExpression="attribute_exists(#key) AND attribute_not_exists(#key)",
            ExpressionAttributeNames={"#key": LedgerAttribute.PARTITION_KEY},
            ExpressionAttributeValues={":now": {"N": "0"}},
        )
        table = self._settings.ledger_table
        restore = (
            f"restore it under its name, {table} (aws dynamodb restore-table-from-backup: with keepData, "
            "DynamoDB keeps a backup of a deleted table for 35 days); a stage whose ledger may be empty "
            "can be deleted and deployed again"
        )
        self._reach("ledger", write, restore)

    def _reach_queue(self, name: str, url: str) -> None:
        """The queue is there, and answers the function's role. SQS has no call that proves the right to send
        and sends nothing: it doesn't say whether it looks at rights or at parameters first.
        """
        queue = url.rpartition("/")[2]
        create = (
            f"create it again under its name, {queue}, with the attributes that the template gives it (aws "
            "sqs create-queue); a deployment doesn't, because CloudFormation doesn't see that it is gone"
        )
        ask = partial(self._sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["QueueArn"])
        self._reach(name, ask, create)

    def _reach(self, name: str, call: Callable[[], object], if_gone: str) -> None:
        if self._time_left() < LONGEST_AWS_CALL_S + ENDING_S:
            raise DeferredError("no time is left")
        try:
            call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "ConditionalCheckFailedException":
                return
            if code in GONE:
                raise BlockedError(f"{name}: it is gone ({code})", remedy=if_gone) from None
            if code in DENIED:
                remedy = (
                    "deploy the stack again, and look for a permissions boundary, a service control policy "
                    "or an endpoint policy that forbids it"
                )
                raise BlockedError(
                    f"{name}: the function's role may not use it ({code})", remedy=remedy
                ) from None
            raise RetryError(f"{name}: {code}") from None
        except BotoCoreError as error:
            raise RetryError(f"{name}: no answer ({type(error).__name__})") from None


def _needed(value: Result | None, part: str) -> Result:
    """Raises `UnprovenError` for a part that can't be tried because an earlier one isn't right."""
    if value is None:
        raise UnprovenError(f"{part} comes first")
    return value


def _aws_fault(service: str) -> str:
    return f"see that the function reaches {service}: {IN_A_VPC}, or an endpoint of that service"


def _http_fault(setting: str, url: str) -> str:
    host = urlsplit(url).hostname
    return f"check the setting {setting}, and that the function reaches {host}: {IN_A_VPC}"
