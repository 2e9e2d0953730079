"""An AI assistant: its requests read, its answers delivered, and both with the simulated platform."""

import json
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from structlog.testing import capture_logs

from cardbot.desk import Desk
from cardbot.dingtalk import assistant
from cardbot.dingtalk.assistant_replies import AssistantReplies
from cardbot.dingtalk.connection import Receiver
from cardbot.dingtalk.no_cards import NoCards
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.sdk import exchange
from cardbot.dingtalk.stream import Stream
from cardbot.errors import (
    ContentRefused,
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    QuotaExhausted,
    Throttled,
    UnreadableMessage,
    WebhookExpired,
)
from cardbot.events import Event, MessageEnded, TextDelta
from cardbot.forms import AssistantNames
from cardbot.messages import Chat, ChatKind, Incoming, Person, Question, SessionWebhook
from cardbot.open_reply import OpenReply
from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import Reject
from cardbot.reply import reply, resume
from cardbot.texts import EN
from tests.dingtalk.server import Answer, Fault, Server, answer, refusal
from tests.values import desk_of, new_id

NAMES = AssistantNames()
SEND = "/agent/send"
QPS = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"
BODY: dict[str, Any] = {
    "rawInput": " What is the weather? ",
    "sessionWebhook": "https://api.dingtalk.com/agent/send?session=aswh_EXAMPLE",
    "openConversationId": "cidEXAMPLE==",
    "unionId": "uEXAMPLE",
}


def request(body: object = None, **changes: Any) -> dict[str, Any]:
    """A request as DingTalk documents it; `None` leaves a variable out."""
    values = {name: value for name, value in {**BODY, **changes}.items() if value is not None}
    return {
        "requestLine": {"method": "POST", "uri": "/v1/skill/ask"},
        "headers": {"x-plugin-id": "p1", "x-ability-key": "ask", "Content-Type": "application/json"},
        "body": json.dumps(values) if body is None else body,
    }


def read(data: Mapping[str, Any], *, frame_id: str = "frame-1", names: AssistantNames = NAMES) -> Incoming:
    return assistant.incoming(data, frame_id=frame_id, names=names, robot_code="dingrobot", now=5.0)


# What is asked.


def test_a_request_is_a_message() -> None:
    assert read(request()) == Incoming(
        message_id="frame-1",
        robot_code="dingrobot",
        chat=Chat("cidEXAMPLE==", ChatKind.DIRECT),
        sender=Person("uEXAMPLE", "", ""),
        kind="assistant",
        text="What is the weather?",
        webhook=SessionWebhook("https://api.dingtalk.com/agent/send?session=aswh_EXAMPLE", math.inf),
        created_at=5.0,
    )


def test_a_person_is_known_by_the_staff_id_too_where_the_skill_hands_it_on() -> None:
    assert read(request(userId="user0001", corpId="dingcorp")).sender == Person("uEXAMPLE", "user0001", "", "dingcorp")
    assert read(request(userId="user0001", unionId=None)).sender == Person("user0001", "user0001", "")


def test_the_names_of_the_variables_are_the_skills() -> None:
    names = AssistantNames(question="ask", webhook="hook", chat="cid", person="who")
    body = {"ask": "hello", "hook": "https://api.dingtalk.com/agent/send", "cid": "cid1", "who": "u1"}
    found = read(request(json.dumps(body)), names=names)
    assert (found.text, found.chat.id, found.sender.id) == ("hello", "cid1", "u1")
    assert found.webhook == SessionWebhook("https://api.dingtalk.com/agent/send", math.inf)


def test_a_body_that_is_no_string_is_read_as_well() -> None:
    assert read(request(BODY)) == read(request())


def test_the_variables_of_a_get_are_in_its_query() -> None:
    uri = f"/v1/skill/ask?{urlencode({**BODY, 'rawInput': '1 + 1 = 你&?'})}"
    found = read({"requestLine": {"method": "GET", "uri": uri}, "headers": {}, "body": "{}"})
    assert found == replace(read(request()), text="1 + 1 = 你&?")


def test_a_run_is_one_message_however_often_it_is_pushed() -> None:
    assert read(request(runId="run-1"), frame_id="frame-1").message_id == "run-1"
    assert read(request(runId="run-1"), frame_id="frame-2").message_id == "run-1"


