"""Addresses and JSON as people's tools write them, through the queue to the API: one person is one lead."""

import json

from tests.integration.conftest import SECRET, Pipeline

LEAD = {"name": "Gus", "email": "gus@example.com", "assistantEmail": "sam@example.net"}
WRITTEN = [
    # Copied from a phone book or a chat.
    *("\u202agus@example.com\u202c", "\u2066gus@example.com\u2069", "gus@example.com\u061c"),
    *("gus@exam\u00adple.com", "\ufeffgus@example.com", "gus\u200b@example.com", "gus@example.com\ufe0f"),
    *("\u00a0gus@example.com\u2028", "gus\u3164@example.com"),
    # With what mail programs, links and lists write around it.
    *("'gus@example.com'", "`gus@example.com`", "(gus@example.com)", "“gus@example.com”"),
    *("«gus@example.com»", '„gus@example.com"', "\u2019gus@example.com\u2019", "「gus@example.com」"),
    *("<gus@example.com>", '"Gus, Mr" <gus@example.com>', "mailto:gus%40example.com?subject=Hi"),
    *("SMTP:gus@example.com", "gus@example.com;", "gus@example.com.", "gus@Example.COM"),
    # From an East Asian keyboard.
    "ｇｕｓ＠ｅｘａｍｐｌｅ．ｃｏｍ",  # noqa: RUF001
]


def create(**fields: object) -> dict[str, object]:
    """A create event."""
    return {"operation": "create", "lead": LEAD | fields}


def test_one_person_is_one_lead_however_the_address_is_written(pipeline: Pipeline) -> None:
    """The API gets the address as it can be written to, once."""
    for written in WRITTEN:
        pipeline.send(
            create(email=written, assistantEmail=written.replace("gus", "sam").replace("com", "net"))
        )
    while records := pipeline.receive():
        assert pipeline.deliver(records) == set()
    assert [body["email"] for body in pipeline.bodies("create")] == ["gus@example.com"]
    assert len(pipeline.ledger()) == 1


def test_a_byte_order_mark_before_the_secret_and_the_message_is_read_over(pipeline: Pipeline) -> None:
    """PowerShell and Windows' editors write one; RFC 8259 lets a reader skip it."""
    pipeline.secrets.put_secret_value(SecretId="client-secret", SecretString="\ufeff" + json.dumps(SECRET))
    pipeline.send("\ufeff" + json.dumps(create()))
    inner = "\ufeff" + json.dumps(create(email="amy@example.com"))
    pipeline.send("\ufeff" + json.dumps({"Type": "Notification", "Message": inner}))
    assert pipeline.deliver() == set()
    assert pipeline.leads().keys() == {"gus@example.com", "amy@example.com"}


def test_a_secret_that_is_no_json_is_said_to_be_that_and_where(pipeline: Pipeline) -> None:
    """In the check's report, without a character of the secret; the leads wait."""
    pipeline.secrets.put_secret_value(SecretId="client-secret", SecretString="{client_id:hunter2}")
    pipeline.send(create())
    assert len(pipeline.deliver()) == 1
    report = json.dumps(pipeline.handler({"check": True}, pipeline.context))
    assert "secret client-secret isn't JSON: reading it fails at character 2" in report
    assert "hunter2" not in report + pipeline.log.getvalue()
