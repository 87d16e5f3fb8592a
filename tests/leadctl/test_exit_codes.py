"""How a command ends: docs/leadctl.md's table, row by row."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from deliver_leads.lead_state import State
from deliver_leads.outcome import RejectedError
from leadctl.problems import ExitCode
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import BODY, CHECKED, JANE, answer_of_function, claim, complete, raise_alarm

DOCUMENT = Path(__file__).parents[2] / "docs" / "leadctl.md"


def nothing(_: Stage) -> None:
    """As it is after a deployment."""


def parked(stage: Stage) -> None:
    """A lead that 7Targets refused."""
    stage.park(BODY)


def hidden(stage: Stage) -> None:
    """A parked message that somebody else looks at."""
    stage.park(BODY)
    stage.sqs.receive_message(QueueUrl=stage.outputs["DeadLetterQueueUrl"], VisibilityTimeout=100)


def seen_and_hidden(stage: Stage) -> None:
    """Two parked messages, one of which somebody else looks at."""
    hidden(stage)
    stage.park(BODY, message_id="message-2")


def delivered(stage: Stage) -> None:
    """A lead without trouble."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)


def delivered_and_parked(stage: Stage) -> None:
    """A lead whose later event was refused."""
    delivered(stage)
    parked(stage)


def waiting(stage: Stage) -> None:
    """A lead whose event had no answer."""
    complete(stage, claim(stage), state=State.WAITING, unanswered=True)


def alarm(stage: Stage) -> None:
    """One that is on; the function's own check finds nothing."""
    raise_alarm("ManyRejected")
    stage.answers["DescribeRule"] = lambda _: {"Name": "leads", "State": "ENABLED"}
    answer_of_function(stage, CHECKED)


def paused(stage: Stage) -> None:
    """By somebody, somewhere."""
    stage.mapping.state = "Disabled"


def denied(stage: Stage) -> None:
    """A person without an operator's rights."""
    for operation in ("ReceiveMessage", "Query", "GetQueueAttributes"):
        stage.failures[operation] = "AccessDenied"


def broken(stage: Stage) -> None:
    """AWS doesn't do what it is asked for."""
    stage.failures["GetQueueAttributes"] = "InternalError"


def interrupted(stage: Stage) -> None:
    """Ctrl-C."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    stage.before["GetQueueAttributes"] = interrupt


CASES: list[tuple[int, str, Callable[[Stage], None]]] = [
    (0, f"find {JANE}", delivered),
    (0, "status", nothing),
    (0, "log waiting", nothing),
    (0, "parked list", nothing),
    (0, "parked show message-1", parked),
    (0, "parked export -", parked),
    (0, "parked retry --all --yes", parked),
    (0, "parked retry --all --dry-run", parked),
    (0, "parked drop --all --yes", parked),
    (0, "parked edit message-1 --file right.json --yes", parked),
    (0, f"erase {JANE} --yes", parked),
    (0, f"erase {JANE} --yes", nothing),
    (0, "send right.json --yes", nothing),
    (0, "import right.csv --yes", nothing),
    (0, "pause --reason why --yes", nothing),
    (0, "resume --yes", paused),
    (0, "open 4711", nothing),
    (0, "version", nothing),
    (1, "status", broken),
    (1, "parked export right.json", parked),
    (2, "parked retry", parked),
    (2, "parked retry --all", parked),
    (2, "open nowhere", nothing),
    (3, f"find {JANE}", nothing),
    (3, f"find {JANE}", parked),
    (3, f"find {JANE}", delivered_and_parked),
    (3, f"find {JANE}", hidden),
    (3, "status", parked),
    (3, "status", alarm),
    (3, "status", paused),
    (3, "doctor", alarm),
    (3, "parked list", parked),
    (3, "parked list", hidden),
    (3, "parked show message-1", nothing),
    (3, "parked export -", seen_and_hidden),
    (3, "parked retry --all --yes", nothing),
    (3, "parked retry --all --yes", seen_and_hidden),
    (3, "parked drop --all --yes", hidden),
    (3, "parked drop --all --yes", seen_and_hidden),
    (3, "parked edit message-1 --file wrong.json --yes", parked),
    (3, f"erase {JANE} --yes", seen_and_hidden),
    (3, f"erase {JANE} --ledger --yes", waiting),
    (3, "send wrong.json --yes", nothing),
    (3, "import wrong.csv --yes", nothing),
    (3, "import wrong.csv --dry-run", nothing),
    (3, "pause --reason why --yes", paused),
    (3, f"open {JANE}", nothing),
    (4, "status", denied),
    (4, "status --stage prod", nothing),
    (4, f"find {JANE}", denied),
    (130, "status", interrupted),
]


@pytest.mark.parametrize(("code", "command", "before"), CASES)
def test_each_command_ends_as_the_table_says(
    stage: Stage, code: int, command: str, before: Callable[[Stage], None]
) -> None:
    """A script decides by it."""
    lead = {"name": "Jane", "email": JANE, "assistantEmail": "sam@example.com", "phone": "1"}
    right = {"operation": "create", "lead": lead}
    Path("right.json").write_text(json.dumps(right), "utf-8")
    Path("wrong.json").write_text("{}", "utf-8")
    for name, email in {"right.csv": JANE, "wrong.csv": "no address"}.items():
        Path(name).write_text(f"name,email,assistantEmail\nJane,{email},sam@example.com\n", "utf-8")
    before(stage)
    result = stage.run(*command.split())
    assert result.exit_code == code, result.output


def test_the_table_has_every_code_and_every_code_has_a_case() -> None:
    """But the one of a closed pipe, which takes a process."""
    text = DOCUMENT.read_text("utf-8").split("| exit code |")[1].split("\n\n")[0]
    written = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert written == set(ExitCode)
    assert {code for code, _, _ in CASES} == written - {ExitCode.OUTPUT_CLOSED}


def test_following_a_stage_ends_with_a_sentence(stage: Stage) -> None:
    """Ctrl-C is its only end."""

    def interrupt() -> None:
        if stage.operations().count("GetEventSourceMapping") > 1:
            raise KeyboardInterrupt

    stage.before["GetEventSourceMapping"] = interrupt
    result = stage.run("status", "--follow", "--every", "1")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "Interrupted. Nothing was changed.")


def test_with_yes_there_is_no_question(stage: Stage) -> None:
    """The answer is given already."""
    stage.park(BODY, RejectedError("answered 422"))
    assert "?" not in stage.run("parked", "retry", "--all", "--yes").output
