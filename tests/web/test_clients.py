"""What clients do that is not in the book, as it was seen with langchain-openai 1.7, LiteLLM 1.106 and OpenAI's agents
SDK 0.20: each gets an answer, or one sentence that says what to change."""

import pytest

from tests.web.stand import stand, user

pytestmark = pytest.mark.anyio

ASKED = {"model": "dify", "messages": [user("hi")]}


async def test_a_path_with_a_slash_at_its_end_is_the_same_path() -> None:
    async with stand() as there:
        models = await there.http.get("/v1/models/")
        answer = await there.http.post("/v1/chat/completions/", json=ASKED)
    assert (models.status_code, [model["id"] for model in models.json()["data"]]) == (200, ["dify"])
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")


async def test_a_path_with_a_slash_at_its_end_wants_a_key_too() -> None:
    async with stand(keys="key-1") as there:
        told = [await there.http.get("/v1/models/"), await there.http.post("/v1/chat/completions/", json=ASKED)]
    assert [reply.status_code for reply in told] == [401, 401]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/completions"),
        ("POST", "/v1/v1/chat/completions"),
        ("GET", "/models"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/completions"),
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/health/"),
    ],
)
async def test_who_comes_to_another_path_is_told_which_there_are(method: str, path: str) -> None:
    async with stand() as there:
        told = await there.http.request(method, path, json=ASKED)
    assert (told.status_code, told.json()["error"]["code"]) == (404, "unknown_url")
    assert "base URL ends in /v1" in told.json()["error"]["message"]
    assert "in place of the Responses API" in told.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/models/dify"])
async def test_a_load_balancer_may_ask_with_head(path: str) -> None:
    async with stand() as there:
        told = await there.http.head(path)
    assert (told.status_code, told.content) == (200, b"")


async def test_a_wrong_key_is_told_in_openais_first_words() -> None:
    """LiteLLM takes it for a wrong key by these words only, and for a bad request otherwise."""
    async with stand(keys="key-1") as there:
        told = await there.http.get("/v1/models", headers={"Authorization": "Bearer key-2"})
    assert told.json()["error"]["message"].startswith("Incorrect API key provided")
