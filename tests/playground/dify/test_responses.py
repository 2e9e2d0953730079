"""How each release writes its responses, over real sockets."""

import pytest

from tests.playground.dify.test_server import dify_and_client, question

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("version", "kind"), [("0.15.8", "application/json"), ("1.14.1", "application/json; charset=utf-8")]
)
async def test_a_blocking_answer_has_the_content_type_of_its_release(version: str, kind: str) -> None:
    async with dify_and_client(version=version) as (_, client):
        answer = await client.post("/chat-messages", json=question(response_mode="blocking"))
    assert answer.headers["content-type"] == kind
