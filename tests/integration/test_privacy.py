"""Personal data and secrets leave the function for the leads API and the dead-letter queue alone."""

import pytest

from tests.integration.conftest import SECRET, Pipeline

PRIVATE = {
    "name": "Wilhelmina",
    "lastName": "Featherstonehaugh",
    "email": "w.featherstonehaugh@example.com",
    "phone": "+14155550142",
    "context": "Asked about the divorce clause",
    "assistantEmail": "private.assistant@example.net",
    "nickname": "Billie",
}
SECRETS = (*SECRET.values(), "eyJ", "Bearer", "Basic ")
ECHO = {"message": f"lead {PRIVATE['email']} ({PRIVATE['lastName']}) is not welcome"}


def event(operation: str, **fields: object) -> dict[str, object]:
    """An event that is full of personal data, down to its key."""
    return {"operation": operation, "lead": PRIVATE | fields, "idempotencyKey": f"key-{PRIVATE['email']}"}


@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"kind": "status", "status": 400, "body": ECHO},
        {"kind": "status", "status": 503, "body": ECHO},
        {"kind": "status", "status": 403, "body": ECHO},
        {"kind": "status", "status": 302, "body": ECHO, "headers": {"Location": "https://example.com/?q=Wilhelmina"}},
        {"kind": "cut_after"},
        {"kind": "wrong_content_type"},
        {"kind": "revoked_token"},
    ],
    ids=lambda fault: f"{(fault or {}).get('kind', 'none')}-{(fault or {}).get('status', '')}",
)  # fmt: skip
def test_nothing_private_is_logged_counted_or_kept_in_the_ledger(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], fault: dict[str, object] | None
) -> None:
    """Whatever goes wrong: log lines, metrics and the ledger's items hold none of it."""
    if fault:
        pipeline.fail({"operation": "leads", "fault": fault})
    for body in (
        event("create"),
        event("update", id=7),
        event("stop_followup"),
        event("create", email="Wilhelmina at home", phone=14155550142),
        f"{PRIVATE['name']}, {PRIVATE['phone']}",
        {"detail-type": PRIVATE["name"], "detail": {"lead": PRIVATE}},
    ):
        pipeline.send(body)
        pipeline.deliver()
    shown = pipeline.log.getvalue() + "".join(capsys.readouterr()) + repr(pipeline.ledger())
    assert shown.count('"outcome"') == 6
    for value in (*PRIVATE.values(), *SECRETS):
        assert value not in shown
