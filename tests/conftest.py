"""What every test shares: the event loop it runs on."""

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine draws examples says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def anyio_backend() -> str:
    """Sockets are tested on asyncio; tests in virtual time name trio themselves."""
    return "asyncio"
