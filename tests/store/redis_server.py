"""A real Redis server for the tests, as pytest fixtures."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import redis

from tests.store.servers import free_port


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Redis database."""
    if url := os.environ.get("CARDBOT_TEST_REDIS", ""):
        yield url
        return
    if not (program := shutil.which("redis-server")):
        pytest.skip("no Redis: put redis-server on PATH, or the URL of an empty database into CARDBOT_TEST_REDIS")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("redis"))]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            if not any(b"Ready to accept connections" in line for line in server.stdout):
                pytest.fail(f"{program} did not start")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.communicate(timeout=10)


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The same, emptied of what a test leaves."""
    with redis.Redis.from_url(redis_server) as client:
        if client.dbsize():
            pytest.fail("the database of CARDBOT_TEST_REDIS is not empty; the tests would delete its keys")
        yield redis_server
        client.flushdb()
