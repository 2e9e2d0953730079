"""Apps of every kind against a scripted Dify, over real sockets: their bodies, answers, ends and history."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cardbot.answer import Answer, Outcome
from cardbot.dify.body import Form
from cardbot.dify.client import DifyClient
from cardbot.errors import (
    AnswerFailed,
    DifyBusy,
    DifyRejected,
    DifyUnreachable,
    DifyWrongApp,
    FileRefused,
    NoQuestionInput,
    QuestionTooLong,
)
from cardbot.events import Identified, RunFinished, TextDelta
from cardbot.messages import FileKind, Question, Upload
from cardbot.playground.dify import FakeDify, Hang, Html, Pause, Refuse, Replay, Script
from cardbot.ports import Download
from cardbot.texts import EN
from tests.dify.asking import ASK, TEXT, ask, posts
from tests.dify.recordings import steps
from tests.dify.test_recordings import fold

pytestmark = pytest.mark.anyio

QUERY = {"paragraph": {"variable": "query", "label": "Query", "required": True, "max_length": 200}}


@asynccontextmanager
async def pair(
    app: Any = "workflow", version: str = "1.14.1", *, inputs: Any = None, **options: Any
) -> AsyncGenerator[tuple[FakeDify, DifyClient]]:
    if inputs is None:
        inputs = [QUERY] if app in ("workflow", "completion") else []
    mine = {name: options.pop(name) for name in ("mode", "form", "output") if name in options}
    async with (
        FakeDify(app, version, linger=0, inputs=inputs, **options) as dify,
        DifyClient(base_url=dify.url, api_key="app-test", idle_seconds=5.0, silence=0.2, **mine) as client,
    ):
        dify.default = Script(TEXT)
        yield dify, client


def paths(dify: FakeDify) -> list[str]:
    return [f"{request.method} {request.path.removeprefix('/v1/')}" for request in dify.requests]


@pytest.mark.parametrize("version", ["0.15.8", "1.12.1", "1.14.1", "1.15.0"])
async def test_a_workflow_is_asked_in_its_own_words(version: str) -> None:
    mode = "workflow" if version == "0.15.8" else ""
    async with pair("workflow", version, mode=mode) as (dify, client):
        answer, _ = await ask(client)
    assert (answer.text, answer.outcome) == (TEXT, Outcome.SUCCEEDED)
    assert posts(dify) == [{"inputs": {"query": "hello"}, "user": "user-1", "response_mode": "streaming"}]


@pytest.mark.parametrize("version", ["0.15.8", "1.12.1", "1.14.1", "1.15.0"])
async def test_a_completion_app_is_asked_in_its_own_words(version: str) -> None:
    mode = "completion" if version == "0.15.8" else ""
    async with pair("completion", version, mode=mode) as (dify, client):
        answer, _ = await ask(client)
    assert (answer.text, answer.outcome) == (TEXT, Outcome.SUCCEEDED)
    assert posts(dify) == [
        {"inputs": {"query": "hello"}, "query": "hello", "user": "user-1", "response_mode": "streaming"}
    ]


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat", "workflow", "completion"])
async def test_dify_is_asked_once_what_the_app_is(app: str) -> None:
    async with pair(app) as (dify, client):
        for _ in range(3):
            answer, _ = await ask(client)
            assert answer.text == TEXT
    assert paths(dify)[:2] == ["GET info", "GET parameters"]
    assert all(path.startswith("POST") for path in paths(dify)[2:])


async def test_many_who_ask_at_once_ask_once_what_the_app_is() -> None:
    async with pair() as (dify, client), anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(ask, client, Question("hello", f"user-{number}"))
    assert paths(dify).count("GET info") == 1


async def test_a_mode_from_the_settings_goes_before_what_dify_says() -> None:
    async with pair("workflow", mode="chat") as (_, client):
        with pytest.raises(DifyWrongApp):
            await ask(client)


async def test_an_app_that_cannot_be_asked_what_it_is_fails_the_question() -> None:
    async with DifyClient(base_url="http://127.0.0.1:9/v1", api_key="app-test") as client:
        with pytest.raises(DifyUnreachable) as error:
            await ask(client)
    assert not error.value.sent


# Stopping.


@pytest.mark.parametrize(
    ("app", "path"),
    [
        ("chat", "chat-messages/{}/stop"),
        ("workflow", "workflows/tasks/{}/stop"),
        ("completion", "completion-messages/{}/stop"),
    ],
)
async def test_an_answer_is_stopped_where_its_app_is(app: str, path: str) -> None:
    async with pair(app) as (dify, client):
        dify.answers.append(Script(TEXT * 10, cps=200))
        answer = Answer(EN)
        async with aclosing(client.ask(ASK)) as stream:
            async for event in stream:
                answer.apply(event)
                if isinstance(event, TextDelta) and paths(dify)[-1].endswith(("run", "messages")):
                    await client.stop(answer.ids.task_id, "user-1")
        answer.close()
    assert paths(dify)[-1] == "POST " + path.format(answer.ids.task_id)
    assert 0 < len(answer.text) < len(TEXT * 10)


# Failures and broken streams.


@pytest.mark.parametrize("version", ["0.15.8", "1.14.1"])
@pytest.mark.parametrize("app", ["workflow", "completion"])
async def test_an_error_amid_the_answer_keeps_the_text_before_it(app: str, version: str) -> None:
    async with pair(app, version, mode=app) as (dify, client):
        dify.answers.append(Script(TEXT, end="error", at=9))
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.FAILED, TEXT[:9])


@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
async def test_a_lost_stream_of_a_workflow_is_completed_from_its_run(end: Any) -> None:
    async with pair() as (dify, client):
        dify.answers.append(Script(TEXT, end=end, at=9, cps=500))
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.SUCCEEDED, TEXT)
    assert len(posts(dify)) == 1


@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
async def test_a_lost_stream_of_a_completion_app_is_interrupted_with_its_text(end: Any) -> None:
    async with pair("completion") as (dify, client):
        dify.answers.append(Script(TEXT, end=end, at=9, cps=500))
        answer, _ = await ask(client)
    assert (answer.outcome, answer.text) == (Outcome.INTERRUPTED, TEXT[:9])
    assert len(posts(dify)) == 1


async def test_two_workflows_at_once_do_not_mix() -> None:
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


# A workflow's outputs.


@pytest.mark.parametrize(
    ("outputs", "wanted", "text"),
    [
        ({"anything": "Hello"}, "", "Hello"),
        ({"score": 3, "answer": "Hello", "note": "n"}, "", "Hello"),
        ({"first": "a", "second": "b"}, "second", "b"),
        ({"first": "a", "list": [1, "二"]}, "list", '```json\n[\n  1,\n  "二"\n]\n```'),
        ({"score": 3}, "", "```json\n3\n```"),
        ({"answer": "", "score": 3}, "", "```json\n3\n```"),
        ({"first": "a"}, "gone", ""),
        ({}, "", ""),
    ],
)
async def test_the_answer_of_a_workflow_without_streamed_text_is_its_output(
    outputs: dict[str, Any], wanted: str, text: str
) -> None:
    async with pair(output=wanted) as (dify, client):
        dify.default = Script("", outputs=outputs)
        answer, _ = await ask(client)
        whole = await client.ask("hello")
    assert (answer.text, answer.outcome) == (text, Outcome.SUCCEEDED)
    assert (whole.text, whole.outputs) == (text, outputs)


async def test_streamed_text_goes_before_the_outputs() -> None:
    async with pair(output="other") as (dify, client):
        dify.default = Script("Hello", outputs={"other": "not this"})
        answer, _ = await ask(client)
    assert answer.text == "Hello"


async def test_a_file_among_the_outputs_is_a_link() -> None:
    file = {"dify_model_identity": "__dify__file__", "type": "document", "filename": "a.pdf", "url": "https://x/a.pdf"}
    async with pair() as (dify, client):
        dify.default = Script("", outputs={"files": [file, {**file, "type": "image", "filename": "b.png"}]})
        answer, _ = await ask(client)
    assert answer.text == "[a.pdf](https://x/a.pdf)\n\n![b.png](https://x/a.pdf)"


async def test_a_file_beside_a_text_of_any_name_follows_it() -> None:
    file = {"dify_model_identity": "__dify__file__", "type": "document", "filename": "a.pdf", "url": "/files/1/a.pdf"}
    async with pair() as (dify, client):
        dify.default = Script("", outputs={"summary": "Hello", "report": file, "score": 3})
        answer, _ = await ask(client)
        link = f"[a.pdf]({dify.url.removesuffix('/v1')}/files/1/a.pdf)"
    assert answer.text == f"Hello\n\n{link}"


# Inputs.


NAME = {"text-input": {"variable": "name", "label": "Name", "required": True, "max_length": 5}}


async def test_constants_and_the_questions_own_inputs_are_filled_in() -> None:
    async with pair("advanced-chat", inputs=[NAME], form=Form({"name": "Ada", "dropped": 1})) as (dify, client):
        await ask(client)
        await ask(client, Question("hello", "user-1", inputs={"name": "Bob"}))
    assert [post["inputs"] for post in posts(dify)] == [{"name": "Ada", "dropped": 1}, {"name": "Bob", "dropped": 1}]
    assert [run.turn.inputs for run in dify.runs.values()] == [{"name": "Ada"}, {"name": "Bob"}]


async def test_a_text_that_is_filled_in_is_cut_at_what_the_input_takes() -> None:
    async with pair("chat", inputs=[NAME]) as (dify, client):
        answer, _ = await ask(client, Question("hello", "user-1", inputs={"name": "Ada Lovelace"}))
    assert answer.text == TEXT
    assert posts(dify)[0]["inputs"] == {"name": "Ada L"}


async def test_a_required_input_gets_its_own_default() -> None:
    """Dify refuses a question that leaves it out, whatever the form says."""
    colour = {"select": {"variable": "colour", "required": True, "default": "red", "options": ["red", "blue"]}}
    async with pair("chat", inputs=[colour]) as (dify, client):
        answer, _ = await ask(client)
    assert answer.text == TEXT
    assert posts(dify)[0]["inputs"] == {"colour": "red"}


async def test_a_required_input_without_a_value_is_refused_in_difys_words() -> None:
    async with pair("chat", inputs=[NAME]) as (_, client):
        with pytest.raises(DifyRejected, match="name is required in input form"):
            await ask(client)


async def test_a_question_that_is_longer_than_its_input_takes_is_not_asked() -> None:
    async with pair() as (dify, client):
        with pytest.raises(QuestionTooLong) as error:
            await ask(client, Question("x" * 201, "user-1"))
    assert error.value.limit == 200
    assert not posts(dify)


async def test_a_workflow_without_an_input_for_the_question_is_not_asked() -> None:
    number = {"number": {"variable": "count", "required": False}}
    async with pair(inputs=[number]) as (dify, client):
        with pytest.raises(NoQuestionInput, match="declares no input"):
            await ask(client)
    assert not posts(dify)


async def test_the_named_input_takes_the_question() -> None:
    inputs = [{"paragraph": {"variable": name}} for name in ("first", "second")]
    async with pair(inputs=inputs, form=Form(query_input="second")) as (dify, client):
        await ask(client)
    assert posts(dify)[0]["inputs"] == {"second": "hello"}


# How the app is to behave.


async def test_the_system_prompt_goes_into_the_input_that_takes_it() -> None:
    declared = {"paragraph": {"variable": "system_prompt", "required": False}}
    async with pair("chat", inputs=[declared]) as (dify, client):
        await ask(client, Question("hello", "user-1", system="Be brief."))
    assert (posts(dify)[0]["inputs"], posts(dify)[0]["query"]) == ({"system_prompt": "Be brief."}, "hello")


async def test_the_system_prompt_is_put_before_a_conversations_first_question_only() -> None:
    async with pair("chat") as (dify, client):
        first, _ = await ask(client, Question("hello", "user-1", system="Be brief."))
        await ask(client, Question("and?", "user-1", first.ids.conversation_id, system="Be brief."))
    assert [post["query"] for post in posts(dify)] == ["Be brief.\n\nhello", "and?"]


async def test_the_system_prompt_is_put_before_the_question_of_a_conversation_that_begins_anew() -> None:
    gone = "00000000-0000-4000-8000-000000000000"
    async with pair("chat") as (dify, client):
        await ask(client, Question("and?", "user-1", gone, system="Be brief."))
    assert [post["query"] for post in posts(dify)] == ["and?", "Be brief.\n\nand?"]


async def test_the_system_prompt_is_put_before_every_question_of_a_workflow() -> None:
    async with pair() as (dify, client):
        for _ in range(2):
            await ask(client, Question("hello", "user-1", system="Be brief."))
    assert [post["inputs"]["query"] for post in posts(dify)] == ["Be brief.\n\nhello"] * 2


# Files.


PICTURE = Upload("0b5e2b7e-0000-4000-8000-000000000001", FileKind.IMAGE)
SENT = {"type": "image", "transfer_method": "local_file", "upload_file_id": PICTURE.id}


@pytest.mark.parametrize(("kind", "value"), [("file", SENT), ("file-list", [SENT])])
async def test_files_go_into_the_declared_input_of_a_workflow(kind: str, value: object) -> None:
    async with pair(inputs=[QUERY, {kind: {"variable": "picture", "required": False}}]) as (dify, client):
        await ask(client, Question("what is it?", "user-1", files=(PICTURE,)))
    (post,) = posts(dify)
    assert post["inputs"] == {"query": "what is it?", "picture": value}
    assert "files" not in post


def download(name: str = "a.png") -> Download:
    async def chunks() -> AsyncGenerator[bytes]:
        yield b"bytes"

    return Download(name, FileKind.IMAGE, "image/png", 5, chunks())


async def test_a_file_is_given_to_dify_for_its_user() -> None:
    async with pair(inputs=[QUERY, {"file": {"variable": "picture"}}]) as (dify, client):
        upload = await client.upload(download(), "user-1")
    (stored,) = dify.files
    assert (upload.id, upload.kind, stored.user, stored.content) == (stored.id, FileKind.IMAGE, "user-1", b"bytes")


async def test_a_file_for_an_app_that_takes_none_is_not_sent() -> None:
    async with pair() as (dify, client):
        with pytest.raises(FileRefused) as error:
            await client.upload(download(), "user-1")
    assert error.value.why == "no_uploads"
    assert not dify.files


async def test_a_recording_for_an_app_that_does_not_listen_is_not_sent() -> None:
    async with pair() as (dify, client):
        with pytest.raises(FileRefused) as error:
            await client.transcribe(download("a.mp3"), "user-1")
    assert error.value.why == "not_heard"
    assert all(path.startswith("GET") for path in paths(dify))


# An answer in one piece.


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat", "workflow", "completion"])
@pytest.mark.parametrize("version", ["0.15.8", "1.14.1"])
async def test_an_awaited_question_returns_the_whole_answer(app: str, version: str) -> None:
    async with pair(app, version, mode=app) as (dify, client):
        dify.default = Script(TEXT, think="hm")
        answer = await client.ask("hello")
    assert (str(answer), answer.reasoning.strip()) == (TEXT, "hm")
    assert posts(dify)[0]["response_mode"] == ("streaming" if app == "agent-chat" else "blocking")
    assert bool(answer.conversation_id) == (app in ("chat", "agent-chat", "advanced-chat"))
    assert (answer.usage is None) == (app == "workflow")


async def test_a_script_can_go_on_with_the_conversation() -> None:
    async with pair("chat") as (dify, client):
        first = await client.ask(Question("hello", "ada"))
        await client.ask(Question("and?", "ada", first.conversation_id))
    (conversation,) = dify.conversations.values()
    assert len(conversation.messages) == 2


@pytest.mark.parametrize("app", ["agent-chat", "workflow"])
async def test_an_awaited_answer_that_failed_is_an_error(app: str) -> None:
    """A failed workflow answers with HTTP 200."""
    async with pair(app) as (dify, client):
        dify.default = Script(TEXT, end="error", error="[models] Error: no credit")
        with pytest.raises(AnswerFailed, match="no credit") as error:
            await client.ask("hello")
    assert error.value.detail


async def test_an_awaited_answer_whose_stream_broke_is_an_error() -> None:
    async with pair("agent-chat") as (dify, client):
        dify.default = Script(TEXT, end="cut", at=9)
        with pytest.raises(AnswerFailed):
            await client.ask("hello")


@pytest.mark.parametrize(
    ("refusal", "error"),
    [(Refuse(400, "invalid_param", "name is required in input form"), DifyRejected), (Html(502), DifyUnreachable)],
)
async def test_an_awaited_question_that_was_refused_is_raised_typed(refusal: Any, error: type[Exception]) -> None:
    async with pair() as (dify, client):
        dify.answers.append(refusal)
        with pytest.raises(error):
            await client.ask("hello")
    assert len(posts(dify)) == 1


async def test_an_awaited_question_is_asked_again_where_a_streamed_one_is() -> None:
    gone = "00000000-0000-4000-8000-000000000000"
    async with pair("chat") as (dify, client):
        dify.answers.append(Refuse(400, "invalid_param", "Too many requests. Please try again later."))
        answer = await client.ask(Question("hello", "ada", gone))
    assert answer.text == TEXT
    assert [post.get("conversation_id") for post in posts(dify)] == [gone, gone, None]


async def test_an_awaited_question_waits_for_a_place_only_so_long() -> None:
    async with pair("chat") as (dify, client):
        dify.answers.extend([Refuse(400, "invalid_param", "Too many requests. Please try again later.")] * 9)
        with pytest.raises(DifyBusy):
            await client.ask("hello")


async def test_an_awaited_answer_that_waits_for_a_person_is_an_error() -> None:
    async with pair() as (dify, client):
        dify.default = Script("", pause=Pause())
        with pytest.raises(AnswerFailed, match="waits for a person"):
            await client.ask("hello")


async def test_an_awaited_question_can_be_cancelled() -> None:
    async with pair("chat") as (dify, client):
        dify.default = lambda query: Hang()
        with anyio.move_on_after(0.3) as scope:
            await client.ask("hello")
        assert scope.cancelled_caught
        dify.default = Script(TEXT)
        assert (await client.ask("hello")).text == TEXT


async def test_what_went_wrong_leaves_the_client_as_it_is() -> None:
    """A script writes `try: async with DifyClient(…): …  except DifyError: …`."""
    with pytest.raises(NoQuestionInput):
        async with pair(inputs=[]) as (_, client):
            await client.ask("hello")


async def test_a_question_that_nobody_awaits_is_not_asked() -> None:
    async with pair() as (dify, client):
        client.ask("hello")
    assert not dify.requests


async def test_ids_of_a_workflow_are_those_of_its_run() -> None:
    async with pair() as (dify, client):
        answer, events = await ask(client)
    assert isinstance(events[0], Identified)
    assert list(dify.runs) == [answer.ids.workflow_run_id]
    assert [type(event) for event in events][-1] is RunFinished


# Answers of real servers.


MODES = {"/v1/workflows/run": "workflow", "/v1/completion-messages": "completion"}
REPLAYED = [
    step.name
    for step in steps()
    if step.path in MODES and step.streamed and step.end == "terminating chunk 0"
    if "event: ping x" not in str(step.meta["sse_event_sequence"])
]


@pytest.mark.parametrize("name", REPLAYED)
async def test_a_replayed_stream_gives_the_same_answer_as_its_bytes(name: str, folder: Path) -> None:
    step = next(step for step in steps() if step.name == name)
    expected, _ = fold(step)
    async with pair(MODES[step.path]) as (dify, client):
        dify.answers.append(Replay(folder / f"{name}.json"))
        answer, _ = await ask(client)
    assert (answer.text, answer.outcome) == (expected.text, expected.outcome)
    assert answer.text or answer.failed


def test_recordings_of_both_kinds_are_there() -> None:
    assert {name.split("/")[1].split("-")[0] for name in REPLAYED} >= {"workflow", "completion"}
