"""`leadctl import` as a person calls it: the real function behind the queue, a stand-in for the API."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from click.testing import Result

from deliver_leads.api.http_client import HttpClient, TimeLeft
from deliver_leads.api.leads_api import LeadsApi
from deliver_leads.batch import read
from deliver_leads.breaker import CircuitBreaker
from deliver_leads.dead_letters import DeadLetterQueue
from deliver_leads.delivery import Delivery
from deliver_leads.event.lead import Json, Operation
from deliver_leads.event.mappings import EventMapper
from deliver_leads.event.message import Message
from deliver_leads.ledger import Ledger
from deliver_leads.outcome import DeliveredLead, RejectedError, UnknownLeadError
from deliver_leads.pace import Pace
from deliver_leads.settings import Settings
from leadctl.commands import import_ as command
from leadctl.importing.journal import Journal
from sim.settings import ENVIRONMENT
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import write_local_run

HEADER = "First_Name;Last_Name;Email_ID;phone;Assistant;Notes\r\n"


class Quick:
    """The function's HTTP client, as far as a delivery asks it."""

    longest_call_s = 1.0

    def require_time(self, time_left: TimeLeft) -> None:
        """There is always enough."""


@dataclass
class Api:
    """The leads API: counts the creates of each address, and refuses those with "refused" in them."""

    creates: Counter[str] = field(default_factory=Counter)
    leads: dict[str, int] = field(default_factory=dict)
    last_success_s: float = 0.0

    def send(self, operation: Operation, lead: Mapping[str, Json], time_left: TimeLeft) -> DeliveredLead:
        """One call."""
        email = str(lead["email"])
        if "refused" in email:
            why = f"leads API answered 422: {email} is on the suppression list"
            raise RejectedError("leads API answered 422", detail=why, status=422)
        if operation is not Operation.CREATE and email not in self.leads:
            raise UnknownLeadError("leads API answered 404", status=404)
        if operation is Operation.CREATE:
            self.creates[email] += 1
        number = self.leads.setdefault(email, len(self.leads) + 1)
        return DeliveredLead(number, "Cold", 200)


class Function:
    """The deployed function behind a stage's lead queue, run while leadctl sleeps."""

    def __init__(self, stage: Stage) -> None:
        self.api = Api()
        self.stage = stage
        self.is_running = True
        self.most_waiting = 0
        self._settings = Settings.from_environment(
            {
                **ENVIRONMENT,
                "LEAD_QUEUE_URL": stage.outputs["LeadQueueUrl"],
                "DEAD_LETTER_QUEUE_URL": stage.outputs["DeadLetterQueueUrl"],
                "LEAD_DEFAULTS": stage.function_settings["LEAD_DEFAULTS"],
            }
        )
        self._delivery = Delivery(
            self._settings,
            cast(HttpClient, Quick()),
            cast(LeadsApi, self.api),
            Ledger(stage.dynamodb, self._settings),
            DeadLetterQueue(stage.sqs, self._settings.dead_letter_queue_url),
            CircuitBreaker(30, 300),
            Pace(),
        )

    def run(self, _: float = 0) -> None:
        """Takes what is in the queue now."""
        if not self.is_running:
            return
        taken = self.stage.take()
        self.most_waiting = max(self.most_waiting, len(taken))
        for message in taken:
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            received = Message.from_record(record)
            attempt = self._delivery.attempt(
                received, read(received, self._settings, EventMapper(())), lambda: 100
            )
            assert attempt.delay_s is None, attempt


