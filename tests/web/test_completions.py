"""The front as OpenAI's own client sees it, over real sockets."""

import json
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import anyio
import httpx
import openai
import pytest

from cardbot.playground.dify import FakeDify, Html, Refuse, Script
from cardbot.ports import ConversationKey, tell_nobody
from cardbot.settings import ServeSettings
from cardbot.store.memory import MemoryStore
from cardbot.web import completions, refusals, serve
from cardbot.web.order import Order, order_of
from tests.patience import SOON
from tests.web.stand import Stand, dify_settings, stand, talking, until, user

pytestmark = pytest.mark.anyio

TEXT = "It is sunny. 晴天 😀"


async def told(chunks: Any) -> tuple[str, str, list[str]]:
    """The text, the thinking and the reasons of the end."""
    text, reasoning, ends = "", "", []
    async for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", "")
            ends += [choice.finish_reason] if choice.finish_reason else []
    return text, reasoning, ends


async def test_a_whole_answer_comes_with_its_usage() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT)
        completion = await there.ask()
    (choice,) = completion.choices
    assert (choice.message.content, choice.finish_reason, choice.message.role) == (TEXT, "stop", "assistant")
    assert (completion.object, completion.model) == ("chat.completion", "dify")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens, completion.usage.total_tokens) == (
        8,
        13,
        21,
    )


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat"])
async def test_a_streamed_answer_comes_in_pieces_and_whole(app: str) -> None:
    async with stand(dify={"app": app}) as there:
        there.dify.default = Script(TEXT, cps=300)
        chunks = [chunk async for chunk in await there.stream()]
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == TEXT
    assert len([piece for piece in pieces if piece]) > 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_streamed_answer_is_told_while_it_is_generated() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT * 10, cps=400)
        times = [anyio.current_time() async for _ in await there.stream()]
    assert times[-1] - times[0] > 0.2


async def test_usage_is_the_last_event_of_a_stream_that_wants_it() -> None:
    async with stand() as there:
        chunks = [chunk async for chunk in await there.stream(stream_options={"include_usage": True})]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 21
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_thinking_is_told_apart_from_the_answer() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, think="Let me see.")
        message = (await there.ask()).choices[0].message
        text, reasoning, _ = await told(await there.stream())
    assert (message.content, message.reasoning_content) == (TEXT, "Let me see.")
    assert (text, reasoning) == (TEXT, "Let me see.")


async def test_the_wire_of_a_stream_is_what_openai_documents() -> None:
    async with stand() as there:
        there.dify.default = Script("Hi")
        response = await there.post(stream=True)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text.endswith("\n\ndata: [DONE]\n\n")
    events = [json.loads(event.removeprefix("data: ")) for event in response.text.split("\n\n")[:-2]]
    assert [event["choices"][0]["delta"] for event in events] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {},
    ]
    assert set(events[0]) == {"id", "object", "created", "model", "choices"}
    assert events[0]["object"] == "chat.completion.chunk"


# Memory.


async def test_a_user_goes_on_with_the_conversation_and_only_the_last_message_is_asked() -> None:
    async with stand() as there:
        await there.ask("first", user="ada")
        history = [user("first"), {"role": "assistant", "content": "Hello"}, user("second")]
        await there.client.chat.completions.create(model="dify", messages=history, user="ada")
        (conversation,) = there.dify.conversations.values()
    assert [message.query for message in conversation.messages] == ["first", "second"]
    assert {question["user"] for question in there.asked} == {"openai:ada"}


async def test_two_users_have_a_conversation_each() -> None:
    async with stand() as there:
        await there.ask(user="ada")
        await there.ask(user="bob")
        assert len(there.dify.conversations) == 2


async def test_the_header_says_whose_conversation_it_is_before_the_body() -> None:
    async with stand() as there:
        await there.ask(user="body", extra_headers={"X-User": "header"})
    assert there.asked[0]["user"] == "openai:header"


