"""The fault suite's plan: the same for a seed, with every world in it, and of a known outcome."""

from collections import defaultdict

from local.chaos.events import FILE_FIELD, FORM_FIELD, ChaosEvent, make_plan

PLAN = make_plan(2, 2000)
ORIGINALS = [event for event in PLAN.storm if event.email and not event.copy]


def by_lead() -> dict[str, list[ChaosEvent]]:
    found = defaultdict(list)
    for event in ORIGINALS:
        found[event.email].append(event)
    return found


def test_a_seed_draws_the_same_plan_again_and_another_seed_another() -> None:
    """Events, keys, channels and order all come from the seed."""
    assert make_plan(2, 2000) == PLAN != make_plan(3, 2000)


def test_every_world_is_in_the_plan() -> None:
    """Leads that exist before, keys shared by the events of a lead, two producers, groups of a fair queue."""
    leads = by_lead()
    existing = {lead["email"] for lead in PLAN.existing}
    two = {
        email for email, events in leads.items() if sum(each.operation == "create" for each in events) == 2
    }
    shared = {
        email
        for email, events in leads.items()
        if len({each.operation for each in events if each.key.startswith("record ")}) > 1
    }
    of_several_groups = {
        email for email, events in leads.items() if len({each.group for each in events if each.group}) > 1
    }
    for world in (existing, two, shared, of_several_groups, existing & two, existing & shared, two & shared):
        assert world
    assert {len({each.lead["name"] for each in leads[email][:2]}) for email in two} == {1, 2}


def test_two_creates_of_a_lead_never_go_out_in_one_call() -> None:
    """The time of sending, which decides whose fields count, must distinguish them."""
    places = {event.lead[event.own_field]: place for place, event in enumerate(PLAN.storm) if event.own_field}
    for events in by_lead().values():
        creates = [event for event in events if event.own_field in {FORM_FIELD, FILE_FIELD}]
        if len(creates) == 2:
            first, second = (places[event.lead[event.own_field]] for event in creates)
            assert abs(first - second) > 20
