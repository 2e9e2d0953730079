"""The client against a scripted Dify, over real sockets."""

import gc
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

from cardbot.answer import Answer, Outcome
from cardbot.dify.client import DifyClient
from cardbot.errors import (
    ConversationGone,
    DifyBusy,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    DifyWrongApp,
    SettingsError,
)
from cardbot.events import Identified, TextDelta, Waiting
from cardbot.messages import Question
from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.replay import Replay
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse, Script
from cardbot.playground.http import LoopbackServer, Request, Response, Stream
from cardbot.texts import EN
from tests.dify.asking import ASK, TEXT, ask, posts
from tests.dify.recordings import steps
from tests.dify.test_recordings import fold
from tests.patience import SOON

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def pair(
    app: Any = "chat", version: str = "1.14.1", **options: Any
) -> AsyncGenerator[tuple[FakeDify, DifyClient]]:
    """A Dify and a client of it, which is more impatient than in real life."""
    patience = {"idle_seconds": options.pop("idle", 5.0), "silence": options.pop("silence", 0.2)}
    mode = options.pop("mode", app)
    async with (
        FakeDify(app=app, version=version, api_key="app-test", linger=0, **options) as dify,
        DifyClient(base_url=dify.url, api_key="app-test", mode=mode, **patience) as client,
    ):
        dify.default = Script(TEXT)
        yield dify, client


@pytest.mark.parametrize(
    ("app", "version"),
    [
        *product(["chat", "agent-chat", "advanced-chat"], ["0.15.8", "1.12.1", "1.14.1", "1.15.0"]),
        ("agent", "1.15.0"),
        ("agent", "1.16.0"),
    ],
)
async def test_the_whole_answer_of_every_chat_app_and_version(app: str, version: str) -> None:
    async with pair(app, version) as (dify, client):
        answer, events = await ask(client)
    assert (answer.text, answer.outcome) == (TEXT, Outcome.SUCCEEDED)
    assert isinstance(events[0], Identified)
    (post,) = posts(dify)
    assert post == {
        "inputs": {},
        "query": "hello",
        "response_mode": "streaming",
        "user": "user-1",
        "auto_generate_name": False,
    }


async def test_the_second_turn_goes_on_with_the_conversation() -> None:
    async with pair() as (dify, client):
        first, _ = await ask(client)
        second, _ = await ask(client, Question("and?", "user-1", first.ids.conversation_id))
    assert second.ids.conversation_id == first.ids.conversation_id
    (conversation,) = dify.conversations.values()
    assert len(conversation.messages) == 2


async def test_text_arrives_while_it_is_generated() -> None:
    async with pair() as (dify, client):
        dify.answers.append(Script(TEXT, cps=200))
        times = []
        async with aclosing(client.ask(ASK)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    times.append(anyio.current_time())
    assert times[-1] - times[0] > 0.1


async def test_reading_goes_on_while_the_consumer_is_busy() -> None:
    """Dify's relay drops text when its reader is slow, so the socket has to be emptied at once."""
    async with pair() as (dify, client):
        dify.answers.append(Script("x" * 2_000_000, chunk=1000))
        async with aclosing(client.ask(ASK)) as events:
            await anext(events)
            with anyio.fail_after(SOON):
                while True:
                    (conversation,) = dify.conversations.values()
                    if conversation.messages[-1].answer:
                        break
                    await anyio.sleep(0.01)


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
@pytest.mark.parametrize("version", ["0.15.8", "1.14.1"])
async def test_an_error_in_the_stream_keeps_the_text_before_it(app: str, version: str) -> None:
    async with pair(app, version) as (dify, client):
        dify.answers.append(Script(TEXT, end="error", at=9))
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.FAILED, TEXT[:9])
    assert len(posts(dify)) == 1


@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
async def test_a_lost_stream_of_a_chat_app_is_interrupted_with_its_text(end: Any) -> None:
    """Dify keeps nothing of a chat app's answer whose reader went away."""
    async with pair() as (dify, client):
        dify.answers.append(Script(TEXT, end=end, at=9, cps=500))
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.INTERRUPTED, TEXT[:9])
    assert len(posts(dify)) == 1, "a question that may have arrived was asked again"


