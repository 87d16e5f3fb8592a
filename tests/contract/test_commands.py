"""The documents' commands are ones that the aws command line has."""

from pathlib import Path

import pytest

from tests.aws_command import CommandError, read_command
from tests.documents import PROJECT, aws_commands, shell_blocks

DOCUMENTS = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_aws_command_exists_with_all_its_options(document: Path) -> None:
    """A person copies it at night; services, operations, options and mandatory parameters are AWS's own."""
    for block in shell_blocks(document.read_text("utf-8")):
        for words in aws_commands(block):
            read_command(words, literal=False)


def test_the_documents_have_commands() -> None:
    """Else the test above proves nothing."""
    blocks = shell_blocks((PROJECT / "docs/runbook.md").read_text("utf-8"))
    assert sum(len(list(aws_commands(block))) for block in blocks) > 20


@pytest.mark.parametrize(
    "block",
    [
        "aws sqz send-message",
        "aws sqs send-messages",
        'aws sqs send-message --queue-url "$(output LeadQueueUrl)"',
        "aws sqs send-message --queue-url u --message-body b --message-text t",
        "aws sqs receive-message --queue-url u --max-number-of-messages ten",
        "aws dynamodb wait table-there --table-name t",
        "aws cloudformation deploy --stack-name s",
        "aws cloudformation deploy --stack-name s --template-file t --parameters p",
    ],
)
def test_a_command_that_aws_does_not_have_is_found(block: str) -> None:
    """Unknown services, operations and options, a missing parameter, a value of another type."""
    [words] = aws_commands(block)
    with pytest.raises((CommandError, ValueError)):
        read_command(words)
