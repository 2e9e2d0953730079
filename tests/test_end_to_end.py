"""The main job over real sockets: a message to the robot ends in exactly one visible final state, whatever fails."""

import math
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from cardbot.budget import month_at
from cardbot.dingtalk.template import SHARED_TEMPLATE
from cardbot.playground.dify.replay import Replay
from cardbot.playground.dify.script import Drop, Html, Refuse, Script
from cardbot.playground.platform.cards import State
from cardbot.playground.platform.faults import (
    Fault,
    GatewayTimeout,
    HtmlError,
    NotDelivered,
    OddJson,
    Reject,
    ResetConnection,
    SuccessFalse,
)
from cardbot.store.sqlite import open_sqlite
from cardbot.texts import EN
from tests.desk import CREATE, STREAM, UPDATE, WEBHOOK, desk
from tests.dify.recordings import steps, stored

pytestmark = pytest.mark.anyio

TEXT = "# Weather\n\nIt is **sunny**, 20 °C. 晴天 ☀️\n\n| day | sky |\n|---|---|\n| Mon | blue |\n"
WRITING = Script(TEXT, cps=60)
GROUP = "cidTEAM0000=="

QPS = Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi")
QUOTA = Reject(403, "Forbidden.AccessDenied.ApiCountLimitForOrg")
DENIED = Reject(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")


async def test_a_question_types_its_answer_out_in_a_card() -> None:
    async with desk() as world:
        world.dify.answers.append(WRITING)
        message = await world.platform.say("How is the weather?")
        await world.ended()
        (card,) = world.platform.cards.values()
        assert (card.state, card.content) == (State.DONE, TEXT)
        partials = [frame.content for frame in card.frames[:-1]]
        assert len(partials) >= 2, "the answer did not grow"
        assert partials == sorted(partials, key=len)
        assert all("|---" not in text or text.count("|---|---|") == 1 for text in partials)
        assert message.ack is not None
        assert not world.platform.replies
        assert world.platform.violations == []


async def test_a_picture_of_an_agents_tool_is_in_the_card_with_an_address_that_opens() -> None:
    async with desk(dify={"app": "agent-chat"}) as world:
        world.dify.answers.append(Script("Here it is.", tools=["painter"], files=["/files/tools/f-1.png?sign=x"]))
        await world.platform.say("Paint a boat.")
        await world.ended()
        (card,) = world.platform.cards.values()
        host = world.dify.url.removesuffix("/v1")
        assert card.content == f"Here it is.\n\n![f-1.png]({host}/files/tools/f-1.png?sign=x)"
        assert world.platform.violations == []


async def test_the_card_appears_before_dify_says_anything() -> None:
    async with desk() as world:
        world.dify.answers.append(Script(TEXT, first=1.0))
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: [card.delivered for card in world.platform.cards.values()] == [True])
        (card,) = world.platform.cards.values()
        assert card.state is State.PENDING
        await world.ended()


async def test_a_mention_in_a_group_is_answered_there_and_the_asker_notified() -> None:
    async with desk() as world:
        await world.platform.say("hello", user="user0007", name="Ada", group=GROUP)
        await world.ended()
        (card,) = world.platform.cards.values()
        assert GROUP in card.space
        assert card.created["imGroupOpenDeliverModel"]["atUserIds"] == {"user0007": "Ada"}
        assert [
            request.body["query"] for request in world.dify.requests if request.method == "POST" and request.body
        ] == ["hello"]
        assert world.platform.violations == []


async def test_two_askers_at_once_each_get_their_own_answer() -> None:
    async with desk() as world:
        world.dify.default = lambda query: Script(f"answer to {query} " * 10, cps=300)
        await world.platform.say("one", user="user0001", group=GROUP)
        await world.platform.say("two", user="user0002", group=GROUP)
        await world.ended(2)
        assert sorted(world.finals) == ["answer to one " * 10, "answer to two " * 10]
        assert world.platform.violations == []