@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
async def test_a_lost_stream_of_a_chatflow_is_completed_from_what_dify_keeps(end: Any) -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.answers.append(Script(TEXT, end=end, at=9, cps=500))
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.SUCCEEDED, TEXT)
    assert len(posts(dify)) == 1


async def test_silence_amid_an_answer_shows_as_waiting_and_is_given_up_in_time() -> None:
    async with pair(idle=1.0) as (dify, client):
        dify.answers.append(Script(TEXT, end="hang", at=9, cps=500))
        answer, events = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.INTERRUPTED, TEXT[:9])
    assert any(isinstance(event, Waiting) for event in events)


async def test_no_answer_at_all_is_waited_for_and_given_up_in_time() -> None:
    async with pair(idle=1.0) as (dify, client):
        dify.answers.append(Hang())
        answer, events = await ask(client)
    assert answer.outcome is Outcome.INTERRUPTED
    assert any(isinstance(event, Waiting) for event in events)
    assert len(posts(dify)) == 1


@pytest.mark.parametrize(
    ("app", "version"),
    [
        ("chat", "1.14.1"),  # HTTP 404
        ("advanced-chat", "0.15.8"),  # HTTP 404
        ("advanced-chat", "1.14.1"),  # one ping, then silence
        ("advanced-chat", "1.15.0"),  # a run that failed before it began
    ],
)
async def test_a_conversation_that_is_gone_heals_itself_once(app: str, version: str) -> None:
    gone = "00000000-0000-4000-8000-000000000000"
    async with pair(app, version) as (dify, client):
        answer, _ = await ask(client, Question("hello", "user-1", gone))
    assert (answer.text, answer.outcome) == (TEXT, Outcome.SUCCEEDED)
    assert [post.get("conversation_id") for post in posts(dify)] == [gone, None]
    assert answer.ids.conversation_id not in ("", gone)


async def test_a_queue_at_dify_is_not_taken_for_a_dead_conversation() -> None:
    async with pair("advanced-chat", idle=3.0) as (dify, client):
        first, _ = await ask(client)
        dify.answers.append(Script(TEXT, first=0.7))
        second, events = await ask(client, Question("and?", "user-1", first.ids.conversation_id))
    assert second.text == TEXT
    assert any(isinstance(event, Waiting) for event in events)
    assert len(posts(dify)) == 2


async def test_a_concurrency_refusal_is_waited_for_and_asked_again() -> None:
    async with pair() as (dify, client):
        dify.answers.append(Refuse(400, "invalid_param", "Too many requests. Please try again later."))
        answer, events = await ask(client)
    assert answer.text == TEXT
    assert isinstance(events[0], Waiting)
    assert len(posts(dify)) == 2


async def test_a_concurrency_refusal_that_stays_is_an_error() -> None:
    async with pair(idle=0.5) as (dify, client):
        dify.answers.extend([Refuse(400, "invalid_param", "Too many requests. Please try again later.")] * 2)
        with pytest.raises(DifyBusy):
            await ask(client)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refuse(401, "unauthorized", "Access token is invalid"), DifyUnauthorized),
        (Refuse(403, "forbidden", "The app's API service has been disabled."), DifyUnauthorized),
        (Refuse(400, "not_chat_app", "Please check if your app mode matches the right API route."), DifyWrongApp),
        (Refuse(400, "app_unavailable", "App unavailable, please check your app configurations."), DifyWrongApp),
        (Refuse(400, "invalid_param", "name is required in input form"), DifyRejected),
        (Refuse(400, "provider_quota_exceeded", "Your quota is used up."), DifyRejected),
        (Refuse(500, "internal_server_error", "Internal Server Error"), DifyRejected),
        (Html(502), DifyUnreachable),
        (Html(413), DifyUnreachable),
        (Drop("cut"), DifyUnreachable),
        (Drop("reset"), DifyUnreachable),
    ],
)
async def test_a_refusal_is_raised_typed_and_not_repeated(refusal: Any, error: type[Exception]) -> None:
    async with pair() as (dify, client):
        dify.answers.append(refusal)
        with pytest.raises(error):
            await ask(client)
    assert len(posts(dify)) == 1


async def test_nobody_there_is_tried_three_times_and_named() -> None:
    async with DifyClient(base_url="http://127.0.0.1:9/v1", api_key="app-test") as client:
        with pytest.raises(DifyUnreachable) as error:
            await ask(client)
    assert not error.value.sent


