"""The function's settings."""

from dataclasses import fields

import pytest

from deliver_leads.contract import OutcomeEventsMode, pack_mappings
from deliver_leads.settings import Settings, SettingsError
from sim.settings import ENVIRONMENT


def test_the_environment_is_read_into_typed_settings() -> None:
    """Seconds are numbers, the defaults for leads are an object, the sources of events a list."""
    own = {
        "LEAD_DEFAULTS": '{"source": "Web"}',
        "EVENT_SOURCES": '["my.crm", "my.forms"]',
        "MAPPINGS": pack_mappings([{"name": "crm"}]),
        "OUTCOME_EVENTS": "lead",
    }
    settings = Settings.from_environment(ENVIRONMENT | own)
    assert settings.lead_defaults == {"source": "Web"}
    assert settings.event_sources == ("my.crm", "my.forms")
    assert settings.mappings == ({"name": "crm"},)
    assert settings.outcome_events is OutcomeEventsMode.LEAD
    assert settings.parallel_calls == 10
    assert settings.read_timeout_s == 30.0
    assert settings.settling_s == 60
    assert settings.ledger_s == 90 * 24 * 3600


def test_one_error_names_everything_that_is_missing_or_unreadable() -> None:
    """One look shows all there is to fix."""
    broken = {name: value for name, value in ENVIRONMENT.items() if name != "TOKEN_URL"}
    broken |= {"PARALLEL_CALLS": "many", "LEAD_DEFAULTS": "{", "SETTLING_S": "", "MAPPINGS": "[]"}
    broken |= {"OUTCOME_EVENTS": "all"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(broken)
    for name in ("TOKEN_URL", "PARALLEL_CALLS", "LEAD_DEFAULTS", "SETTLING_S", "MAPPINGS", "OUTCOME_EVENTS"):
        assert name in str(caught.value)


def test_the_tests_environment_is_complete() -> None:
    """No setting can be added without a value here."""
    assert {field.name.upper() for field in fields(Settings)} == set(ENVIRONMENT)
