"""Files that the simulated platform gives out, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from cardbot.playground.platform import Platform, contents
from cardbot.playground.platform.downloads import CHUNK, Delivery

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 200


@asynccontextmanager
async def caller(delivery: Delivery | None = None) -> AsyncIterator[tuple[Platform, httpx.AsyncClient, dict[str, str]]]:
    """A platform with one file; a client, and the headers of calls that need a token."""
    async with Platform() as platform:
        platform.files["code"] = CONTENT
        if delivery:
            platform.deliveries["code"] = delivery
        async with httpx.AsyncClient(base_url=platform.url, trust_env=False, timeout=5) as http:
            keys = {"appKey": "dingtest", "appSecret": "secret"}
            token = (await http.post("/v1.0/oauth2/accessToken", json=keys)).json()["accessToken"]
            yield platform, http, {"x-acs-dingtalk-access-token": token}


async def address(http: httpx.AsyncClient, headers: dict[str, str], **changes: Any) -> httpx.Response:
    body = {"downloadCode": "code", "robotCode": "dingtest", **changes}
    return await http.post("/v1.0/robot/messageFiles/download", json=body, headers=headers)


async def get(http: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    return await http.get((await address(http, headers)).json()["downloadUrl"])


async def test_a_file_comes_with_its_length() -> None:
    async with caller() as (platform, http, headers):
        answer = await get(http, headers)
        assert (answer.content, answer.headers["content-length"]) == (CONTENT, str(len(CONTENT)))
        assert platform.violations == []


@pytest.mark.parametrize("changes", [{"robotCode": "another"}, {"downloadCode": "unknown"}, {"downloadCode": None}])
async def test_an_address_is_for_the_robots_own_files(changes: dict[str, Any]) -> None:
    async with caller() as (_, http, headers):
        assert (await address(http, headers, **changes)).status_code == 400


async def test_a_token_in_the_call_to_the_store_is_objected_to() -> None:
    async with caller() as (platform, http, headers):
        await http.get((await address(http, headers)).json()["downloadUrl"], headers=headers)
        assert platform.violations == ["GET /files: carries an access token"]


async def test_an_address_that_was_written_anew_is_refused() -> None:
    async with caller() as (_, http, headers):
        url = (await address(http, headers)).json()["downloadUrl"]
        assert (await http.get(url.replace("%2B", "+"))).status_code == 403


async def test_a_code_may_be_good_for_one_address_only() -> None:
    async with caller() as (platform, http, headers):
        platform.downloads.once = True
        statuses = [(await address(http, headers)).status_code for _ in range(2)]
    assert statuses == [200, 400]


async def test_a_file_may_come_without_a_length() -> None:
    async with caller(Delivery(told=False)) as (_, http, headers):
        answer = await get(http, headers)
    assert (answer.content, "content-length" in answer.headers) == (CONTENT, False)


async def test_a_file_may_break_off() -> None:
    async with caller(Delivery(dies_after=CHUNK + 1)) as (_, http, headers):
        with pytest.raises(httpx.RemoteProtocolError):
            await get(http, headers)


async def test_a_quoted_rich_text_names_its_items_in_another_way() -> None:
    quoted = contents.rich_text("look", contents.picture("code"))
    message = contents.quoting(contents.text("and this?"), quoted)
    assert message["text"]["repliedMsg"]["content"]["richText"] == [
        {"msgType": "text", "content": "look"},
        {"msgType": "picture", "downloadCode": "code", "pictureDownloadCode": "code"},
    ]