async def test_the_wrong_address_is_named() -> None:
    async with FakeDify() as dify, DifyClient(base_url=dify.url.removesuffix("/v1"), api_key="app-test") as client:
        with pytest.raises(DifyUnreachable, match="not Dify"):
            await ask(client)


async def test_the_key_is_in_no_message() -> None:
    async with FakeDify() as dify, DifyClient(base_url=dify.url, api_key="app-secret-key") as client:
        with pytest.raises(DifyUnauthorized) as error:
            await ask(client)
    assert "app-secret-key" not in f"{error.value!r} {error.value} {client!r} {client.fingerprint}"


async def test_a_stopped_answer_ends_with_what_was_there() -> None:
    async with pair() as (dify, client):
        dify.answers.append(Script(TEXT * 10, cps=200))
        answer = Answer(EN)
        async with aclosing(client.ask(ASK)) as events:
            async for event in events:
                answer.apply(event)
                if isinstance(event, Identified) and event.task_id:
                    await client.stop(event.task_id, "user-1")
        answer.close()
    assert len(answer.text) < len(TEXT * 10)
    assert answer.outcome is Outcome.SUCCEEDED, "a chat app's stopped answer ends like any other (seen)"


async def test_leaving_early_closes_the_connection() -> None:
    async with pair() as (dify, client):
        dify.answers.append(Script(TEXT * 100, cps=100))
        async with aclosing(client.ask(ASK)) as events:
            await anext(events)
    # the server's exit would fail on a connection that nobody closed


async def test_two_askers_at_once_do_not_mix() -> None:
    async with pair() as (dify, client):
        dify.default = lambda query: Script(f"{query}! " * 50, cps=2000)
        texts = {}

        async def one(name: str) -> None:
            answer, _ = await ask(client, Question(name, name))
            texts[name] = answer.text

        async with anyio.create_task_group() as tasks:
            for name in ("ada", "bob", "eve"):
                tasks.start_soon(one, name)
    assert texts == {name: f"{name}! " * 50 for name in ("ada", "bob", "eve")}


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_no_proxy_stands_between_this_machine_and_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with pair() as (_, client):
        answer, _ = await ask(client)
    assert answer.text == TEXT


async def test_info_names_the_app() -> None:
    async with pair("advanced-chat") as (_, client):
        info = await client.info()
    assert (info.mode, info.version) == ("advanced-chat", "1.14.1")


async def test_a_conversation_of_somebody_else_is_gone() -> None:
    async with pair() as (_, client):
        answer, _ = await ask(client)
        assert (await client.messages(answer.ids.conversation_id, "user-1"))[-1].answer == TEXT
        with pytest.raises(ConversationGone):
            await client.messages(answer.ids.conversation_id, "user-2")


# Streams that no version writes, byte by byte.


class Speaker:
    """A server that says these bytes, one list of pieces per question; None is silence."""

    def __init__(self, *streams: list[bytes | None], history: Response) -> None:
        self.questions: list[dict[str, Any]] = []
        self.looks = 0
        self.open = 0
        self.open_at_look: list[int] = []
        self._streams = deque(streams)
        self._history = history

    async def __call__(self, request: Request) -> Response | Stream:
        if request.method == "GET":
            self.looks += 1
            self.open_at_look.append(self.open)
            return self._history
        self.questions.append(request.json())
        return Stream(200, (("Content-Type", "text/event-stream"),), self._say(self._streams.popleft()))

    async def _say(self, pieces: list[bytes | None]) -> AsyncGenerator[bytes]:
        self.open += 1
        try:
            for piece in pieces:
                if piece is None:
                    await anyio.sleep_forever()
                else:
                    yield piece
        finally:
            self.open -= 1


UNKNOWN = Response.json({"code": "not_found", "message": "Conversation Not Exists.", "status": 404}, 404)
EMPTY = Response.json({"limit": 5, "has_more": False, "data": []})


@asynccontextmanager
async def speaking(
    *streams: list[bytes | None], history: Response = UNKNOWN, idle: float = 5.0
) -> AsyncGenerator[tuple[Speaker, DifyClient]]:
    speaker = Speaker(*streams, history=history)
    async with (
        LoopbackServer(speaker) as server,
        DifyClient(
            base_url=f"{server.url}/v1", api_key="app-test", mode="chat", idle_seconds=idle, silence=0.1
        ) as client,
    ):
        yield speaker, client