def test_a_preview_has_no_chat() -> None:
    assert read(request(openConversationId=None)).chat == Chat("", ChatKind.DIRECT)


def test_without_the_ids_of_run_and_frame_the_same_request_has_the_same_id() -> None:
    first, again, other = (read(request(rawInput=said), frame_id="").message_id for said in ("a", "a", "b"))
    assert first == again != other
    assert len(first) == 64


def test_half_a_character_does_not_stop_a_request() -> None:
    assert read(request(rawInput="cut \ud83d"), frame_id="").text == "cut \ud83d"


@pytest.mark.parametrize("said", ["", " "])
def test_an_empty_question_is_a_message_without_words(said: str) -> None:
    assert read(request(rawInput=said)).text == ""


UNREADABLE = {
    "nothing": {},
    "no body": {**request(), "body": None},
    "a body that is no JSON": request("hello"),
    "a body that is a list": request("[]"),
    "a body of lists in lists": request("[" * 200_000),
    "no question": request(rawInput=None),
    "a question that is no text": request(rawInput={"text": "hello"}),
    "no webhook": request(sessionWebhook=None),
    "an empty webhook": request(sessionWebhook=""),
    "no line": {**request("{}"), "requestLine": None},
    "a line without an address": {**request("{}"), "requestLine": {"uri": 5}},
    "an address without a query": {**request("{}"), "requestLine": {"uri": "http://[?"}},
    "nobody": request(unionId=None),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_a_request_that_cannot_be_answered_is_refused_as_http_would(data: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMessage):
        read(data)
    assert assistant.response(data, names=NAMES) == {
        "statusLine": {"code": 400, "reasonPhrase": "Bad Request"},
        "headers": {"Content-Type": "application/json"},
        "body": "{}",
    }


def test_a_request_that_can_be_answered_is_accepted() -> None:
    assert assistant.response(request(), names=NAMES) == {
        "statusLine": {"code": 200, "reasonPhrase": "OK"},
        "headers": {"Content-Type": "application/json"},
        "body": "{}",
    }


def test_variables_by_another_name_are_named_and_their_values_are_not() -> None:
    with pytest.raises(UnreadableMessage) as caught:
        read(request(rawInput=None, sessionWebhook=None, ask="secret words", hook=BODY["sessionWebhook"]))
    assert str(caught.value) == (
        "An assistant's request came without rawInput, sessionWebhook; it has ask, hook, openConversationId, unionId."
        " Compare CARDBOT_ASSISTANT with the names in the skill's description."
    )


def test_no_representation_shows_the_webhook() -> None:
    assert "aswh_EXAMPLE" not in repr(read(request()))


def test_an_open_reply_to_an_assistant_survives_the_store() -> None:
    opened = OpenReply(read(request()))
    assert OpenReply.from_json(opened.to_json()) == opened


# What is answered.


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    async with Server().running() as server:
        server.answers(SEND, answer({"errcode": 0, "errmsg": "ok"}))
        yield server


@pytest.fixture
def replies(api: OpenApi) -> AssistantReplies:
    return AssistantReplies(api, retry_pauses=(0.0, 0.0))


@pytest.fixture
def asked(server: Server) -> Incoming:
    return read(request(sessionWebhook=f"{server.url}{SEND}?session=aswh_EXAMPLE"))


def contents(server: Server) -> list[str]:
    return [request.json()["content"]["cardData"]["content"] for request in server.to(SEND)]


@pytest.mark.anyio
async def test_an_answer_on_the_wire(server: Server, api: OpenApi, replies: AssistantReplies, asked: Incoming) -> None:
    token = await api.access_token()

    await replies.send(asked, "## Hello\n\n你好")

    [posted] = server.to(SEND)
    assert (posted.method, posted.target) == ("POST", "/agent/send?session=aswh_EXAMPLE")
    assert posted.headers["content-type"] == "application/json; charset=utf-8"
    assert token not in f"{posted}"
    assert posted.json() == {
        "contentType": "ai_card",
        "content": {
            "templateId": "d28e2ac5-fb34-4d93-94bc-cf5c580c2d4f.schema",
            "cardData": {"content": "## Hello\n\n你好"},
        },
    }


@pytest.mark.anyio
async def test_an_answer_is_made_harmless(server: Server, replies: AssistantReplies, asked: Incoming) -> None:
    await replies.send(asked, "[go](dtmd://dingtalkclient/sendMessage?content=yes)")
    assert contents(server) == ["[go](dtmd：//dingtalkclient/sendMessage?content=yes)"]


@pytest.mark.anyio
async def test_half_a_character_does_not_stop_an_answer(
    server: Server, replies: AssistantReplies, asked: Incoming
) -> None:
    await replies.send(asked, "cut \ud83d here")
    assert contents(server) == ["cut ? here"]


@pytest.mark.anyio
@pytest.mark.parametrize("paragraph", ["word " * 50, "字" * 90, '"quoted" \\ ' * 20, "\x01" * 40], ids=ascii)
async def test_a_long_answer_goes_out_whole_and_in_order(
    server: Server, replies: AssistantReplies, asked: Incoming, paragraph: str
) -> None:
    paragraphs = [f"{number}. {paragraph}".strip() for number in range(200)]

    await replies.send(asked, "\n\n".join(paragraphs))

    assert len(server.to(SEND)) > 1
    assert all(len(posted.body) < 20_000 for posted in server.to(SEND))
    assert "\n\n".join(contents(server)).split("\n\n") == paragraphs


DONE = {
    "an errcode": answer({"errcode": 0, "errmsg": "ok"}),
    "an errcode as text": answer({"errcode": "0"}),
    "success": answer({"success": True}),
    "a result": answer({"result": {"success": True}}),
    "an empty object": answer({}),
    "nothing": Answer(200, b""),
    "no content": Answer(200, b" \n"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("done", DONE.values(), ids=DONE)
async def test_each_way_to_say_done_is_understood(
    server: Server, replies: AssistantReplies, asked: Incoming, done: Answer
) -> None:
    server.answers(SEND, done)
    await replies.send(asked, "hi")
    assert contents(server) == ["hi"]


REFUSALS: dict[str, tuple[Answer, type[DingTalkError]]] = {
    "a session that is gone": (answer({"errcode": 300001}), WebhookExpired),
    "a bad parameter": (answer({"errcode": "40035"}), DingTalkRejected),
    "a content check": (answer({"errcode": 430101}), ContentRefused),
    "the content check of the API": (refusal(400, "param.contentUnsafe"), ContentRefused),
    "a used-up quota": (refusal(403, "Forbidden.AccessDenied.ApiCountLimitForOrg"), QuotaExhausted),
    "a code": (refusal(400, "invalidSession"), DingTalkRejected),
    "a status": (answer({}, status=404), DingTalkRejected),
    "no success": (answer({"success": False}), DingTalkRejected),
    "a result without success": (answer({"result": {"success": False}}), DingTalkRejected),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("no", "error"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_told_by_its_kind_and_not_repeated(
    server: Server, replies: AssistantReplies, asked: Incoming, no: Answer, error: type[DingTalkError]
) -> None:
    server.answers(SEND, no)
    with pytest.raises(error) as caught:
        await replies.send(asked, "hi")
    assert len(server.to(SEND)) == 1
    assert "aswh_EXAMPLE" not in f"{caught.value!r}"


UNKNOWN: dict[str, Answer | Fault] = {
    "a reset": Fault.RESET,
    "an end": Fault.CLOSE,
    "silence": Fault.SILENCE,
    "a gateway's timeout": Answer(504, b""),
    "a gateway's page": Answer(502, b"<html>", "text/html"),
    "a page": Answer(200, b"<html>", "text/html"),
    "a list": answer([]),
}


@pytest.mark.anyio
@pytest.mark.parametrize("fate", UNKNOWN.values(), ids=UNKNOWN)
async def test_what_may_have_arrived_is_not_sent_again(
    server: Server, replies: AssistantReplies, asked: Incoming, fate: Answer | Fault
) -> None:
    server.answers(SEND, fate)
    with pytest.raises(DingTalkUnreachable) as caught:
        await replies.send(asked, "hi")
    assert len(server.to(SEND)) == 1
    assert "aswh_EXAMPLE" not in f"{caught.value!r}"


@pytest.mark.anyio
@pytest.mark.parametrize("busy", [answer({"errcode": -1}), refusal(500, "system.busy")], ids=["webhook", "api"])
async def test_what_a_busy_webhook_did_not_take_is_sent_again(
    server: Server, replies: AssistantReplies, asked: Incoming, busy: Answer
) -> None:
    server.answers(SEND, busy, answer({"errcode": 0}))
    await replies.send(asked, "hi")
    assert contents(server) == ["hi", "hi"]


@pytest.mark.anyio
async def test_a_webhook_that_stays_busy_is_asked_three_times_and_waited_for_as_it_says(
    server: Server, replies: AssistantReplies, asked: Incoming
) -> None:
    server.answers(SEND, answer({"status": 1111, "wait": 0.1, "punish": "x5"}))
    began = anyio.current_time()
    with pytest.raises(Throttled):
        await replies.send(asked, "hi")
    assert len(server.to(SEND)) == 3
    assert anyio.current_time() - began >= 0.2


@pytest.mark.anyio
async def test_an_address_where_nobody_listens_is_tried_three_times(
    replies: AssistantReplies, asked: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def noted(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        tried.append(request.method)
        return await exchange(client, request)

    monkeypatch.setattr("cardbot.dingtalk.assistant_replies.exchange", noted)
    nowhere = replace(asked, webhook=SessionWebhook("http://127.0.0.1:1/agent/send", math.inf))
    with pytest.raises(DingTalkUnreachable):
        await replies.send(nowhere, "hi")
    assert tried == ["POST"] * 3


@pytest.mark.anyio
async def test_after_a_piece_that_is_refused_no_further_one_is_sent(
    server: Server, replies: AssistantReplies, asked: Incoming
) -> None:
    server.answers(SEND, answer({"errcode": 0}), answer({"errcode": 40035}))
    with pytest.raises(DingTalkRejected):
        await replies.send(asked, "word " * 20_000)
    assert len(server.to(SEND)) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["https://evil.example/agent/send", "http://api.dingtalk.com/agent/send", "no url"])
async def test_a_webhook_of_somebody_else_is_not_called(replies: AssistantReplies, asked: Incoming, url: str) -> None:
    with capture_logs() as logs, pytest.raises(WebhookExpired):
        await replies.send(replace(asked, webhook=SessionWebhook(url, math.inf)), "hi")
    assert [line["event"] for line in logs] == ["webhook_refused"]


@pytest.mark.anyio
async def test_without_a_webhook_there_is_nowhere_to_answer(replies: AssistantReplies, asked: Incoming) -> None:
    with pytest.raises(WebhookExpired):
        await replies.send(replace(asked, webhook=None), "hi")


# Both, and the story between them.


class Sunny:
    """A Dify app that knows one thing. As much of `ports.Source` as is needed."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    async def ask(self, question: Question) -> AsyncGenerator[Event]:
        self.questions.append(question)
        yield TextDelta("It is ")
        yield TextDelta("sunny.")
        yield MessageEnded()


class Slow(Sunny):
    """The same, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = anyio.Event()

    async def ask(self, question: Question) -> AsyncGenerator[Event]:
        await self.go_on.wait()
        async for event in super().ask(question):
            yield event


@dataclass
class World:
    platform: Platform
    source: Sunny
    desk: Desk


@asynccontextmanager
async def world(source: Sunny | None = None, **options: Any) -> AsyncGenerator[World]:
    """An assistant, and the parts of a bot that answer it."""
    async with Platform(**options) as platform:
        api = OpenApi(client_id="dingtest", client_secret="secret", robot_code="dingtest", endpoint=platform.url)
        source = source or Sunny()
        async with api, anyio.create_task_group() as tasks:
            replies = AssistantReplies(api, retry_pauses=(0.0, 0.0))
            desk = desk_of(source=source, cards=NoCards("An assistant has no card to type into."), webhook=replies)

            def take(frame_id: str, data: Mapping[str, Any]) -> None:
                incoming = assistant.incoming(data, frame_id=frame_id, names=NAMES, robot_code="dingtest", now=0.0)
                tasks.start_soon(reply, incoming, desk)

            stream = Stream(
                api.http,
                endpoint=api.endpoint,
                client_id="dingtest",
                client_secret="secret",
                receivers={assistant.ASSISTANT_TOPIC: Receiver(take, partial(assistant.response, names=NAMES))},
            )
            tasks.start_soon(stream.run)
            await platform.connected()
            yield World(platform, source, desk)
            tasks.cancel_scope.cancel()


def status(ack: Mapping[str, Any] | None) -> int:
    assert ack is not None
    return int(json.loads(ack["data"])["response"]["statusLine"]["code"])


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("form", ["status", "errcode"])
async def test_a_question_to_an_assistant_is_answered_in_one_message(form: Any, method: Any) -> None:
    async with world(assistant_form=form) as there:
        asked = await there.platform.ask_assistant("What is the weather?", method=method)
        await there.platform.wait_for(lambda: there.platform.replies)
        [said] = there.platform.replies
        assert (said.via, said.text, said.conversation) == ("assistant", "It is sunny.", asked.conversation_id)
        assert [(question.query, question.user) for question in there.source.questions] == [
            ("What is the weather?", "dingtalk::union-user0001")
        ]
        assert status(asked.ack) == 200
        assert there.platform.cards == {}
        assert there.platform.violations == []


@pytest.mark.anyio
async def test_the_acknowledgement_does_not_wait_for_the_answer() -> None:
    source = Slow()
    async with world(source) as there:
        asked = await there.platform.ask_assistant("hello")
        await there.platform.wait_for(lambda: asked.ack)
        assert there.platform.replies == []
        source.go_on.set()
        await there.platform.wait_for(lambda: there.platform.replies)


@pytest.mark.anyio
async def test_two_people_at_once_each_get_their_answer() -> None:
    async with world() as there:
        first = await there.platform.ask_assistant("one", user="user0001")
        second = await there.platform.ask_assistant("two", user="user0002")
        await there.platform.wait_for(lambda: len(there.platform.replies) == 2)
        chats = {said.conversation for said in there.platform.replies}
        assert chats == {first.conversation_id, second.conversation_id}


@pytest.mark.anyio
async def test_an_odd_request_is_refused_and_the_next_one_answered() -> None:
    with capture_logs() as logs:
        async with world() as there:
            odd = await there.platform.invoke({"requestLine": {"method": "GET", "uri": "/"}})
            good = await there.platform.ask_assistant("hello")
            await there.platform.wait_for(lambda: there.platform.replies and good.ack and odd.ack)
            assert (status(odd.ack), status(good.ack)) == (400, 200)
            assert there.platform.violations == []
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["stream_receiver_failed"]


@pytest.mark.anyio
async def test_a_question_without_words_is_answered_with_a_sentence() -> None:
    async with world() as there:
        await there.platform.ask_assistant("")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert [said.text for said in there.platform.replies] == [EN.empty]
        assert there.source.questions == []


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Reject(200, "-1"), Reject(403, QPS)], ids=["webhook", "api"])
async def test_an_answer_that_was_not_taken_comes_once(fault: Reject) -> None:
    async with world() as there:
        there.platform.faults.add(f"POST {SEND}", fault)
        await there.platform.ask_assistant("hello")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert [said.text for said in there.platform.replies] == ["It is sunny."]


@pytest.mark.anyio
async def test_an_answer_that_the_content_check_refuses_is_told_so() -> None:
    async with world() as there:
        there.platform.faults.add(f"POST {SEND}", Reject(200, "430101"))
        await there.platform.ask_assistant("hello")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert [said.text for said in there.platform.replies] == [EN.withheld]


@pytest.mark.anyio
async def test_an_answer_that_was_left_open_is_said_after_a_restart() -> None:
    async with world() as there:
        asked = await there.platform.ask_assistant("hello")
        await there.platform.wait_for(lambda: there.platform.replies)
        again = assistant.incoming(asked.data, frame_id="frame-1", names=NAMES, robot_code="dingtest", now=0.0)
        await resume(new_id(), replace(OpenReply(again), plain="It was sunny."), there.desk)
        assert [said.text for said in there.platform.replies] == ["It is sunny.", "It was sunny."]
