"""What tests share: the event loop they run on, the recordings as files, and a Redis server."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.dify.recordings import unpack
from tests.store.redis_server import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]  # fixtures, by name

# How fast a machine draws examples says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def anyio_backend() -> str:
    """Sockets are tested on asyncio; tests in virtual time name trio themselves."""
    return "asyncio"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded answers of real Dify servers, unpacked for a server that replays them."""
    path = tmp_path_factory.mktemp("recordings")
    unpack(path)
    return path


@pytest.fixture(params=["sqlite", "redis"])
def shared_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that several processes may use at once."""
    return str(request.getfixturevalue("redis_url")) if request.param == "redis" else f"sqlite:///{tmp_path}/cardbot.db"