def sse(event: str, **fields: Any) -> bytes:
    return f"data: {json.dumps({'event': event, **fields})}\n\n".encode()


def run_failed(error: str) -> bytes:
    """As 1.15 reports a run that never began: without the ids of a conversation."""
    return sse("workflow_started", task_id="r", workflow_run_id="r") + sse(
        "workflow_finished", task_id="r", workflow_run_id="r", data={"status": "failed", "error": error}
    )


CHAT = {"conversation_id": "c-1", "message_id": "m-1", "task_id": "t-1"}
FLOW = {**CHAT, "workflow_run_id": "r-1"}
HELLO = sse("message", answer="Hello", **CHAT)
GOING_ON = Question("and?", "user-1", "c-0")


async def test_a_run_that_fails_early_in_a_living_conversation_keeps_it() -> None:
    async with speaking([run_failed("name is required in input form")], history=EMPTY) as (speaker, client):
        answer, _ = await ask(client, GOING_ON)
    assert (answer.outcome, answer.reason) == (Outcome.FAILED, "name is required in input form")
    assert len(speaker.questions) == 1


@pytest.mark.parametrize(
    "dead",
    [
        [run_failed("")],
        [sse("error", code="not_found", message="Conversation Not Exists.", status=404)],
        [b"event: ping\n\n", None],
    ],
    ids=["run", "error", "silence"],
)
async def test_a_dead_conversation_is_left_once(dead: list[bytes | None]) -> None:
    async with speaking(dead, [HELLO, sse("message_end", **CHAT)]) as (speaker, client):
        answer, _ = await ask(client, GOING_ON)
    assert (answer.outcome, answer.text) == (Outcome.SUCCEEDED, "Hello")
    assert [question.get("conversation_id") for question in speaker.questions] == ["c-0", None]


async def test_a_dead_conversation_is_left_only_once() -> None:
    async with speaking([run_failed("")], [run_failed("")]) as (speaker, client):
        answer, _ = await ask(client, GOING_ON)
    assert answer.outcome is Outcome.FAILED
    assert len(speaker.questions) == 2


@pytest.mark.parametrize("ends", [[run_failed("")], [sse("error", code="x")], [None]], ids=["run", "error", "silence"])
async def test_nothing_is_asked_again_once_something_was_told(ends: list[bytes | None]) -> None:
    async with speaking([sse("message", answer="Hel"), *ends], idle=0.3) as (speaker, client):
        answer, _ = await ask(client, GOING_ON)
    assert answer.text == "Hel"
    assert len(speaker.questions) == 1


@pytest.mark.parametrize("size", range(0, len(HELLO) + 40, 23))
@pytest.mark.parametrize("end", ["eof", "hang"])
async def test_a_stream_may_break_off_anywhere(size: int, end: str) -> None:
    whole = HELLO + sse("message_end", **CHAT)
    pieces: list[bytes | None] = [whole[:size], None] if end == "hang" else [whole[:size]]
    async with speaking(pieces, history=EMPTY, idle=0.2) as (speaker, client):
        answer, _ = await ask(client)
    assert answer.outcome is Outcome.INTERRUPTED
    assert answer.text == ("Hello" if size >= len(HELLO) else "")
    assert len(speaker.questions) == 1


async def test_an_oversized_line_does_not_lose_the_answer() -> None:
    huge = b'data: {"event":"node_finished","data":{"outputs":"' + b"x" * 10_000_000 + b'"}}\n\n'
    async with speaking([HELLO, huge, sse("message_end", **CHAT)]) as (_, client):
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.SUCCEEDED, "Hello")


async def test_a_stream_that_was_given_up_is_closed_before_dify_is_searched() -> None:
    """It would hold one of Dify's ten connections, and fill the memory if it came alive."""
    started = sse("workflow_started", **FLOW)
    async with speaking([started, None], history=EMPTY, idle=1.0) as (speaker, client):
        await ask(client)
    assert speaker.looks >= 1
    assert set(speaker.open_at_look) == {0}


