"""What can go wrong for which a person, and not leadctl, is to blame; and what leadctl's exit codes mean."""

import re
import sys
from enum import IntEnum
from typing import IO, Any, ClassVar

import click

from leadctl.output import visible, wrapped


class ExitCode(IntEnum):
    """What a script can act on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    A_PERSON_HAS_TO_ACT = 3  # done, but something is left: parked leads, alarms, nothing found
    NO_ACCESS = 4  # no credentials, no right, no such stack
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141  # as of a process that SIGPIPE ends


class ProblemError(click.ClickException):
    """The text is a sentence for the person at the terminal."""

    exit_code: ClassVar[int] = ExitCode.FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """As click does, without its "Error:"."""
        message = visible(self.format_message())
        click.echo(wrapped(message) if sys.stderr.isatty() else message, file=file, err=file is None)


class NoAccessError(ProblemError):
    """No credentials, no right, no such stack."""

    exit_code = ExitCode.NO_ACCESS


class ToBeFixedError(ProblemError):
    """leadctl did its work, and a person has to do something first."""

    exit_code = ExitCode.A_PERSON_HAS_TO_ACT


class EndedError(ProblemError):
    """Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED


class NotChosenError(ProblemError):
    """A choice is missing that only a person can make."""

    exit_code = ExitCode.USAGE


# The service of each operation that leadctl calls, as IAM spells it.
_SERVICES = {
    "DescribeStacks": "cloudformation",
    "DescribeAlarms": "cloudwatch",
    "GetMetricData": "cloudwatch",
    "BatchGetItem": "dynamodb",
    "GetItem": "dynamodb",
    "DeleteItem": "dynamodb",
    "DescribeRule": "events",
    "GetEventSourceMapping": "lambda",
    "GetFunctionConfiguration": "lambda",
    "Invoke": "lambda",
    "ListTags": "lambda",
    "TagResource": "lambda",
    "UntagResource": "lambda",
    "UpdateEventSourceMapping": "lambda",
    "FilterLogEvents": "logs",
    "GetQueryResults": "logs",
    "StartQuery": "logs",
    "GetSecretValue": "secretsmanager",
    "PutSecretValue": "secretsmanager",
    "ListSubscriptionsByTopic": "sns",
    "ChangeMessageVisibility": "sqs",
    "ChangeMessageVisibilityBatch": "sqs",
    "DeleteMessage": "sqs",
    "DeleteMessageBatch": "sqs",
    "GetQueueAttributes": "sqs",
    "ReceiveMessage": "sqs",
    "SendMessage": "sqs",
    "SendMessageBatch": "sqs",
    "GetCallerIdentity": "sts",
}
# The operator policy leaves these out on purpose: they can send a lead twice, or show a secret.
NOT_FOR_OPERATORS = {"dynamodb:DeleteItem", "secretsmanager:GetSecretValue"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
_BAD_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


def action_of(operation: str) -> str:
    """The IAM action that an AWS operation needs."""
    name = {"Invoke": "InvokeFunction"}.get(operation, operation)
    return f"{_SERVICES.get(operation, '?')}:{re.sub(r'(?<=Message|ibility)Batch$', '', name)}"


def is_denied(error: Exception) -> bool:
    """Whether AWS says that the right is missing."""
    response: Any = getattr(error, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") in _DENIED


def explain(error: Exception, *, is_local: bool, policy: str) -> ProblemError | None:
    """A sentence for an error of AWS's client; None for any other error, which is a bug.

    `policy` names the managed policy that gives an operator's rights.
    """
    # Here, because it takes a while, and most calls of leadctl meet no error.
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        return _explain_answer(error, policy)
    if isinstance(error, aws.NoRegionError):
        return NotChosenError("No AWS region is chosen: use --region, AWS_REGION or a profile that has one.")
    if isinstance(error, aws.ProfileNotFound):
        return NoAccessError(f"{error}: choose one that `aws configure list-profiles` shows.")
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError):
        if is_local:
            return NoAccessError(f"The local run doesn't answer; start it by `make dev`. ({error})")
        return ProblemError(f"AWS doesn't answer: {error}. Check the network, the region and the proxy.")
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError | aws.CredentialRetrievalError):
        return NoAccessError(f"No AWS credentials: {error}. Log in (aws sso login) or choose a --profile.")
    if isinstance(error, aws.BotoCoreError):
        # Among them all that single sign-on says about a session that is over.
        is_login = isinstance(error, aws.SSOError | aws.TokenRetrievalError | aws.UnauthorizedSSOTokenError)
        return NoAccessError(f"{error} Log in again.") if is_login else ProblemError(f"AWS's client: {error}")
    return None


def _explain_answer(error: Any, policy: str) -> ProblemError:  # noqa: ANN401 - botocore's ClientError
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code in _DENIED:
        action = action_of(error.operation_name)
        if action in NOT_FOR_OPERATORS:
            return NoAccessError(
                f"You lack the right {action}. {policy} leaves it out on purpose: ask an administrator."
            )
        return NoAccessError(f"You lack the right {action}. {policy} gives it: attach it to your role.")
    if code in _BAD_CREDENTIALS:
        return NoAccessError(
            f"AWS doesn't take your credentials ({code}): log in again or choose a --profile."
        )
    return ProblemError(f"{action_of(error.operation_name)} failed: {code}: {message}")
