"""The calls to DingTalk, of a bot that does not wait long for an answer."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from cardbot.dingtalk.openapi import OpenApi
from tests.dingtalk.server import Server


@pytest.fixture
async def api(server: Server) -> AsyncGenerator[OpenApi]:
    """At the server that the test module starts."""
    timeout = httpx.Timeout(5.0, read=0.3)
    async with OpenApi(
        endpoint=server.url, client_id="id", client_secret="s3cr3t", robot_code="robot", timeout=timeout
    ) as api:
        yield api
