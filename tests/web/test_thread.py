"""Chats of clients that name nobody and send all that was said: their conversations at Dify, over real sockets."""

import base64
import uuid
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from cardbot import events
from cardbot.errors import StoreError
from cardbot.messages import Question
from cardbot.playground.dify import FakeDify, Refuse, Script
from cardbot.ports import ConversationKey
from cardbot.settings import ServeSettings
from cardbot.store.memory import MemoryStore
from cardbot.web import serve
from cardbot.web.thread import kept, said, taken, thread_key
from tests.patience import SOON
from tests.web.source import Answers
from tests.web.stand import Stand, dify_settings, front_of, stand, talking, user

pytestmark = pytest.mark.anyio


def assistant(content: Any) -> Any:
    """An earlier answer, as a client sends it back."""
    return {"role": "assistant", "content": content}


async def told(client: Any, messages: list[Any], **more: Any) -> str:
    """The answer as a client keeps it, asked for in one piece or in pieces."""
    answer = await client.chat.completions.create(model="dify", messages=messages, **more)
    if not more.get("stream"):
        return str(answer.choices[0].message.content)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])


async def chat(there: Stand, *questions: str, **more: Any) -> list[Any]:
    """A chat as clients hold it: all that was said, with each question."""
    messages: list[Any] = []
    for question in questions:
        messages.append(user(question))
        messages.append(assistant(await told(there.client, messages, **more)))
    return messages


def queries(dify: FakeDify) -> list[list[str]]:
    """What was asked, by conversation."""
    return [[message.query for message in each.messages] for each in dify.conversations.values()]


def inputs(there: Stand) -> list[str]:
    """What a workflow was asked."""
    bodies = [request.body or {} for request in there.dify.requests if request.path.endswith("/run")]
    return [body["inputs"]["query"] for body in bodies]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat"])
async def test_a_chat_is_one_conversation_and_only_its_last_message_is_asked(app: str, stream: bool) -> None:
    async with stand(dify={"app": app}) as there:
        there.dify.default = lambda query: Script(f"  You said:\n{query} \n")
        await chat(there, "one", "two", "three", stream=stream)
        assert queries(there.dify) == [["one", "two", "three"]]


async def test_two_chats_with_the_same_words_are_two_conversations() -> None:
    async with stand() as there:
        first, second = await chat(there, "one"), await chat(there, "one")
        for messages, question in ((first, "I am Ada."), (second, "I am Bob.")):
            await told(there.client, [*messages, user(question)])
        assert sorted(len(each) for each in queries(there.dify)) == [1, 1, 2]
        asked = [question["query"] for question in there.asked]
    assert asked[2] == "I am Ada."
    assert asked[3].startswith("The conversation so far:\n\nUser: one\n\nAssistant: ")
    assert "Ada" not in asked[3]


async def test_an_answer_that_is_generated_anew_does_not_hear_of_the_first() -> None:
    async with stand() as there:
        messages = await chat(there, "one", "two")
        there.dify.default = Script("Another answer.")
        again = await told(there.client, messages[:3])
        await told(there.client, [*messages[:3], assistant(again), user("three")])
        found = queries(there.dify)
    assert [len(each) for each in found] == [2, 2]
    assert found[1][0].endswith("The user's new message:\n\ntwo")
    assert found[1][1] == "three"


@pytest.mark.parametrize("change", [0, 1])
async def test_a_chat_whose_past_was_changed_brings_it_along(change: int) -> None:
    async with stand() as there:
        messages = await chat(there, "one", "two")
        messages[change] = {**messages[change], "content": "something else"}
        await told(there.client, [*messages, user("three")])
        found = queries(there.dify)
    assert len(found) == 2
    assert "something else" in found[1][0]


async def test_a_request_for_a_title_is_a_conversation_of_its_own() -> None:
    """As Open WebUI, LobeChat and LibreChat ask for it: what was said is quoted in one message."""
    async with stand() as there:
        messages = await chat(there, "one")
        await told(there.client, [user(f"Generate a concise title of: {messages}")])
        await told(there.client, [*messages, user("two")])
        assert [len(each) for each in queries(there.dify)] == [2, 1]


async def test_after_a_title_that_is_asked_within_the_chat_nothing_is_lost() -> None:
    """As NextChat asks for it."""
    async with stand() as there:
        messages = await chat(there, "one")
        await told(there.client, [*messages, user("Generate a title.")])
        await told(there.client, [*messages, user("two")])
        found = queries(there.dify)
    assert [len(each) for each in found] == [2, 1]
    assert "User: one" in found[1][0]
    assert "title" not in found[1][0]


async def test_the_time_in_what_the_app_is_told_to_be_does_not_part_a_chat() -> None:
    """Some clients put the time of day there."""
    async with stand() as there:
        messages = [{"role": "system", "content": "It is 10:00."}, user("one")]
        answer = await told(there.client, messages)
        await told(
            there.client, [{"role": "system", "content": "It is 10:01."}, *messages[1:], assistant(answer), user("2")]
        )
        assert len(queries(there.dify)) == 1