async def test_the_second_turn_keeps_the_conversation() -> None:
    async with desk() as world:
        await world.platform.say("one")
        await world.ended(1)
        await world.platform.say("two")
        await world.ended(2)
        (conversation,) = world.dify.conversations.values()
        assert [message.query for message in conversation.messages] == ["one", "two"]


async def test_the_conversation_survives_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'cardbot.db'}"
    async with desk(CARDBOT_STORE=store) as first:
        await first.platform.say("one")
        await first.ended()
        (conversation,) = first.dify.conversations
    async with desk(CARDBOT_STORE=store) as second:
        await second.platform.say("two")
        await second.ended()
        asked = next(request.body for request in second.dify.requests if request.method == "POST")
        assert asked is not None
        assert asked["conversation_id"] == conversation
        assert second.finals == ["Hello from the playground."]


async def test_a_message_pushed_again_is_answered_once() -> None:
    async with desk() as world:
        message = await world.platform.say("hello")
        await world.platform.push(message.data)
        await world.ended()
        await anyio.sleep(1.0)
        assert len(world.finals) == 1
        assert len(world.platform.cards) == 1


async def test_a_conversation_that_was_deleted_heals_in_the_same_card() -> None:
    async with desk() as world:
        await world.platform.say("one")
        await world.ended(1)
        world.dify.conversations.clear()
        world.dify.answers.append(Script(TEXT))
        await world.platform.say("two")
        await world.ended(2)
        assert world.finals[1] == TEXT
        assert len(world.platform.cards) == 2


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        (Refuse(401, "unauthorized", "Access token is invalid"), State.FAILED, EN.misconfigured),
        (
            Refuse(400, "not_chat_app", "Please check if your app mode matches the right API route."),
            State.FAILED,
            EN.misconfigured,
        ),
        (
            Refuse(400, "invalid_param", "name is required in input form"),
            State.FAILED,
            EN.failed.format(reason="name is required in input form"),
        ),
        (Html(502), State.FAILED, EN.unavailable),
        (Drop("cut"), State.FAILED, EN.unavailable),
        (Drop("reset"), State.FAILED, EN.unavailable),
        (Script(TEXT, end="error", at=0, error="no credit"), State.FAILED, EN.failed.format(reason="no credit")),
        (
            Script(TEXT, end="error", at=9, error="no credit"),
            State.FAILED,
            f"{TEXT[:9]}\n\n{EN.failed.format(reason='no credit')}",
        ),
        (Script(TEXT, end="cut", at=9), State.DONE, f"{TEXT[:9]}\n\n{EN.interrupted}"),
        (Script(TEXT, end="reset", at=9, cps=400), State.DONE, f"{TEXT[:9]}\n\n{EN.interrupted}"),
        (Script(TEXT, end="eof", at=9), State.DONE, f"{TEXT[:9]}\n\n{EN.interrupted}"),
        (Script(TEXT, end="hang", at=9), State.DONE, f"{TEXT[:9]}\n\n{EN.interrupted}"),
        (Script(TEXT, replace="Censored"), State.DONE, "Censored"),
        (Script("ok", think="secret thoughts"), State.DONE, "ok"),
        (Script(""), State.DONE, EN.no_answer),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
async def test_each_failure_of_dify_ends_the_card(answer: Any, state: State, text: str) -> None:
    async with desk(CARDBOT_DIFY_IDLE_SECONDS="1") as world:
        world.dify.answers.append(answer)
        await world.platform.say("hello")
        await world.ended()
        (card,) = world.platform.cards.values()
        assert card.state is state
        assert card.content.replace("`", "") == text or card.content == text
        assert not world.platform.replies
        assert world.platform.violations == []


