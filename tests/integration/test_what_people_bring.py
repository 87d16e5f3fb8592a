"""Addresses and JSON as people's tools write them, through the queue to the API: one person is one lead."""

import json

import pytest

from tests.integration.conftest import SECRET, Pipeline

LEAD = {"name": "Gus", "email": "gus@example.com", "assistantEmail": "sam@example.net"}
WRITTEN = [
    # Copied from a phone book or a chat.
    *("\u202agus@example.com\u202c", "\u2066gus@example.com\u2069", "gus@example.com\u061c"),
    *("gus@exam\u00adple.com", "\ufeffgus@example.com", "gus\u200b@example.com", "gus@example.com\ufe0f"),
    *("\u00a0gus@example.com\u2028", "gus\u3164@example.com"),
    # With what mail programs, links and lists write around it.
    *("'gus@example.com'", "`gus@example.com`", "(gus@example.com)", "“gus@example.com”"),
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


@pytest.mark.parametrize(
    "texts",
    [
        ("q9@müller.example", "q9@MÜLLER.example", "q9@mu\u0308ller.example", "q9@xn--mller-kva.example"),
        ("jörg@example.com", "jo\u0308rg@example.com", "JÖRG@example.com"),
    ],
    ids=ascii,
)
def test_a_domain_in_unicode_and_in_punycode_is_one_lead(pipeline: Pipeline, texts: tuple[str, ...]) -> None:
    """A browser's e-mail field sends punycode, a CRM what somebody typed."""
    for number, text in enumerate(texts):
        pipeline.send(create(email=text, context=f"version {number}") | {"idempotencyKey": f"k-{number}"})
        assert pipeline.deliver() == set()
    assert [operation for operation, _ in pipeline.calls()] == ["create"] + ["update"] * (len(texts) - 1)
    assert len(pipeline.ledger()) == 1


@pytest.mark.parametrize(
    "address",
    [
        *("ulf@example.com)", "(ulf@example.com", "'ulf@example.com", "ulf@exa_mple.com", "ulf@1.2.3.4"),
        *("u lf@example.com", "u\x7flf@example.com", "ulf..x@example.com", "o’neil@example.com"),  # noqa: RUF001
        *("\u0430my@example.com", "ulf@xn--a.com", '"u lf"@example.com', "ulf@example.com <eve@example.com>"),
    ],
    ids=ascii,
)
def test_what_nobody_can_write_to_is_parked_with_the_reason_and_never_created(
    pipeline: Pipeline, address: str
) -> None:
    """A lead can't be deleted, and its address can't be changed."""
    pipeline.send(create(email=address))
    pipeline.deliver()
    [letter] = pipeline.dead_letters()
    assert letter["detail"].startswith("lead.email: is not an e-mail address, because ")
    assert address not in letter["detail"]
    assert pipeline.calls() == []


@pytest.mark.parametrize(
    "address", ["o'neil@example.com", "amy+test@example.com", "用户@example.com"], ids=ascii
)
def test_a_legal_oddity_is_sent_as_it_is(pipeline: Pipeline, address: str) -> None:
    """7Targets decides what it can write to."""
    pipeline.send(create(email=address))
    assert pipeline.deliver() == set()
    assert pipeline.leads().keys() == {address}


def test_a_name_that_nobody_can_see_is_parked_as_missing(pipeline: Pipeline) -> None:
    """And a phone number has no marks around it."""
    pipeline.send(create(name="\u200b\u2060"))
    pipeline.send(create(name="\u202aGus\u202c", phone="\u202a+49 151 2345678\u202c"))
    pipeline.deliver()
    [letter] = pipeline.dead_letters()
    assert letter["detail"] == "lead.name: is missing; every create needs it"
    [sent] = pipeline.bodies("create")
    assert (sent["name"], sent["phone"]) == ("Gus", "+49 151 2345678")


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


@pytest.mark.parametrize("field", ["company", "externalId", "state"])
@pytest.mark.parametrize("value", [7064567890123, {"name": "Acme"}, ["Acme"]], ids=str)
def test_a_text_field_with_another_type_is_parked(pipeline: Pipeline, field: str, value: object) -> None:
    """What the API makes of it isn't known, and a create can't be undone."""
    pipeline.send(create(**{field: value}))
    pipeline.deliver()
    [letter] = pipeline.dead_letters()
    assert letter["detail"].startswith(f"lead.{field}: must be a string, not a")
    assert pipeline.calls() == []
