"""One answer over a source of the test's own: pictures, leaving, and that nothing is left behind."""

import base64
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from typing import Any

import anyio
import openai
import pytest

from cardbot import events
from cardbot.errors import FileRefused
from cardbot.messages import FileKind, Question, Upload
from cardbot.web import answering
from tests.patience import SOON
from tests.web.source import IDS, Answers, sunny
from tests.web.stand import front_of, until, user

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n0123"
WHAT_IS_THIS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}},
]


async def for_ever(_: Question) -> AsyncGenerator[events.Event]:
    yield IDS
    yield events.TextDelta("It is")
    await anyio.sleep_forever()


async def asked(client: openai.AsyncOpenAI, content: Any = "hello", **more: Any) -> Any:
    return await client.chat.completions.create(model="dify", messages=[user(content)], **more)


async def test_a_picture_is_uploaded_for_the_one_who_asks_and_named_in_the_question() -> None:
    source = Answers(sunny)
    async with front_of(source) as (_, client):
        await asked(client, WHAT_IS_THIS, user="ada")
    assert source.files == [("openai:ada", "picture-1.png", "image/png", len(PNG), PNG)]
    (question,) = source.questions
    assert (question.query, question.user, question.files) == (
        "What is this?",
        "openai:ada",
        (Upload("upload-1", FileKind.IMAGE),),
    )


async def test_a_picture_that_the_app_does_not_take_is_the_callers_business() -> None:
    source = Answers(sunny, refuses=FileRefused("This app takes no files.", why="no_uploads"))
    async with front_of(source) as (_, client):
        with pytest.raises(openai.BadRequestError, match="This app takes no files") as caught:
            await asked(client, WHAT_IS_THIS)
    assert caught.value.code == "no_uploads"
    assert source.questions == []


async def test_of_more_pictures_than_the_app_takes_none_is_sent() -> None:
    source = Answers(sunny, limit=2)
    async with front_of(source) as (_, client):
        await asked(client, [*WHAT_IS_THIS, WHAT_IS_THIS[1]])
        with pytest.raises(openai.BadRequestError, match="at most 2 files") as caught:
            await asked(client, [*WHAT_IS_THIS, WHAT_IS_THIS[1], WHAT_IS_THIS[1]])
    assert caught.value.code == "too_many"
    assert len(source.files) == 2


async def test_instructions_reach_the_app() -> None:
    source = Answers(sunny)
    async with front_of(source) as (_, client):
        await client.chat.completions.create(
            model="dify", messages=[{"role": "system", "content": "Be brief."}, user("hi")]
        )
    assert source.questions[0].system == "Be brief."


async def test_whoever_leaves_amid_a_stream_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "FAREWELL", 0.5)
    source = Answers(for_ever)
    async with front_of(source) as (_, client):
        streams = [await asked(client, stream=True, user=name) for name in ("ada", "bob")]
        for stream in streams:
            await anext(aiter(stream))
        assert source.open == 2
        await streams[0].close()
        await until(lambda: source.stopped)
        assert source.stopped == [("task", "openai:ada")]
        assert source.open == 2  # it is read on for a while, for Dify to keep what was said
        await until(lambda: source.open == 1)
        await streams[1].close()
        await until(lambda: source.open == 0)
    assert source.stopped == [("task", "openai:ada"), ("task", "openai:bob")]


async def test_an_answer_without_a_name_yet_is_stopped_as_soon_as_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "FAREWELL", 1.0)
    named = anyio.Event()

    async def late(_: Question) -> AsyncGenerator[events.Event]:
        await named.wait()
        yield IDS
        await anyio.sleep_forever()

    source = Answers(late)
    async with front_of(source) as (_, client):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked, client)
            await until(lambda: source.open)
            tasks.cancel_scope.cancel()
        named.set()
        await until(lambda: source.stopped)


async def test_an_exception_of_ours_is_an_error_with_a_reference() -> None:
    async def broken(_: Question) -> AsyncGenerator[events.Event]:
        yield IDS
        raise KeyError("hunter2")

    async with front_of(Answers(broken)) as (_, client):
        with pytest.raises(openai.InternalServerError, match="reference") as caught:
            await asked(client)
    assert (caught.value.status_code, caught.value.code) == (500, "internal_error")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("end", [events.MessageEnded(), events.Failed("odd", "half a pair: \ud83d", 400)])
async def test_half_a_surrogate_pair_becomes_a_question_mark(end: events.Event) -> None:
    async def torn(_: Question) -> AsyncGenerator[events.Event]:
        yield IDS
        yield events.TextDelta("sunny \ud83d")
        yield events.TextDelta("\ude00!")
        yield end

    failure = isinstance(end, events.Failed)
    async with front_of(Answers(torn)) as (_, client):
        with pytest.raises(openai.APIError, match=r"half a pair: [?]") if failure else nullcontext():
            assert (await asked(client)).choices[0].message.content == "sunny ??!"
        told = ""
        with pytest.raises(openai.APIError, match=r"half a pair: [?]") if failure else nullcontext():
            async for chunk in await asked(client, stream=True):
                told += chunk.choices[0].delta.content or ""
        assert told == "sunny ??!"


async def test_silence_of_dify_is_a_timeout() -> None:
    async def silent(_: Question) -> AsyncGenerator[events.Event]:
        yield IDS
        yield events.Waiting(100)
        yield events.Interrupted("the stream ended without an end")

    async with front_of(Answers(silent)) as (_, client):
        with pytest.raises(openai.InternalServerError) as caught:
            await asked(client)
    assert (caught.value.status_code, caught.value.code) == (504, "dify_timeout")


async def test_each_answer_has_one_place_and_gives_it_back() -> None:
    source = Answers(sunny)
    async with front_of(source, places=1) as (_, client):
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(asked, client)
    assert (len(source.questions), source.open) == (20, 0)