async def test_a_caller_gets_no_other_name_past_a_gateway_that_adds_one() -> None:
    async with stand() as there:
        request = {"model": "dify", "messages": [user("Who am I?")]}
        names = [("X-User", "bob"), ("X-User", "ada")]
        refused = await there.http.post("/v1/chat/completions", json=request, headers=names)
        taken = await there.http.post("/v1/chat/completions", json=request, headers=names[1:] * 2)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "X-User")
        assert (taken.status_code, [question["user"] for question in there.asked]) == (200, ["openai:ada"])


async def test_without_a_user_all_that_was_said_goes_along_and_nothing_is_remembered() -> None:
    history: list[Any] = [
        {"role": "system", "content": "Be brief."},
        user("I am Ada."),
        {"role": "assistant", "content": "Hello Ada"},
        user("Who am I?"),
    ]
    async with stand() as there:
        await there.client.chat.completions.create(model="dify", messages=history)
        await there.ask()
        assert len(there.dify.conversations) == 2
    query = there.asked[0]["query"]
    assert "User: I am Ada.\n\nAssistant: Hello Ada" in query
    assert query.endswith("Who am I?")
    assert there.asked[1]["query"] == "hello"


async def test_a_conversation_that_is_deleted_begins_anew() -> None:
    async with stand() as there:
        await there.ask(user="a/b c")
        answer = await there.http.delete("/v1/conversations/a%2Fb%20c")
        await there.ask(user="a/b c")
        assert len(there.dify.conversations) == 2
    assert answer.json() == {"id": "a/b c", "object": "conversation.deleted", "deleted": True}


async def test_a_conversation_with_one_model_is_deleted_alone() -> None:
    async with FakeDify(api_key="app-test", linger=0) as one, FakeDify(api_key="app-test", linger=0) as two:
        async with stand(models={"one": one.url, "two": two.url}) as there:
            for model in ("one", "two"):
                await there.client.chat.completions.create(model=model, messages=[user("hi")], user="ada")
            assert (await there.http.delete("/v1/conversations/ada?model=one")).status_code == 200
            assert (await there.http.delete("/v1/conversations/ada?model=three")).status_code == 404
            for model in ("one", "two"):
                await there.client.chat.completions.create(model=model, messages=[user("hi")], user="ada")
        assert (len(one.conversations), len(two.conversations)) == (2, 1)


async def test_questions_of_one_user_are_answered_one_after_the_other() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, cps=100)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(lambda: there.ask(user="ada"))
        (conversation,) = there.dify.conversations.values()
    assert len(conversation.messages) == 3


async def test_questions_of_several_are_answered_at_once() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, first=SOON / 15)  # one after the other takes longer than that
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(there.ask)
    assert len(there.asked) == 20


# Models.