@pytest.mark.parametrize(
    "fault",
    [
        QPS,
        Reject(429, "too.many"),
        Reject(500, "system.busy"),
        HtmlError(502),
        OddJson(),
        GatewayTimeout(applied=True, after=0.05),
        GatewayTimeout(applied=False, after=0.05),
        ResetConnection(applied=True),
        ResetConnection(applied=False),
        Reject(400, "InvalidAuthentication"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("endpoint", [CREATE, STREAM])
async def test_a_passing_fault_of_a_card_call_is_not_seen(endpoint: str, fault: Fault) -> None:
    async with desk() as world:
        world.platform.faults.add(endpoint, fault, times=2)
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        assert world.finals == [TEXT]
        assert not world.platform.replies
        assert world.spinning == []
        assert world.platform.violations == []


@pytest.mark.parametrize(
    "fault",
    [
        NotDelivered(),
        SuccessFalse(),
        QUOTA,
        DENIED,
        HtmlError(403),
        Reject(400, "param.templateNotExist"),
        Reject(400, "param.contentUnsafe"),
    ],
    ids=repr,
)
async def test_a_card_that_cannot_be_shown_becomes_a_plain_reply(fault: Fault) -> None:
    async with desk() as world:
        world.platform.faults.add(CREATE, fault, times=math.inf)
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        assert world.finals == [TEXT]
        assert [reply.via for reply in world.platform.replies] == ["webhook"]
        assert world.spinning == []


@pytest.mark.parametrize("fault", [DENIED, Reject(400, "param.stream.content"), SuccessFalse()], ids=repr)
async def test_a_refused_last_frame_closes_the_card_and_the_whole_text_is_a_plain_reply(fault: Fault) -> None:
    async with desk() as world:
        world.platform.faults.add(STREAM, fault, times=math.inf, when=lambda body: body["content"] != EN.elsewhere)
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        await world.platform.wait_for(lambda: not world.spinning)
        assert world.finals == [TEXT]
        assert [reply.via for reply in world.platform.replies] == ["webhook"]


@pytest.mark.parametrize(
    "code",
    [
        "param.empty",
        "param.openSpaceIdInvalid",
        "param.userIdNotExist",
        "param.cardTemplateIdEmpty",
        "param.templateUnpublished",
        "param.spaceDeliverModelEmpty",
        "param.invalid",
        "Forbidden.AccessDenied.IpNotInWhiteList",
        "unknownError",
        "a.code.nobody.documented",
    ],
)
async def test_each_documented_refusal_of_a_card_becomes_a_plain_reply(code: str) -> None:
    status = {"Forbidden": 403, "unknownError": 500}.get(code.partition(".")[0], 400)
    async with desk() as world:
        world.platform.faults.add(CREATE, Reject(status, code), times=math.inf)
        world.dify.answers.append(Script(TEXT))
        await world.platform.say("hello")
        await world.ended()
        assert [reply.text for reply in world.platform.replies] == [TEXT]
        assert world.spinning == []


@pytest.mark.parametrize(
    "code",
    [
        "param.stream.contentEmpty",
        "param.stream.keyEmpty",
        "param.stream.guidEmpty",
        "param.stream.isFull",
        "unknownError",
    ],
)
async def test_each_documented_refusal_of_a_last_frame_becomes_a_plain_reply(code: str) -> None:
    async with desk() as world:
        world.platform.faults.add(STREAM, Reject(500 if code == "unknownError" else 400, code), times=math.inf)
        world.dify.answers.append(Script(TEXT))
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: world.platform.replies and not world.spinning)
        assert [reply.text for reply in world.platform.replies] == [TEXT]


@pytest.mark.parametrize(
    "code",
    [
        "Forbidden.AccessDenied.QpsLimitForApi",
        "Forbidden.AccessDenied.QpsLimitForSuitekeyAndOrgAndApi",
        "qps.exceed.limit",
        "request.overlimit",
    ],
)
async def test_each_documented_throttle_is_not_seen(code: str) -> None:
    async with desk() as world:
        world.platform.faults.add(STREAM, Reject(403, code))
        world.dify.answers.append(Script(TEXT))
        await world.platform.say("hello")
        await world.ended()
        assert world.finals == [TEXT]
        assert not world.platform.replies


async def test_a_text_that_may_not_be_shown_is_replaced_by_a_sentence_in_its_card() -> None:
    async with desk() as world:
        unsafe = Reject(400, "param.contentUnsafe")
        world.platform.faults.add(STREAM, unsafe, times=math.inf, when=lambda body: "sunny" in body["content"])
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        (card,) = world.platform.cards.values()
        assert (card.state, card.content) == (State.FAILED, EN.withheld)
        assert not world.platform.replies


async def test_a_plain_reply_that_may_not_be_shown_is_replaced_by_a_sentence() -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="") as world:
        world.platform.faults.add(WEBHOOK, Reject(200, "430101"), when=lambda body: "sunny" in body["markdown"]["text"])
        world.dify.answers.append(Script(TEXT))
        await world.platform.say("hello")
        await world.ended()
        assert world.finals == [EN.withheld]


async def test_a_wrong_content_key_is_a_plain_reply_and_no_card_that_spins() -> None:
    async with desk(DINGTALK_CARD_CONTENT_KEY="text") as world:
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        await world.platform.wait_for(lambda: not world.spinning)
        assert [reply.text for reply in world.platform.replies] == [TEXT]


async def test_the_quota_that_ends_amid_an_answer_sends_it_as_a_plain_reply() -> None:
    async with desk() as world:
        world.platform.faults.add(STREAM, QUOTA, times=math.inf, when=lambda body: "sunny" in body["content"])
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: world.platform.replies and not world.spinning)
        assert [reply.text for reply in world.platform.replies] == [TEXT]