async def test_who_the_app_is_told_to_be_parts_chats_that_begin_with_the_same_words() -> None:
    """Two characters of a chat client: both are greeted, and both greet back."""
    async with stand() as there:
        for character in ("You are a pirate.", "You are a poet."):
            answer = await told(there.client, [{"role": "system", "content": character}, user("Hi")])
        messages = [{"role": "system", "content": "You are a pirate."}, user("Hi"), assistant(answer), user("Who?")]
        await told(there.client, messages)
        first, second = there.dify.conversations.values()
        assert [len(first.messages), len(second.messages)] == [2, 1]


@pytest.mark.parametrize("place", [0, 2])
async def test_a_number_in_the_instructions_parts_chats_for_it_may_say_whose_they_are(place: int) -> None:
    """Of a service with one key, which tells the app by each request for whom it asks."""

    def of(customer: int, *messages: Any) -> list[Any]:
        found = list(messages)
        found.insert(place, {"role": "system", "content": f"You talk with customer {customer}."})
        return found

    async with stand() as there:
        for customer in (1001, 1002):
            answer = await told(there.client, of(customer, user("Hi")))
        await told(there.client, of(1001, user("Hi"), assistant(answer), user("What do I owe?")))
        first, second = there.dify.conversations.values()
        assert [len(first.messages), len(second.messages)] == [2, 1]


async def test_instructions_that_change_reach_the_app_wherever_they_stand() -> None:
    """Some clients put them after the question. An app that has no input for them hears them in the first one only."""
    async with stand() as there:
        answer = await told(there.client, [user("Hi"), {"role": "system", "content": "Be short."}])
        await told(
            there.client, [user("Hi"), assistant(answer), user("Why?"), {"role": "system", "content": "In French."}]
        )
        asked = [question["query"] for question in there.asked]
    assert asked[1].startswith("In French.\n\nThe conversation so far:\n\nUser: Hi")


async def test_a_caller_does_not_go_on_with_the_chat_of_another_key() -> None:
    async with stand(keys="key-of-ada,key-of-bob", key="key-of-ada") as there:
        messages = [*await chat(there, "Hi"), user("Who am I?")]
        async with talking(there.address, "key-of-bob") as (bob, _):
            await told(bob, messages)
        await told(there.client, messages)
        _, of_bob, of_ada = [question["query"] for question in there.asked]
    assert of_bob.startswith("The conversation so far:")
    assert of_ada == "Who am I?"