@pytest.mark.parametrize(("words", "aside"), [("hello", False), ("hello " * 20_000, True)])
async def test_a_long_request_is_read_aside_while_others_go_on(
    words: str, aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[int] = []

    def watched(*args: Any, **more: Any) -> Order:
        readers.append(threading.get_ident())
        return order_of(*args, **more)

    monkeypatch.setattr(completions, "order_of", watched)
    async with stand() as there:
        assert (await there.ask(words)).choices
        with pytest.raises(openai.BadRequestError, match="n must be 1"):
            await there.ask(words, n=2)
    assert [reader != threading.get_ident() for reader in readers] == [aside, aside]


async def test_each_app_is_a_model() -> None:
    async with FakeDify(api_key="app-test") as one, FakeDify(api_key="app-test") as two:
        one.default, two.default = Script("one"), Script("two")
        async with stand(models={"one": one.url, "org/two": two.url}) as there:
            listed = [model.id async for model in there.client.models.list()]
            shown = await there.client.models.retrieve("org/two")
            answer = await there.client.chat.completions.create(model="org/two", messages=[user("hi")])
    assert (listed, shown.id) == (["one", "org/two"], "org/two")
    assert answer.choices[0].message.content == "two"


async def test_an_unknown_model_is_not_found() -> None:
    async with stand() as there:
        with pytest.raises(openai.NotFoundError) as caught:
            await there.client.chat.completions.create(model="gpt-5", messages=[user("hi")])
        with pytest.raises(openai.NotFoundError):
            await there.client.models.retrieve("gpt-5")
    assert caught.value.code == "model_not_found"
    assert "There is no model `gpt-5` here, but `dify`." in caught.value.message


# What fails.

FAILURES: list[tuple[Any, int, str, str]] = [
    (Refuse(429, "too_many_requests", "Too many requests."), 429, "rate_limit_exceeded", "true"),
    (Refuse(401, "unauthorized", "Access token is invalid"), 502, "dify_misconfigured", "false"),
    (Refuse(400, "app_unavailable", "App unavailable"), 502, "dify_misconfigured", "false"),
    (Refuse(400, "provider_quota_exceeded", "No quota."), 502, "provider_quota_exceeded", "false"),
    (Refuse(500, "internal_server_error", "Oh."), 502, "internal_server_error", "false"),
    (Refuse(400, "question_too_long", "Too long."), 400, "question_too_long", "None"),
    (Html(502), 502, "dify_failed", "false"),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("failure", "status", "code", "again"), FAILURES)
async def test_a_refusal_of_dify_has_a_status_of_its_own(
    failure: Any, status: int, code: str, again: str, streamed: bool
) -> None:
    async with stand(idle=0.5) as there:
        there.dify.answers.append(failure)
        with pytest.raises(openai.APIStatusError) as caught:
            await (there.stream() if streamed else there.ask())
    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert str(error.response.headers.get("x-should-retry")) == again
    assert set(error.response.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_dify_that_is_away_is_unavailable_and_may_be_asked_again() -> None:
    async with FakeDify() as dify:
        away = dify.url
    async with stand(models={"dify": away}) as there:
        response = await there.post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "dify_unavailable")
    assert (response.headers["x-should-retry"], response.headers["retry-after"]) == ("true", "5")


async def test_the_client_does_not_ask_again_where_dify_may_have_begun() -> None:
    async with stand() as there:
        there.dify.answers.extend([Html(502), Script(TEXT)])
        with pytest.raises(openai.InternalServerError):
            await there.client.with_options(max_retries=2).chat.completions.create(model="dify", messages=[user("hi")])
    assert len(there.asked) == 1


async def test_the_client_asks_again_where_dify_had_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "RETRY_AFTER", 0.1)
    async with stand(idle=0.5) as there:
        there.dify.answers.extend([Refuse(429, "too_many_requests", "Too many requests."), Script(TEXT)])
        client = there.client.with_options(max_retries=2)
        answer = await client.chat.completions.create(model="dify", messages=[user("hi")])
    assert answer.choices[0].message.content == TEXT


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
async def test_a_failure_amid_a_stream_raises_in_the_client_after_the_text_before_it(app: str) -> None:
    async with stand(dify={"app": app}) as there:
        there.dify.default = Script(TEXT, end="error", at=9, error="no credit", cps=300)
        text: str = ""
        ends: set[str | None] = set()

        async def read() -> None:
            nonlocal text
            async for chunk in await there.stream():
                text += chunk.choices[0].delta.content or ""
                ends.add(chunk.choices[0].finish_reason)

        with pytest.raises(openai.APIError, match="no credit") as caught:
            await read()
        raw = (await there.post(stream=True)).text
    assert text == TEXT[:9]
    assert ends == {None}
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert "[DONE]" not in raw


async def test_a_failure_before_the_first_word_has_a_status_also_for_a_stream() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, end="error", at=0, error="no credit")
        with pytest.raises(openai.InternalServerError, match="no credit") as caught:
            await there.stream()
    assert caught.value.status_code == 502


async def test_a_failed_answer_is_no_completion() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, end="error", at=9, error="no credit")
        with pytest.raises(openai.InternalServerError, match="no credit"):
            await there.ask()


@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
async def test_an_answer_that_breaks_off_ends_with_an_error(end: Any) -> None:
    async with stand(idle=0.5) as there:
        there.dify.default = Script(TEXT, end=end, at=9, cps=300)
        with pytest.raises(openai.APIError) as caught:
            await told(await there.stream())
    assert caught.value.code == "answer_interrupted"


