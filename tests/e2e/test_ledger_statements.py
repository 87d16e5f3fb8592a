"""The ledger's PartiQL on the emulator's DynamoDB, of which sim/partiql.py is only a translation."""

import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.idempotency_key import IdempotencyKey
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from deliver_leads.lead_state import LeadState, State
from deliver_leads.ledger import MOST_JOURNAL_ENTRIES, Claim, Completion, Ledger
from deliver_leads.settings import Settings
from local.stack.deployment import Deployment
from sim.settings import ENVIRONMENT

pytestmark = pytest.mark.e2e


@pytest.fixture
def ledger(deployment: Deployment) -> Ledger:
    """On the deployed table; nothing is done alone, because there is never time for it."""
    variables = ENVIRONMENT | {"LEDGER_TABLE": deployment.outputs["LedgerTableName"]}
    return Ledger(deployment.emulator.client("dynamodb"), Settings.from_environment(variables))


def new_event() -> tuple[LeadEvent, Message]:
    """A create of a lead that is not in the ledger, and its message."""
    name = uuid.uuid4().hex
    lead: dict[str, Any] = {"name": "Jane", "email": f"{name}@example.com"}
    event = LeadEvent(Operation.CREATE, lead, name * 2, IdempotencyKey(name, "digest", False), name, "crm")
    return event, Message(name, "receipt", "{}", 1, int(time.time() * 1000))


def completion(claim: Claim, lead_id: str) -> Completion:
    """The claimed event was delivered."""
    delivered = replace(claim.record, state=State.DELIVERED, updated_s=int(time.time()))
    state = claim.state.with_final(delivered, {}, oldest_s=0)
    return Completion(claim, replace(state, lead_id=lead_id))


def test_a_batch_of_claims_and_one_of_completions_are_carried_out(ledger: Ledger) -> None:
    """What was written is what a single claim finds next, without a journal."""
    events = [new_event() for _ in range(3)]
    claims = [early.claim for early in ledger.claim_new(events, lease_s=60)]
    assert None not in claims
    completions = [completion(claim, str(place)) for place, claim in enumerate(claims) if claim]
    assert ledger.complete_together(completions, has_time=lambda: False) == [True] * 3
    for (event, message), written in zip(events, completions, strict=True):
        assert ledger.claim(event, message, lease_s=60).state == written.state


def test_each_statement_fails_alone(ledger: Ledger) -> None:
    """A lead that is held is not claimed, and a claim that ended is not completed; the others are."""
    held, new = new_event(), new_event()
    [first] = ledger.claim_new([held], lease_s=60)
    [again, other] = ledger.claim_new([held, new], lease_s=60)
    assert again.claim is None
    assert first.claim
    assert other.claim
    stranger = replace(first.claim, owner="another", state=LeadState())
    completions = [completion(stranger, "1"), completion(other.claim, "2")]
    assert ledger.complete_together(completions, has_time=lambda: False) == [False, True]
    assert ledger.complete_together([completion(first.claim, "1")], has_time=lambda: False) == [True]


def test_a_claim_after_others_is_completed_with_its_whole_journal(ledger: Ledger) -> None:
    """An environment crashed over the first claim, so that the second one finds two entries."""
    event, message = new_event()
    [dead] = ledger.claim_new([(event, message)], lease_s=-1000)
    assert dead.claim
    claim = ledger.claim(event, message, lease_s=60)
    assert claim.record.unanswered
    assert ledger.complete_together([written := completion(claim, "1")], has_time=lambda: False) == [True]
    assert ledger.claim(event, message, lease_s=60).state == written.state


def test_a_full_journal_is_taken_into_the_state(ledger: Ledger) -> None:
    """Its condition looks at a place in the journal and at its length."""
    event, message = new_event()
    for _ in range(MOST_JOURNAL_ENTRIES):
        ledger.claim(event, message, lease_s=-1000)
    claim = ledger.claim(event, message, lease_s=60)
    assert (claim.record.attempts, claim.record.unanswered) == (MOST_JOURNAL_ENTRIES, True)
    assert ledger.complete(claim, completion(claim, "1").state)
