"""The function's settings."""

from dataclasses import fields

import pytest

from deliver_leads.settings import Settings, SettingsError
from tests.settings import ENVIRONMENT


def test_the_environment_is_read_into_typed_settings() -> None:
    """Seconds are numbers, the defaults for leads are an object."""
    settings = Settings.from_environment(ENVIRONMENT | {"LEAD_DEFAULTS": '{"source": "Web"}'})
    assert settings.lead_defaults == {"source": "Web"}
    assert settings.parallel_calls == 10
    assert settings.read_timeout_s == 30.0


def test_one_error_names_everything_that_is_missing_or_unreadable() -> None:
    """One look tells all there is to mend."""
    broken = {name: value for name, value in ENVIRONMENT.items() if name != "TOKEN_URL"}
    broken |= {"PARALLEL_CALLS": "many", "LEAD_DEFAULTS": "{"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(broken)
    for name in ("TOKEN_URL", "PARALLEL_CALLS", "LEAD_DEFAULTS"):
        assert name in str(caught.value)


def test_the_tests_environment_is_complete() -> None:
    """No setting can be added without a value here."""
    assert {field.name.upper() for field in fields(Settings)} == set(ENVIRONMENT)