async def test_text_that_a_moderation_replaces_follows_after_a_blank_line() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, replace="I cannot say that.", cps=300)
        text, _, ends = await told(await there.stream())
        whole = (await there.ask()).choices[0]
    assert (text, ends) == (f"{TEXT}\n\nI cannot say that.", ["content_filter"])
    assert (whole.message.content, whole.finish_reason) == ("I cannot say that.", "stop")


async def test_what_an_agent_repeats_at_its_end_is_told_once() -> None:
    async with stand(dify={"app": "agent", "version": "1.16.0"}) as there:
        there.dify.default = Script(TEXT, cps=300)
        assert await told(await there.stream()) == (TEXT, "", ["stop"])


async def test_a_user_whose_line_is_full_is_told_so() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT, first=1)
        statuses: list[int] = []

        async def post() -> None:
            statuses.append((await there.post(user="ada")).status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(11):
                tasks.start_soon(post)
            await until(lambda: 429 in statuses)
            tasks.cancel_scope.cancel()
    assert set(statuses) == {429}


# Going away.


def active(there: Stand) -> int:
    """Answers that Dify is giving."""
    return there.dify._stage.active


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
async def test_a_client_that_leaves_amid_a_stream_stops_the_answer(app: str) -> None:
    async with stand(dify={"app": app}) as there:
        there.dify.default = Script(TEXT * 100, cps=50)
        stream = await there.stream(user="ada")
        await anext(aiter(stream))
        await stream.close()
        await until(lambda: there.stopped)
        await until(lambda: not active(there))
    assert there.stopped == ["openai:ada"]


async def test_a_client_that_leaves_before_the_answer_stops_it_too() -> None:
    async with stand() as there:
        there.dify.default = Script(TEXT * 100, cps=50)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.ask)
            await until(lambda: there.asked)
            tasks.cancel_scope.cancel()
        await until(lambda: there.stopped)
        await until(lambda: not active(there))


async def test_who_leaves_while_in_line_is_not_asked_for() -> None:
    async with stand() as there:
        there.dify.answers.append(Script(TEXT, first=2.0))  # so the second has left before the first is done
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: there.ask("first", user="ada"))
            await until(lambda: there.asked)
            with anyio.move_on_after(0.1):
                await there.ask("second", user="ada")
            await there.ask("third", user="ada")
    assert [question["query"] for question in there.asked] == ["first", "third"]


async def test_what_was_said_before_the_client_left_is_kept_for_the_next_question() -> None:
    async with stand() as there:
        there.dify.answers.append(Script(TEXT * 100, cps=50))
        stream = await there.stream(user="ada")
        await anext(aiter(stream))
        await stream.close()
        await there.ask("and?", user="ada")
        (conversation,) = there.dify.conversations.values()
    assert [message.query for message in conversation.messages] == ["hello", "and?"]
    assert conversation.messages[0].answer
    assert (TEXT * 100).startswith(conversation.messages[0].answer)


async def test_an_answer_to_its_end_is_not_stopped() -> None:
    async with stand() as there:
        for _ in range(5):
            await told(await there.stream())
            await there.ask()
    assert there.stopped == []


async def test_a_reader_that_takes_nothing_does_not_slow_the_reading_of_dify() -> None:
    async with stand() as there:
        there.dify.default = Script("x" * 4_000_000, chunk=4000)
        async with there.http.stream(
            "POST",
            "/v1/chat/completions",
            json={"model": "dify", "messages": [user("hi")], "stream": True},
        ):
            await until(lambda: not active(there))
        (conversation,) = there.dify.conversations.values()
    assert len(conversation.messages[0].answer) == 4_000_000


async def test_a_silent_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "HEADERS_WITHIN", 0.05)
    monkeypatch.setattr(completions, "PING", 0.05)
    async with stand() as there:
        there.dify.default = Script(TEXT, first=0.5)
        raw = (await there.post(stream=True)).text
        assert raw.count("\n: ") + raw.count("\n\n: ") > 1
        assert (await told(await there.stream()))[0] == TEXT