async def test_when_the_month_is_used_up_answers_are_plain_replies_without_any_further_try() -> None:
    async with desk(platform={"monthly": 3}) as world:
        world.dify.default = WRITING
        await world.platform.say("first")
        await world.platform.wait_for(lambda: world.platform.replies)
        tried = sum(call.path.startswith("/v1.0/card/") for call in world.platform.calls)
        await world.platform.say("second", user="user0002")
        await world.platform.wait_for(lambda: len(world.platform.replies) == 2)
        assert sum(call.path.startswith("/v1.0/card/") for call in world.platform.calls) == tried
        assert [reply.text for reply in world.platform.replies] == [TEXT, TEXT]


async def test_a_budget_is_kept_and_every_answer_arrives() -> None:
    async with desk(platform={"monthly": 1000}, CARDBOT_MONTHLY_CALLS="21") as world:
        world.dify.default = WRITING
        for number in range(12):
            await world.platform.say("hello", user=f"user{number:04}")
        await world.ended(12)
        assert world.finals == [TEXT] * 12
        assert not world.spinning
        assert world.platform.replies, "the budget is too small for all of them"
        assert 1000 - (world.platform.calls_left or 0) <= 21
        assert world.platform.violations == []


async def test_what_is_counted_is_what_dingtalk_bills(tmp_path: Path) -> None:
    path = tmp_path / "cardbot.db"
    async with desk(platform={"monthly": 1000}, CARDBOT_STORE=f"sqlite:///{path}") as world:
        world.dify.default = WRITING
        world.platform.faults.add(STREAM, QPS, times=2)
        world.platform.faults.add(CREATE, GatewayTimeout(applied=True, after=0.1))
        world.platform.expire_webhooks()
        await world.platform.say("hello")
        await world.ended(1)
        world.platform.revoke_tokens()
        await world.platform.say("hello")
        await world.ended(2)
        billed = 1000 - (world.platform.calls_left or 0)
    async with open_sqlite(path) as store:
        usage = await store.usage(month_at(time.time()).name)
    assert (usage.calls, usage.answers) == (billed, 2)