async def test_a_chat_about_another_picture_is_another_chat() -> None:
    def about(picture: bytes) -> Any:
        address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        return user([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": address}}])

    async with stand(dify={"file_upload": {"enabled": True, "allowed_file_types": ["image"]}}) as there:
        for picture in (b"\x89PNG\r\n\x1a\ncat", b"\x89PNG\r\n\x1a\ndog"):
            answer = await told(there.client, [about(picture)])
        await told(there.client, [about(b"\x89PNG\r\n\x1a\ncat"), assistant(answer), user("And its colour?")])
        assert [len(each) for each in queries(there.dify)] == [2, 1]


async def test_a_conversation_that_dify_has_deleted_begins_anew_with_what_was_said() -> None:
    async with stand() as there:
        messages = await chat(there, "one")
        there.dify.conversations.clear()
        await told(there.client, [*messages, user("two")])
        ((asked,),) = queries(there.dify)
    assert "User: one" in asked
    assert asked.endswith("two")


async def test_a_users_conversation_that_begins_brings_along_what_was_said() -> None:
    """Such as after a restart that has lost it, or of a chat that another model began."""
    async with stand() as there:
        history = [user("I am Ada."), assistant("Hello Ada"), user("Who am I?")]
        await told(there.client, history, user="ada")
        await told(there.client, [*history, assistant("Ada"), user("Sure?")], user="ada")
        ((first, second),) = queries(there.dify)
    assert "User: I am Ada." in first
    assert second == "Sure?"


@pytest.mark.parametrize("name", [{}, {"user": "ada"}])
async def test_a_workflow_which_keeps_nothing_is_told_all_each_time(name: dict[str, str]) -> None:
    question = {"paragraph": {"variable": "query", "label": "Question"}}
    async with stand(dify={"app": "workflow", "inputs": [question]}) as there:
        await chat(there, "one", "two", **name)
        asked = inputs(there)
    assert asked[0] == "one"
    assert asked[1].startswith("The conversation so far:\n\nUser: one")


async def test_what_was_said_is_left_out_where_there_is_no_room_for_it() -> None:
    question = {"text-input": {"variable": "query", "label": "Question", "max_length": 48}}
    with capture_logs() as lines:
        async with stand(dify={"app": "workflow", "inputs": [question]}) as there:
            await chat(there, "one", "two")
            asked = inputs(there)
    assert asked == ["one", "two"]
    assert [line["characters"] for line in lines if line["event"] == "dify_history_left_out"] == [48]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_failed_is_no_past_to_go_on_from(stream: bool) -> None:
    async with stand() as there:
        messages = [*await chat(there, "one"), user("two")]
        there.dify.answers.append(Script("A half", end="error", at=3))
        with pytest.raises(Exception, match="server had an error"):
            await told(there.client, messages, stream=stream)
        await told(there.client, messages, stream=stream)
        found = queries(there.dify)
    assert [len(each) for each in found] == [2, 1]
    assert "User: one" in found[1][0]


async def test_a_question_that_dify_refused_does_not_lose_what_was_said() -> None:
    async with stand() as there:
        messages = [*await chat(there, "one"), user("two")]
        there.dify.answers.append(Refuse(400, "provider_quota_exceeded", "No quota."))
        with pytest.raises(Exception, match="No quota"):
            await told(there.client, messages)
        await told(there.client, messages)
        assert queries(there.dify) == [["one", "two"]]


async def test_the_words_that_a_client_has_heard_count_where_a_stream_took_some_back() -> None:
    async with stand() as there:
        there.dify.answers.append(Script("A secret.", replace="I cannot say.", cps=200))
        await chat(there, "one", "two", stream=True)
        assert queries(there.dify) == [["one", "two"]]


async def test_pictures_that_an_answer_made_are_words_of_it() -> None:
    async with stand(dify={"app": "agent-chat"}) as there:
        there.dify.default = Script("Here.", tools=["painter"], files=["/files/tools/1.png"])
        await chat(there, "one", "two", stream=True)
        assert queries(there.dify) == [["one", "two"]]


async def test_of_two_that_go_on_from_the_same_words_only_one_gets_the_conversation() -> None:
    asked: list[Question] = []
    both = anyio.Event()

    async def answers(question: Question) -> AsyncGenerator[events.Event]:
        asked.append(question)
        yield events.Identified(str(uuid.uuid4()), "message", "task")
        if len(asked) == 3:
            both.set()
        if len(asked) > 1:
            await both.wait()
        yield events.TextDelta("1")
        yield events.MessageEnded()

    async with front_of(Answers(answers)) as (_, client):
        messages = [user("one"), assistant(await told(client, [user("one")])), user("two")]
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(told, client, messages)
    assert sorted(bool(question.conversation_id) for question in asked) == [False, False, True]


async def test_of_two_at_the_very_same_moment_only_one_gets_the_conversation() -> None:
    class Away(MemoryStore):
        """Takes its time, as all stores do that are not in memory."""

        async def conversation(self, key: ConversationKey) -> str:
            found = await super().conversation(key)
            await anyio.lowlevel.checkpoint()
            return found

    store, key, got = Away(), thread_key("app", "dify", "thread"), list[str]()

    async def take() -> None:
        got.append(await taken(key, store))

    await kept("conversation", key, store)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(take)
    assert sorted(got) == ["", "conversation"]


async def test_a_chat_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = ServeSettings.of({"CARDBOT_STORE": f"sqlite:///{tmp_path / 'c.db'}", "CARDBOT_DRAIN_SECONDS": 0})
    messages: list[Any] = []
    async with FakeDify(api_key="app-test", linger=0) as dify:
        for question in ("one", "two"):
            async with (
                serve({"dify": dify_settings(dify.url)}, settings, port=0) as address,
                talking(address) as (it, _),
            ):
                messages.append(user(question))
                messages.append(assistant(await told(it, messages)))
        assert queries(dify) == [["one", "two"]]


@pytest.mark.parametrize("broken", ["conversation", "forget_conversation", "keep_conversation"])
async def test_a_store_that_fails_costs_no_answer_and_no_past(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> str:
        raise StoreError("away")

    store = MemoryStore()
    monkeypatch.setattr(store, broken, fail)
    monkeypatch.setattr("cardbot.web.serving.open_store", lambda _: nullcontext(store))
    async with stand() as there:
        await chat(there, "one", "two")
        assert "User: one" in queries(there.dify)[-1][0]


async def test_no_word_of_a_chat_is_in_the_store() -> None:
    keys: list[ConversationKey] = []

    class Watched(MemoryStore):
        async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
            keys.append(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardbot.web.serving.open_store", lambda _: nullcontext(Watched()))
        async with stand() as there:
            await chat(there, "hunter2")
    assert len(keys) == 1
    assert "hunter2" not in str(keys)


def named(*messages: tuple[str, str]) -> str:
    """What names a thread of these messages."""
    thread = ""
    for role, words in messages:
        thread = said(thread, role, words)
    return thread


def test_white_space_does_not_part_a_chat() -> None:
    assert named(("user", "one"), ("assistant", " 1\n\n2 ")) == named(("user", "one "), ("assistant", "1 2"))


def test_what_says_nothing_does_not_part_a_chat() -> None:
    assert named(("user", "one"), ("assistant", ""), ("assistant", "1")) == named(("user", "one"), ("assistant", "1"))


@pytest.mark.parametrize(
    "other",
    [
        [("user", "one"), ("user", "1")],
        [("assistant", "1"), ("user", "one")],
        [("user", "one1")],
        [("user", "one")],
        [("user", "one"), ("assistant", "2")],
    ],
)
def test_other_words_name_another_thread(other: list[tuple[str, str]]) -> None:
    assert named(*other) != named(("user", "one"), ("assistant", "1"))
