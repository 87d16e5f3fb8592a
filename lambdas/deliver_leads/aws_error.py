"""What a failed call of an AWS service says, for a log line."""

from botocore.exceptions import BotoCoreError, ClientError


def error_code(error: ClientError | BotoCoreError) -> str:
    """AWS's code (`AccessDenied`), or the kind of the fault when no answer came (`ReadTimeoutError`)."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__