# The end of the server.


async def ended_amid(dify: FakeDify, *, drain: float) -> str:
    """What is told of an answer during which the server is told to end."""
    raw = b""

    async def read(address: str) -> None:
        nonlocal raw
        async with talking(address) as (_, http):
            body = {"model": "dify", "messages": [user("hello")], "stream": True}
            raw = (await http.post("/v1/chat/completions", json=body)).content

    settings = ServeSettings.of({"CARDBOT_STORE": "memory:", "CARDBOT_DRAIN_SECONDS": drain})
    async with (
        anyio.create_task_group() as tasks,
        serve({"dify": dify_settings(dify.url)}, settings, port=0) as address,
    ):
        tasks.start_soon(read, address)
        await until(lambda: dify._stage.active)
    return raw.decode()


async def test_an_answer_under_way_is_finished_before_the_server_ends() -> None:
    async with FakeDify(api_key="app-test", linger=0) as dify:
        dify.default = Script(TEXT * 3, cps=100)
        began = anyio.current_time()
        raw = await ended_amid(dify, drain=3 * SOON)
    assert anyio.current_time() - began < SOON  # not so long as it may take
    assert raw.endswith("data: [DONE]\n\n")


async def test_an_answer_that_takes_too_long_ends_with_an_error_and_is_stopped() -> None:
    async with FakeDify(api_key="app-test", linger=0) as dify:
        dify.default = Script(TEXT * 100, cps=50)
        raw = await ended_amid(dify, drain=0.2)
        assert '"code":"server_stopping"' in raw
        assert "[DONE]" not in raw
        assert [request.user for request in dify.requests if request.path.endswith("/stop")] == ["openai"]


async def test_a_request_that_never_comes_whole_does_not_keep_the_server_from_ending() -> None:
    settings = ServeSettings.of({"CARDBOT_STORE": "memory:", "CARDBOT_DRAIN_SECONDS": 0.2})
    async with FakeDify(api_key="app-test") as dify:
        async with serve({"dify": dify_settings(dify.url)}, settings, port=0) as address:
            host, _, port = address.removeprefix("http://").partition(":")
            half = await anyio.connect_tcp(host, int(port))
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
            await half.send(f"{head}Expect: 100-continue\r\nContent-Length: 500\r\n\r\n".encode())
            assert b"100 Continue" in await half.receive()  # it is being read
            began = anyio.current_time()
        assert anyio.current_time() - began < SOON
        async with half:
            assert b'"code":"server_stopping"' in b"".join([chunk async for chunk in half])


async def test_who_was_in_line_when_the_server_ended_may_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[httpx.Response] = []
    standing: list[ConversationKey] = []

    class Watched(MemoryStore):
        def turn(
            self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody
        ) -> AbstractAsyncContextManager[None]:
            standing.append(key)
            return super().turn(key, on_wait)

    monkeypatch.setattr("cardbot.web.serving.open_store", lambda _: nullcontext(Watched()))

    async def ask(address: str) -> None:
        async with talking(address) as (_, http):
            body = {"model": "dify", "messages": [user("hello")], "user": "ada"}
            answers.append(await http.post("/v1/chat/completions", json=body))

    settings = ServeSettings.of({"CARDBOT_STORE": "memory:", "CARDBOT_DRAIN_SECONDS": 0.3})
    async with FakeDify(api_key="app-test", linger=0) as dify, anyio.create_task_group() as tasks:
        dify.default = Script(TEXT * 100, cps=50)
        async with serve({"dify": dify_settings(dify.url)}, settings, port=0) as address:
            tasks.start_soon(ask, address)
            await until(lambda: dify._stage.active)
            tasks.start_soon(ask, address)
            await until(lambda: len(standing) == 2)
    assert {answer.status_code for answer in answers} == {503}
    assert sorted(answer.headers["x-should-retry"] for answer in answers) == ["false", "true"]
    assert len([request for request in dify.requests if request.path == "/v1/chat-messages"]) == 1
