"""What every test shares: hypothesis' profile, and an AWS that can't be the real one."""

import pytest
from hypothesis import HealthCheck, settings

# Machines are shared and noisy: no test may fail for the time it takes.
settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("shared-machine")


@pytest.fixture(autouse=True)
def aws_that_is_not_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that open nothing, in case a call slips past moto or the emulator."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