async def test_a_budget_that_another_start_has_spent_is_spent(tmp_path: Path) -> None:
    path = tmp_path / "cardbot.db"
    async with open_sqlite(path) as store:
        await store.spend(month_at(time.time()).name, calls=99, answers=10)
    async with desk(CARDBOT_STORE=f"sqlite:///{path}", CARDBOT_MONTHLY_CALLS="100") as world:
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        assert [reply.text for reply in world.platform.replies] == [TEXT]
        assert not world.platform.cards


async def test_a_token_revoked_amid_an_answer_is_renewed() -> None:
    async with desk() as world:
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: any(card.frames for card in world.platform.cards.values()))
        world.platform.revoke_tokens()
        await world.ended()
        assert world.finals == [TEXT]
        assert world.platform.violations == []


async def test_a_template_without_a_failed_state_shows_the_failure_as_done() -> None:
    async with desk(platform={"failed_state": "missing"}) as world:
        world.dify.answers.append(Script(TEXT, end="error", at=9, error="no credit"))
        await world.platform.say("hello")
        await world.ended()
        (card,) = world.platform.cards.values()
        assert card.state is State.DONE
        assert card.content.endswith(EN.failed.format(reason="no credit"))


async def test_without_a_template_the_answer_is_a_plain_reply() -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="") as world:
        await world.platform.say("hello", group=GROUP)
        await world.ended()
        (reply,) = world.platform.replies
        assert (reply.via, reply.kind) == ("webhook", "markdown")
        assert not world.platform.cards


async def test_dingtalks_shared_template_is_taken_through_its_states() -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="public") as world:
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.ended()
        (card,) = world.platform.cards.values()
        assert (card.template, card.state, card.content) == (SHARED_TEMPLATE.id, State.DONE, TEXT)
        assert world.platform.violations == []


async def test_the_shared_templates_closing_update_is_repeated() -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="public") as world:
        world.platform.faults.add(
            UPDATE, QPS, times=2, when=lambda body: body["cardData"]["cardParamMap"]["flowStatus"] == "3"
        )
        await world.platform.say("hello")
        await world.ended()
        assert world.spinning == []
        assert world.platform.faults.unused == []


@pytest.mark.parametrize("group", [None, GROUP])
async def test_an_expired_webhook_falls_back_to_the_robots_api(group: str | None) -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="") as world:
        world.dify.answers.append(Script(TEXT, first=0.3))
        await world.platform.say("hello", group=group)
        world.platform.expire_webhooks()
        await world.ended()
        (reply,) = world.platform.replies
        assert reply.via == ("groupMessages" if group else "oToMessages")
        assert reply.text == TEXT


@pytest.mark.parametrize("fault", [Reject(200, "-1"), ResetConnection(applied=False), HtmlError(502)], ids=repr)
async def test_a_passing_fault_of_the_webhook_is_not_seen(fault: Fault) -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="") as world:
        world.platform.faults.add(WEBHOOK, fault)
        await world.platform.say("hello")
        await world.ended()
        await anyio.sleep(1.0)
        assert len(world.platform.replies) == 1


async def test_a_long_answer_fills_several_cards() -> None:
    text = "\n\n".join(f"Paragraph {number}: " + "many words " * 40 for number in range(60))
    async with desk() as world:
        world.dify.answers.append(Script(text, chunk=400))
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: len(world.finals) == 2)
        assert "".join("".join(world.finals).split()) == "".join(text.split())
        assert world.platform.violations == []


async def test_a_long_plain_reply_is_split_below_the_limit() -> None:
    text = "\n\n".join(f"第 {number} 段：" + "许多字" * 100 for number in range(60))
    async with desk(DINGTALK_CARD_TEMPLATE_ID="") as world:
        world.dify.answers.append(Script(text, chunk=400))
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: "第 59 段" in "".join(world.finals))
        assert len(world.finals) > 1
        assert "".join("".join(world.finals).split()) == "".join(text.split())


