"""What every test shares: the event loop it runs on."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Sockets are tested on asyncio; tests in virtual time name trio themselves."""
    return "asyncio"
