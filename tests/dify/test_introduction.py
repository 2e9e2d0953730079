"""What the log says of an app before the first question. What it says of one with concerns, `test_bot` tests."""

import pytest
from structlog.testing import capture_logs

from cardbot.dify.client import DifyClient
from cardbot.dify.introduction import introduce
from cardbot.playground.dify import FakeDify

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("key", ["app-test", "app-another"])
async def test_each_line_says_which_of_several_apps_it_is_about(key: str) -> None:
    async with FakeDify("workflow") as dify, DifyClient(base_url=dify.url, api_key=key) as client:
        with capture_logs() as lines:
            await introduce(client, template={"gone": 1}, system="", model="sales")
    assert {line["event"] for line in lines} >= {"dify_ready" if key == "app-test" else "dify_not_ready"}
    assert {line["model"] for line in lines} == {"sales"}