@pytest.fixture
def function(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Function:
    """Runs whenever leadctl would sleep."""
    played = Function(stage)
    monkeypatch.setattr(time, "sleep", played.run)
    return played


def write(text: str, name: str = "leads.csv", encoding: str = "utf-8") -> None:
    """A file in the current folder."""
    Path(name).write_bytes(text.encode(encoding))


def rows(*emails: str) -> str:
    """A file in the vendor's format."""
    return HEADER + "".join(f"Zoë;Doe;{email};+1202;sam@example.com;x\r\n" for email in emails)


def import_(stage: Stage, *words: str, **more: Any) -> Result:
    """Calls leadctl, follows the leads, asks nothing."""
    return stage.run("import", *(words or ("leads.csv",)), "--yes", "--wait", **more)


def many(number: int) -> list[str]:
    """Addresses of as many leads."""
    return [f"lead{each}@example.com" for each in range(number)]


def test_a_file_is_delivered_and_what_was_not_taken_comes_back(stage: Stage, function: Function) -> None:
    """In the user's own encoding, with the API's words beside the checks'; corrected, it goes through."""
    write(rows("a@b.co", "no address", "refused@b.co", "A@b.co", "c@d.co"), encoding="cp1252")
    result = import_(stage)
    assert result.exit_code == 3, result.stderr
    assert result.stdout.splitlines() == [
        "5 rows: 3 leads sent, 2 delivered, 1 refused, 2 wrong.",
        "leads_invalid.csv holds those that were not taken, with reasons: correct it and import it.",
        "The refused ones are parked as well: once their corrections are imported, leadctl parked drop.",
    ]
    invalid = Path("leads_invalid.csv").read_bytes().decode("cp1252")
    assert invalid == (
        HEADER.replace("\r\n", ";reason\r\n")
        + "Zoë;Doe;no address;+1202;sam@example.com;x;"
        + '"email: is not an e-mail address, because it has no ""@"""\r\n'
        + "Zoë;Doe;refused@b.co;+1202;sam@example.com;x;"
        + '"leads API answered 422: refused@b.co is on the suppression list"\r\n'
        + 'Zoë;Doe;A@b.co;+1202;sam@example.com;x;"same lead as line 2"\r\n'
    )
    corrected = (
        invalid.replace("no address", "e@f.co").replace("refused@", "taken@").replace("A@b.co", "g@h.co")
    )
    write(corrected, "leads_invalid.csv", "cp1252")
    result = import_(stage, "leads_invalid.csv")
    assert (result.exit_code, result.stdout) == (0, "3 rows: 3 leads sent, 3 delivered.\n")
    assert function.api.creates == Counter(["a@b.co", "c@d.co", "e@f.co", "taken@b.co", "g@h.co"])


def test_the_preview_says_what_will_be_sent_and_asks(stage: Stage, function: Function) -> None:
    """Off a terminal it takes --yes; nothing is sent or written before."""
    write(rows("a@b.co", "wrong"), encoding="cp1252")
    result = stage.run("import", "leads.csv", "--daily-limit", "100")
    assert result.exit_code == 2
    for line in (
        "leads.csv: CSV, Windows-1252, separated by semicolon, 2 rows",
        "  It isn't UTF-8, so this is a guess. If it looks wrong, use --encoding.",
        "Ignored: Notes",
        '        1  email: is not an e-mail address, because it has no "@" (line 3)',
        "        1  sam@example.com, a day at 100 a day",
    ):
        assert line in result.stderr.splitlines()
    assert result.stderr.endswith("Nothing was done, because off a terminal this needs --yes.\n")
    assert "a@b.co" not in result.stderr, "stderr may be a log"
    assert stage.take() == []
    assert [path.name for path in Path.cwd().iterdir()] == ["leads.csv"]


def test_rows_with_several_reasons_are_counted_once(stage: Stage, function: Function) -> None:
    """And it is said, because the reasons' counts are more than the rows then."""
    write("name,email,assistantEmail\nJane,wrong,wrong\nJoe,wrong,sam@example.com\n")
    result = stage.run("import", "leads.csv", "--dry-run")
    assert "Wrong: 2 rows, with 3 reasons, because some have several" in result.stderr.splitlines()


def test_a_file_without_a_row_has_nothing_to_ask_for(stage: Stage, function: Function) -> None:
    """Neither really nor in a dry run."""
    write(HEADER)
    for option in ("--yes", "--dry-run"):
        result = stage.run("import", "leads.csv", option)
        assert result.exit_code == 0
        assert "There is no lead to send." in result.stderr
        assert "Send 0" not in result.stderr


def test_a_dry_run_sends_and_writes_nothing(stage: Stage, function: Function) -> None:
    """Its figures are there for scripts, too."""
    write(rows("a@b.co", "wrong", "c@d.co"))
    result = stage.run("import", "leads.csv", "--dry-run", "-o", "json")
    assert result.exit_code == 3
    plan = json.loads(result.stdout)
    assert (plan["rows"], plan["toSend"], plan["wrong"]) == (3, 2, 1)
    assert "Send 2 leads to LeadDelivery-dev? 7Targets begins to e-mail them" in result.stderr
    assert plan["reasons"] == {'email: is not an e-mail address, because it has no "@"': 1}
    assert stage.take() == []
    assert [path.name for path in Path.cwd().iterdir()] == ["leads.csv"]


def test_ctrl_c_means_stop_and_the_same_command_goes_on(
    stage: Stage, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lead is created twice, and the exit code says that it was interrupted."""
    monkeypatch.setattr(command, "AHEAD", 10)
    write(rows(*many(40)))
    naps = 0

    def sleep(_: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 3:
            raise KeyboardInterrupt
        function.run()

    monkeypatch.setattr(time, "sleep", sleep)
    result = import_(stage)
    assert result.exit_code == 130
    assert "of 40 leads sent" in result.stderr
    assert "The same command again goes on where this one ended" in result.stderr
    sent = [name for name in stage.operations() if name == "SendMessageBatch"]
    assert len(sent) < 4
    monkeypatch.setattr(time, "sleep", function.run)
    result = import_(stage)
    assert result.exit_code == 0, result.stderr
    assert "40 rows: " in result.stdout
    assert "40 delivered." in result.stdout
    assert set(function.api.creates.values()) == {1}
    assert len(function.api.creates) == 40
    assert function.most_waiting <= 10


def test_a_kill_between_the_queue_and_the_journal_creates_no_lead_twice(
    stage: Stage, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is in the queue twice; the function takes the second one for what it is."""
    write(rows("a@b.co"))
    note = Journal.note

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "note", killed)
    assert import_(stage).exit_code == 130
    monkeypatch.setattr(Journal, "note", note)
    assert import_(stage).stdout == "1 row: 1 lead sent, 1 delivered.\n"
    assert function.most_waiting == 2
    assert function.api.creates == Counter({"a@b.co": 1})


@pytest.mark.parametrize(
    ("existing", "creates", "said"),
    [
        ("skip", 1, "2 rows: 1 lead sent, 1 delivered, 1 skipped.\n"),
        ("update", 1, "2 rows: 2 leads sent, 2 delivered.\n"),
        ("create", 1, "2 rows: 2 leads sent, 2 delivered.\n"),
    ],
)
def test_a_lead_that_came_by_an_event_a_minute_before_is_not_created_again(
    stage: Stage, function: Function, existing: str, creates: int, said: str
) -> None:
    """Whatever its key was, and whatever the person wants of it."""
    lead = {"name": "Zoë", "email": "a@b.co", "assistantEmail": "sam@example.com"}
    event = {"operation": "create", "idempotencyKey": "form-1", "lead": lead}
    stage.sqs.send_message(QueueUrl=stage.outputs["LeadQueueUrl"], MessageBody=json.dumps(event))
    function.run()
    write(rows("a@b.co", "c@d.co"))
    assert import_(stage, "leads.csv", "--existing", existing).stdout == said
    assert function.api.creates == Counter({"a@b.co": creates, "c@d.co": 1})


def test_leads_that_a_throttled_ledger_leaves_out_are_asked_for_again(
    stage: Stage, function: Function
) -> None:
    """Else they would count as unknown, and be created again."""
    write(rows("a@b.co"))
    import_(stage)
    Path("leads.csv.leadctl").unlink()

    def leave_out(params: dict[str, Any]) -> dict[str, Any]:
        del stage.answers["BatchGetItem"]
        return {"Responses": {}, "UnprocessedKeys": json.loads(params["body"])["RequestItems"]}

    stage.answers["BatchGetItem"] = leave_out
    assert import_(stage).stdout == "1 row: 0 leads sent, 1 delivered.\n"
    assert function.most_waiting == 1


def test_leads_go_as_one_fair_queue_group(stage: Stage, function: Function) -> None:
    """So that today's leads are not behind them; a standard queue refuses a deduplication id."""
    function.is_running = False
    write(rows("a@b.co", "c@d.co"))
    stage.run("import", "leads.csv", "--yes", "--no-wait")
    groups = [message["Attributes"] for message in stage.take()]
    assert [each["MessageGroupId"] for each in groups] == ["leadctl-import", "leadctl-import"]
    assert all("MessageDeduplicationId" not in each for each in groups)


def test_without_waiting_the_outcome_is_one_more_call(stage: Stage, function: Function) -> None:
    """Which sends nothing."""
    function.is_running = False
    write(rows("a@b.co"))
    result = stage.run("import", "leads.csv", "--yes")
    assert result.stdout == (
        "1 row: 1 lead sent, 1 under way.\n"
        "What becomes of those under way: the same command again, with --wait.\n"
    )
    function.is_running = True
    assert import_(stage).stdout == "1 row: 0 leads sent, 1 delivered.\n"


def test_credentials_that_expire_in_the_middle_end_with_how_to_go_on(
    stage: Stage, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, and what was sent is in the journal."""
    write(rows(*many(25)))
    calls = 0

    def send(params: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "SendMessageBatch")
        return stage_send(params)

    def stage_send(params: dict[str, Any]) -> dict[str, Any]:
        entries = json.loads(params["body"])["Entries"]
        for each in entries:
            stage.sqs.send_message(QueueUrl=stage.outputs["LeadQueueUrl"], MessageBody=each["MessageBody"])
        return {"Successful": [{"Id": each["Id"]} for each in entries]}

    stage.answers["SendMessageBatch"] = send
    result = import_(stage)
    assert result.exit_code == 4
    assert "log in again" in result.stderr
    assert "10 of 25 leads sent" in result.stderr
    assert "The same command again goes on" in result.stderr
    assert import_(stage).stdout == "25 rows: 15 leads sent, 25 delivered.\n"
    assert function.api.creates == Counter(many(25))


def test_a_missing_right_is_named_with_the_policy_that_gives_it(stage: Stage) -> None:
    """Before anything is sent."""
    write(rows("a@b.co"))
    stage.failures["BatchGetItem"] = "AccessDeniedException"
    result = import_(stage)
    assert result.exit_code == 4
    assert "You lack the right dynamodb:BatchGetItem" in result.stderr
    del stage.failures["BatchGetItem"]
    stage.failures["GetFunctionConfiguration"] = "AccessDeniedException"
    result = import_(stage)
    assert result.exit_code == 4
    assert "lambda:GetFunctionConfiguration" in result.stderr
    assert stage.take() == []


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (rows("a@b.co"), ("nothing.csv",), "nothing.csv: No such file or directory."),
        ("", ("leads.csv",), "leads.csv: It is empty."),
        (
            "name,email\n",
            ("leads.csv",),
            "leadctl import leads.csv --wait --yes --set 'assistantEmail=ADDRESS'",
        ),
        (
            rows("a@b.co"),
            ("leads.csv", "--map", "Mail=email"),
            'There is no column "Mail"',
        ),
        (rows("a@b.co"), ("leads.csv", "--set", "colour=red"), "there is no field colour"),
        (rows("a@b.co"), ("leads.csv", "--encoding", "latin-99"), "There is no encoding 'latin-99'"),
        (rows("a@b.co"), ("leads.csv", "--encoding", "idna"), "There is no encoding 'idna' for a table"),
        (rows("a@b.co"), ("leads.csv", "--encoding", "undefined"), "There is no encoding 'undefined'"),
        (rows("a@b.co"), ("leads.csv", "--encoding", "utf-8\0"), "There is no encoding 'utf-8"),
    ],
)
def test_what_is_wrong_with_the_file_as_a_whole_is_one_sentence(
    stage: Stage, text: str, words: tuple[str, ...], said: str
) -> None:
    """Nothing is sent."""
    write(text)
    result = import_(stage, *words)
    assert result.exit_code in {1, 2}
    assert said in result.stderr
    assert stage.take() == []


def test_the_assistant_may_come_from_the_stages_defaults(stage: Stage) -> None:
    """The preview counts it, and the message holds it."""
    stage.function_settings["LEAD_DEFAULTS"] = json.dumps({"assistantEmail": "sam@example.com"})
    write("name,email\nJane,a@b.co\n")
    result = stage.run("import", "leads.csv", "--yes", "--no-wait")
    assert "        1  sam@example.com" in result.stderr.splitlines()
    [message] = stage.take()
    assert json.loads(message["Body"])["lead"]["assistantEmail"] == "sam@example.com"


def test_leads_may_come_by_stdin_as_json_lines(stage: Stage, function: Function) -> None:
    """Our files are then in the current folder."""
    lines = '{"name": "Jane", "email": "a@b.co", "assistantEmail": "sam@example.com"}\n{"email": "c@d.co"}\n'
    result = import_(stage, "-", stdin=lines)
    assert result.exit_code == 3, result.stderr
    assert json.loads(Path("stdin_invalid.jsonl").read_text())["reason"] == (
        "name: is missing; every create needs it; assistantEmail: is missing; every create needs it"
    )
    assert function.api.creates == Counter({"a@b.co": 1})


def test_the_result_is_there_for_scripts(stage: Stage, function: Function) -> None:
    """On stdout alone."""
    write(rows("a@b.co", "wrong"))
    result = import_(stage, "leads.csv", "-o", "json")
    assert json.loads(result.stdout) == {
        "rows": 2,
        "sent": 1,
        "delivered": 1,
        "refused": 0,
        "wrong": 1,
        "skipped": 0,
        "underWay": 0,
        "invalidFile": "leads_invalid.csv",
    }


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_sent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a journal, a second call would not know what the first has sent."""
    write(rows("a@b.co"))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", "leads.csv.leadctl")

    monkeypatch.setattr("leadctl.importing.journal.os.open", full)
    result = import_(stage)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "leads.csv.leadctl: No space left on device.",
    )
    assert stage.take() == []


def test_leads_that_do_not_flow_are_said_while_the_import_waits(
    stage: Stage, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with the command that says why."""
    write(rows("a@b.co"))
    now, naps = time.monotonic(), 0

    def sleep(_: float) -> None:
        nonlocal naps
        naps += 1
        if naps > 5:
            function.run()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now + naps * 30)
    result = import_(stage)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("No lead was settled for a minute") == 1


def test_a_local_run_that_was_started_anew_gets_all_rows_again(
    stage: Stage, function: Function, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has the name of the one before and none of its leads; a stage in AWS never forgets."""
    write_local_run(tmp_path, stage)
    # moto answers for AWS's own addresses only.
    monkeypatch.setattr("leadctl.target._client", lambda session, local, service, *_: session.client(service))
    write(rows("a@b.co"))
    assert import_(stage, "leads.csv", "--local").stdout == "1 row: 1 lead sent, 1 delivered.\n"
    assert import_(stage, "leads.csv", "--local").stdout == "1 row: 0 leads sent, 1 delivered.\n"
    for item in stage.dynamodb.scan(TableName="ledger")["Items"]:
        stage.dynamodb.delete_item(TableName="ledger", Key={name: item[name] for name in ("lead", "event")})
    assert import_(stage, "leads.csv", "--local").stdout == "1 row: 1 lead sent, 1 delivered.\n"