async def test_a_failure_after_a_good_end_is_not_waited_for() -> None:
    async with speaking([HELLO, sse("message_end", **CHAT), None], idle=2 * SOON) as (_, client):
        with anyio.fail_after(SOON):
            answer, _ = await ask(client)
    assert answer.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("fields", [CHAT, FLOW], ids=["chat", "chatflow"])
async def test_closing_the_client_ends_its_streams(fields: dict[str, str]) -> None:
    told = anyio.Event()
    answer = Answer(EN)

    async def listen(client: DifyClient) -> None:
        async with aclosing(client.ask(ASK)) as stream:
            async for event in stream:
                answer.apply(event)
                told.set()

    with anyio.fail_after(SOON):
        async with (
            anyio.create_task_group() as tasks,
            speaking([sse("message", answer="Hello", **fields), None], idle=60.0) as (_, client),
        ):
            tasks.start_soon(listen, client)
            await told.wait()
    assert (answer.outcome, answer.text) == (Outcome.INTERRUPTED, "Hello")


async def test_a_closed_client_says_so() -> None:
    async with pair() as (_, client):
        pass
    with pytest.raises(DifyUnreachable, match="closed"):
        await ask(client)


@pytest.mark.parametrize("key", ["app-secret\n", "app-se cret", "app-s\u00e9cret", "app-se\0cret", ""])
async def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    with pytest.raises(SettingsError) as error:
        DifyClient(base_url="http://127.0.0.1:9/v1", api_key=key)
    assert not key or key.strip() not in str(error.value)


async def settled(client: DifyClient) -> None:
    """Wait until no task reads, nothing is followed and no connection is in use. Nothing public tells."""
    http: Any = client._connection.http._transport
    tasks: Any = client._streams._tasks
    clock = 1  # the task that looks at it for all streams
    with anyio.fail_after(SOON):
        while (  # noqa: ASYNC110  # polled: nobody announces it
            len(tasks._tasks) > clock
            or client._streams._feeds._open
            or not all(connection.is_idle() for connection in http._pool.connections)
        ):
            await anyio.sleep(0.01)


LEAVING: list[tuple[str, list[Any], float]] = [
    ("before headers", [Hang()], 0.05),
    ("amid text", [Script(TEXT * 100, cps=200)], 0.1),
    ("amid silence", [Script(TEXT, end="hang", at=9)], 0.1),
    ("while waiting", [Script(TEXT, end="hang", at=9)], 0.35),
    ("in the queue", [Refuse(400, "invalid_param", "Too many requests. Please try again later.")], 0.1),
    ("while searching", [Script(TEXT, end="cut", at=9)], 0.3),
]


@pytest.mark.parametrize(("answers", "after"), [case[1:] for case in LEAVING], ids=[case[0] for case in LEAVING])
async def test_a_cancelled_asker_leaves_nothing_behind(answers: list[Any], after: float) -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.answers.extend(answers)
        with anyio.move_on_after(after) as scope:
            await ask(client)
        assert scope.cancelled_caught
        await settled(client)


@pytest.mark.parametrize("count", range(6))
async def test_an_asker_may_leave_after_any_event(count: int) -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.answers.append(Script(TEXT * 10, cps=500))
        async with aclosing(client.ask(ASK)) as stream:
            for _ in range(count):
                await anext(stream)
        await settled(client)


async def test_a_generator_that_nobody_closes_is_no_leak() -> None:
    async with pair() as (dify, client):
        dify.answers.append(Script(TEXT * 100, cps=200))
        stream = client.ask(ASK)
        await anext(stream)
        del stream
        gc.collect()
        await settled(client)


REPLAYED = [
    step.name
    for step in steps()
    if step.path == "/v1/chat-messages" and step.streamed and step.end == "terminating chunk 0"
    if "event: ping x" not in str(step.meta["sse_event_sequence"])
]


@pytest.mark.parametrize("name", REPLAYED)
async def test_a_replayed_stream_gives_the_same_answer_as_its_bytes(name: str, folder: Path) -> None:
    step = next(step for step in steps() if step.name == name)
    expected, _ = fold(step)
    async with pair(idle=0.3, silence=0.2) as (dify, client):
        dify.answers.append(Replay(folder / f"{name}.json"))
        answer, _ = await ask(client)
    assert (answer.text, answer.outcome) == (expected.text, expected.outcome)