@pytest.mark.parametrize("kind", ["unknownMsgType", "somethingNew"])
async def test_other_kinds_of_messages_get_a_polite_sentence(kind: str) -> None:
    async with desk() as world:
        await world.platform.push({"msgtype": kind, "content": {"unknownMsgType": "x"}})
        await world.ended()
        assert world.finals == [EN.unreadable]
        assert not [request for request in world.dify.requests if request.method == "POST"]


async def test_a_message_without_its_text_is_acknowledged_and_harms_nobody() -> None:
    async with desk() as world:
        spoiled = await world.platform.push({"msgtype": "text", "text": None, "code": 20001, "errMsg": "quota"})
        await world.platform.say("hello")
        await world.ended()
        assert spoiled.ack is not None
        assert len(world.finals) == 1


async def test_fifty_askers_at_once_all_get_one_finished_card() -> None:
    async with desk(platform={"latency": 0.05}) as world:
        world.dify.default = lambda query: Script(f"answer to {query} " * 20, cps=200)
        for number in range(50):
            await world.platform.say(f"{number}", user=f"user{number:04}")
        await world.ended(50, within=60)
        assert sorted(world.finals) == sorted(f"answer to {number} " * 20 for number in range(50))
        assert not world.platform.replies
        assert not [call for call in world.platform.calls if call.status == 403], "a call was rejected"
        assert world.platform.violations == []


async def test_leaving_amid_an_answer_finishes_its_card() -> None:
    async with desk(CARDBOT_DRAIN_SECONDS="0") as world:
        world.dify.answers.append(Script(TEXT * 20, cps=40))
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: any(card.frames for card in world.platform.cards.values()))
        world.leave.set()
        await world.ended()
        (final,) = world.finals
        assert final.endswith(EN.interrupted)
        assert world.spinning == []


async def test_leaving_lets_answers_finish_first() -> None:
    async with desk(CARDBOT_DRAIN_SECONDS="10") as world:
        world.dify.answers.append(WRITING)
        await world.platform.say("hello")
        await world.platform.wait_for(lambda: any(card.frames for card in world.platform.cards.values()))
        world.leave.set()
        await world.ended()
        assert world.finals == [TEXT]


async def test_a_dropped_connection_comes_back_and_loses_no_answer() -> None:
    async with desk() as world:
        world.dify.answers.append(WRITING)
        first = await world.platform.say("one")
        await world.platform.wait_for(lambda: first.ack is not None)
        await world.platform.drop_connections()
        await world.platform.wait_for(lambda: not world.platform.connections)
        await world.platform.connected()
        await world.platform.say("two")
        await world.ended(2)
        assert len(world.finals) == 2
        assert world.platform.violations == []


async def test_at_a_disconnect_the_new_connection_is_up_before_the_old_one_is_left() -> None:
    async with desk() as world:
        await world.platform.disconnect()
        await world.platform.connected()
        assert world.platform.sockets == 2
        await world.platform.say("hello")
        await world.ended()


RECORDED = [
    step.name
    for step in steps()
    if step.path == "/v1/chat-messages" and step.streamed and step.end == "terminating chunk 0"
    if step.name.split("/")[1]
    in ("chat-markdown", "chat-emoji", "agent-tool", "chatflow-think", "chat-moderated", "chatflow-kb")
]


@pytest.mark.parametrize("name", RECORDED)
async def test_a_recorded_answer_of_a_real_dify_stands_in_the_card(name: str, folder: Path) -> None:
    step = next(step for step in steps() if step.name == name)
    async with desk() as world:
        world.dify.answers.append(Replay(folder / f"{name}.json", speed=1.0))
        await world.platform.say("hello")
        await world.ended()
        (card,) = world.platform.cards.values()
        kept = next((kept["answer"] for id_, kept in stored().items() if id_.encode() in step.body), "")
        shown = card.content.strip()
        assert card.state is State.DONE
        assert shown
        assert shown == kept.strip() or "<think>" in kept or not kept
        assert world.platform.violations == []
