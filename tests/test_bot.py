"""How a bot starts, takes messages, leaves, and what must not stop it. What people see is in `test_end_to_end`."""

import json
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.bot import Bot
from cardbot.budget import month_at
from cardbot.errors import InvalidCredentials, StoreError
from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.script import Script
from cardbot.playground.dify.server import Recorded
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.platform.cards import State
from cardbot.playground.platform.faults import HtmlError, Reject
from cardbot.settings import Settings
from cardbot.store.memory import MemoryStore
from cardbot.store.sqlite import open_sqlite
from cardbot.texts import EN
from tests.desk import WEBHOOK, Desk, desk
from tests.dingtalk.server import answer
from tests.dingtalk.test_stream import TOPIC, frame, gateway
from tests.patience import SOON

pytestmark = pytest.mark.anyio

OPEN = "POST /v1.0/gateway/connections/open"


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def settings(**values: str) -> Settings:
    """What a bot on this machine needs; nobody listens anywhere unless told so."""
    nobody = f"http://127.0.0.1:{closed_port()}"
    return Settings.model_validate(
        {
            "DINGTALK_CLIENT_ID": "dingtest",
            "DINGTALK_CLIENT_SECRET": "secret",
            "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
            "DINGTALK_OPENAPI_ENDPOINT": nobody,
            "DIFY_API_KEY": "app-test",
            "DIFY_BASE_URL": nobody,
            "CARDBOT_STORE": "memory:",
            "CARDBOT_LANGUAGE": "en",
            "CARDBOT_DRAIN_SECONDS": "5",
            **values,
        }
    )


@asynccontextmanager
async def running(values: Settings) -> AsyncGenerator[None]:
    """A bot that runs inside the block, and has left at its end."""
    leave = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Bot(values).run, leave)
        yield
        leave.set()


# Starting.


async def test_a_wrong_secret_at_the_start_is_raised_as_it_is() -> None:
    leave = anyio.Event()
    async with Platform(client_secret="another") as platform:
        with anyio.fail_after(SOON), pytest.raises(InvalidCredentials):
            await Bot(settings(DINGTALK_OPENAPI_ENDPOINT=platform.url)).run(leave)
    assert not leave.is_set()


async def test_a_secret_that_is_refused_later_is_waited_out() -> None:
    async with desk() as world:
        world.platform.faults.add(OPEN, Reject(400, "invalidClientIdOrSecret"))
        await world.platform.drop_connections()
        await world.platform.wait_for(lambda: not world.platform.connections)
        await world.platform.wait_for(lambda: world.platform.connections)


@pytest.mark.parametrize("store", ["sqlite:////dev/null/cardbot.db", "sqlite:////dev"])
async def test_a_store_that_cannot_be_opened_is_raised_as_it_is(store: str) -> None:
    with anyio.fail_after(SOON), pytest.raises(StoreError):
        await Bot(settings(CARDBOT_STORE=store)).run(anyio.Event())


@pytest.mark.parametrize("trouble", ["nobody there", "a page of HTML", "a wrong key"])
async def test_without_dify_the_bot_runs_and_says_so(trouble: str) -> None:
    async with Platform() as platform, FakeDify(api_key="app-another") as dify:
        address = {"nobody there": f"http://127.0.0.1:{closed_port()}", "a page of HTML": platform.url}
        values = settings(DINGTALK_OPENAPI_ENDPOINT=platform.url, DIFY_BASE_URL=address.get(trouble, dify.url))
        with capture_logs() as logs:
            async with running(values):
                await platform.connected()
                await platform.say("hello")
                await platform.wait_for(lambda: [card.state for card in platform.cards.values()] == [State.FAILED])
        assert "dify_not_ready" in [line["event"] for line in logs]


async def test_what_the_app_and_the_settings_do_not_agree_on_is_told_at_the_start() -> None:
    name = {"text-input": {"variable": "name", "required": True}}
    async with Platform() as platform, FakeDify("workflow", inputs=[name]) as dify:
        inputs = '{"name": "{sender_name}", "gone": 1}'
        values = settings(DINGTALK_OPENAPI_ENDPOINT=platform.url, DIFY_BASE_URL=dify.url, DIFY_INPUTS=inputs)
        with capture_logs() as logs:
            async with running(values):
                await platform.wait_for(lambda: "dify_input_unknown" in [line["event"] for line in logs])
    told = {line["event"]: line["log_level"] for line in logs if line["event"].startswith("dify_")}
    assert told == {"dify_ready": "info", "dify_no_question_input": "error", "dify_input_unknown": "warning"}


async def test_without_dingtalk_the_bot_keeps_trying_until_told_to_leave() -> None:
    port = closed_port()
    values = settings(DINGTALK_OPENAPI_ENDPOINT=f"http://127.0.0.1:{port}")
    async with running(values), Platform(port=port) as platform:
        await platform.connected()


async def test_a_page_of_html_instead_of_a_connection_does_not_end_the_bot() -> None:
    async with Platform() as platform:
        platform.faults.add(OPEN, HtmlError(403))
        async with running(settings(DINGTALK_OPENAPI_ENDPOINT=platform.url)):
            await platform.connected()


# Taking messages.


async def test_one_messages_failure_does_not_stop_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    first_seen = MemoryStore.first_seen
    calls = []

    async def broken_once(self: MemoryStore, *names: str) -> bool:
        calls.append(names)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return await first_seen(self, *names)

    monkeypatch.setattr(MemoryStore, "first_seen", broken_once)
    with capture_logs() as logs:
        async with desk() as world:
            await world.platform.say("one")
            await world.platform.say("two")
            await world.ended()
    assert "answer_failed" in [line["event"] for line in logs]


async def test_a_store_that_forgets_who_was_seen_does_not_cost_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(self: MemoryStore, *names: str) -> bool:
        raise StoreError("the disk is full")

    monkeypatch.setattr(MemoryStore, "first_seen", failing)
    async with desk() as world:
        await world.platform.say("one")
        await world.ended()


@pytest.mark.parametrize("frame_id", ["frame-1", None])
async def test_messages_are_told_apart_with_and_without_frame_ids(frame_id: str | None) -> None:
    async with gateway() as there:
        there.http.answers("/robot/sendBySession", answer({"errcode": 0, "errmsg": "ok"}))

        def pushed(number: int) -> str:
            message: dict[str, Any] = {
                "msgId": f"msg{number}",
                "conversationId": "cid1",
                "conversationType": "1",
                "msgtype": "picture",
                "senderStaffId": "user0001",
                "sessionWebhook": f"{there.url}/robot/sendBySession?session=s",
                "sessionWebhookExpiredTime": 9e12,
                "createAt": time.time_ns() // 1_000_000,
            }
            return frame(topic=TOPIC, data=json.dumps(message), messageId=frame_id and f"frame-{number}")

        async with running(settings(DINGTALK_OPENAPI_ENDPOINT=there.url, DINGTALK_CARD_TEMPLATE_ID="")):
            socket = await there.connected()
            for number in (1, 2, 2):
                await socket.send(pushed(number))
            with anyio.fail_after(SOON):
                while len(there.http.to("/robot/sendBySession")) < 2:
                    await anyio.lowlevel.checkpoint()
        assert len(there.http.to("/robot/sendBySession")) == 2


async def test_a_message_that_comes_again_on_another_connection_is_answered_once() -> None:
    async with desk(platform={"redelivery": 0.2, "ack_deadline": 10.0}) as world:
        message = await world.platform.say("hello")
        await world.platform.push(message.data)
        await world.ended()
        await world.platform.wait_for(lambda: message.ack)
    assert len(world.finals) == 1


# Leaving.


async def test_told_to_leave_before_it_is_connected_it_leaves() -> None:
    leave = anyio.Event()
    leave.set()
    with anyio.fail_after(SOON):
        await Bot(settings()).run(leave)


async def test_told_to_leave_it_takes_no_new_messages_while_answers_finish() -> None:
    async with desk(CARDBOT_DRAIN_SECONDS="20") as world:
        world.dify.answers.append(Script("word " * 60, cps=150))
        await world.platform.say("one")
        await world.platform.wait_for(lambda: any(card.frames for card in world.platform.cards.values()))
        world.leave.set()
        await world.platform.wait_for(lambda: not world.platform.connections)
        assert world.spinning
        late = await world.platform.say("two")
        assert late.deliveries == 0
        await world.ended()
    assert world.finals == ["word " * 60]
    assert world.platform.violations == []


async def test_an_answer_longer_than_the_drain_is_closed_and_the_bot_returns() -> None:
    async with desk(CARDBOT_DRAIN_SECONDS="0.3") as world:
        world.dify.answers.append(Script("word " * 5000, cps=50))
        await world.platform.say("one")
        await world.platform.wait_for(lambda: any(card.frames for card in world.platform.cards.values()))
        world.leave.set()
        await world.ended()
    assert world.spinning == []
    assert world.finals[0].endswith(EN.interrupted)


async def test_a_plain_reply_under_way_is_delivered_before_the_bot_returns() -> None:
    async with desk(DINGTALK_CARD_TEMPLATE_ID="") as world:
        world.platform.faults.add(WEBHOOK, Reject(200, "-1"))
        await world.platform.push({"msgtype": "unknownMsgType", "content": {"unknownMsgType": "x"}})
        await world.platform.wait_for(lambda: world.platform.faults.unused == [])
        world.leave.set()
        await world.ended()
    assert world.finals == [EN.unreadable]


async def test_a_bot_that_was_cancelled_closes_its_connection_and_its_cards() -> None:
    async with Platform() as platform, FakeDify(api_key="app-test") as dify:
        dify.answers.append(Script("word " * 5000, cps=50))
        values = settings(DINGTALK_OPENAPI_ENDPOINT=platform.url, DIFY_BASE_URL=dify.url)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Bot(values).run, anyio.Event())
            await platform.connected()
            await platform.say("one")
            await platform.wait_for(lambda: any(card.frames for card in platform.cards.values()))
            tasks.cancel_scope.cancel()
        await platform.wait_for(lambda: platform.sockets == 0)
        assert [card.state for card in platform.cards.values()] in ([State.DONE], [State.FAILED])


# Whom it answers.


def asked(world: Desk) -> list[Recorded]:
    """The questions that reached Dify."""
    return [request for request in world.dify.requests if request.path.endswith("/chat-messages")]


@pytest.mark.parametrize(
    ("text", "work"),
    [
        *(("hello", work) for work in ("first_seen", "conversation", "keep_reply")),
        *(("/new", work) for work in ("first_seen", "keep_conversation", "forget_conversation", "keep_reply")),
        ("/stop", "replies_elsewhere"),
    ],
)
async def test_a_message_is_told_its_end_wherever_the_bot_leaves(
    text: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is acknowledged, and known as seen: nobody else will ever answer it."""
    begun, done = anyio.Event(), getattr(MemoryStore, work)

    async def slowly(self: MemoryStore, *args: Any) -> Any:
        begun.set()
        await anyio.sleep(0.1)
        return await done(self, *args)

    async with desk(CARDBOT_DRAIN_SECONDS="0") as world:
        monkeypatch.setattr(MemoryStore, work, slowly)
        await world.platform.say(text)
        with anyio.fail_after(SOON):
            await begun.wait()
    assert len(world.finals) == 1
    assert world.spinning == []


async def test_a_message_of_half_an_hour_ago_is_acknowledged_and_not_answered() -> None:
    async with desk() as world:
        old = await world.platform.say("old", createAt=int((time.time() - 1900) * 1000))
        await world.platform.say("new", user="user0002")
        await world.ended()
        await world.platform.wait_for(lambda: old.ack is not None)
        assert len(world.finals) == 1
        assert len(asked(world)) == 1


async def test_who_is_on_no_list_is_told_so_and_dify_is_not_asked() -> None:
    async with desk(CARDBOT_ALLOW_USERS="user0001", CARDBOT_ALLOW_CHATS="cidTEAM0000==") as world:
        await world.platform.say("hello", user="user0002")
        await world.ended()
        assert [reply.text for reply in world.platform.replies] == [EN.not_allowed]
        await world.platform.say("hello", user="user0001")
        await world.platform.say("hello", user="user0002", group="cidTEAM0000==")
        await world.ended(3)
        assert len(world.platform.replies) == 1
        assert len(world.platform.cards) == 2


async def test_whoever_writes_too_fast_can_still_stop_the_answer() -> None:
    async with desk(CARDBOT_USER_RATE="1") as world:
        world.dify.answers.append(Script("one two three " * 1_000, cps=40))
        await world.platform.say("count")
        await world.platform.wait_for(lambda: any(card.frames for card in world.platform.cards.values()))
        await world.platform.say("/stop")
        await world.ended()
        assert [text.endswith(EN.stopped) for text in world.finals] == [True]


async def test_who_writes_too_fast_is_told_when_to_go_on() -> None:
    async with desk(CARDBOT_USER_RATE="2") as world:
        for number in range(3):
            await world.platform.say(f"hello {number}")
        await world.ended(3)
        (said,) = world.platform.replies
        assert said.text in [EN.too_fast.format(seconds=seconds) for seconds in range(50, 61)]


# Waiting in line.


async def test_the_second_message_of_a_conversation_waits_in_a_card_of_its_own() -> None:
    async with desk() as world:
        world.dify.answers += [Script("first", first=2.0), Script("second")]
        await world.platform.say("one")
        await world.platform.wait_for(lambda: len(asked(world)) == 1)
        await world.platform.say("two")
        await world.platform.wait_for(lambda: EN.in_line in [card.content for card in world.platform.cards.values()])
        assert len(asked(world)) == 1
        await world.ended(2)
        assert world.finals == ["first", "second"]


async def test_the_tenth_message_at_once_is_told_that_the_line_is_full() -> None:
    async with desk() as world:
        world.dify.answers.append(Script("first", first=3.0))
        world.dify.default = Script("later")
        await world.platform.say("one")
        await world.platform.wait_for(lambda: len(asked(world)) == 1)
        for number in range(9):
            await world.platform.say(f"more {number}")
        await world.ended(10)
        assert sorted(world.finals) == sorted(["first", *["later"] * 8, EN.line_full])
        assert len(asked(world)) == 9


async def test_people_of_one_group_do_not_wait_for_each_other() -> None:
    async with desk() as world:
        world.dify.answers += [Script("slow", first=3.0), Script("fast")]
        await world.platform.say("one", group="cidTEAM0000==", user="user0001")
        await world.platform.wait_for(lambda: len(asked(world)) == 1)
        await world.platform.say("two", group="cidTEAM0000==", user="user0002")
        await world.ended()
        assert world.finals == ["fast"]


async def test_a_group_that_shares_a_conversation_takes_turns_in_it() -> None:
    async with desk(CARDBOT_SESSION="chat") as world:
        world.dify.answers += [Script("first", first=1.0), Script("second")]
        await world.platform.say("one", group="cidTEAM0000==", user="user0001")
        await world.platform.wait_for(lambda: len(asked(world)) == 1)
        await world.platform.say("two", group="cidTEAM0000==", user="user0002")
        await world.ended(2)
        assert world.finals == ["first", "second"]
        first, second = (request.body or {} for request in asked(world))
        assert first["user"] == second["user"]
        assert second["conversation_id"]


async def test_when_all_places_are_taken_the_next_waits_and_sees_so() -> None:
    async with desk(CARDBOT_MAX_ANSWERS="1") as world:
        world.dify.answers += [Script("first", first=2.0), Script("second")]
        await world.platform.say("one", user="user0001")
        await world.platform.wait_for(lambda: len(asked(world)) == 1)
        await world.platform.say("two", user="user0002")
        await world.platform.wait_for(lambda: EN.crowded in [card.content for card in world.platform.cards.values()])
        assert len(asked(world)) == 1
        await world.ended(2)
        assert world.finals == ["first", "second"]


# On its own account.


async def test_a_running_bot_writes_to_people_and_groups_who_have_asked_nothing() -> None:
    async with Platform() as platform, FakeDify(api_key="app-test") as dify:
        platform.users.add("user0001")
        platform.groups.add("cidTEAM==")
        bot, leave = Bot(settings(DINGTALK_OPENAPI_ENDPOINT=platform.url, DIFY_BASE_URL=dify.url)), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.run, leave)
            await platform.connected()
            report = await bot.send("**Tonight**", users=["user0001", "nobody"], chats=["cidTEAM=="])
            leave.set()
        assert {delivery.id: delivery.reached for delivery in report.deliveries} == {
            "user0001": True,
            "nobody": False,
            "cidTEAM==": True,
        }
        assert [reply.text for reply in platform.replies] == ["**Tonight**"] * 2
        assert platform.violations == []


async def test_what_a_running_bot_writes_is_counted_once(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/cardbot.db"
    async with Platform(monthly=100) as platform, FakeDify(api_key="app-test") as dify:
        platform.users.add("user0001")
        values = settings(DINGTALK_OPENAPI_ENDPOINT=platform.url, DIFY_BASE_URL=dify.url, CARDBOT_STORE=store)
        bot, leave = Bot(values), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.run, leave)
            await platform.connected()
            for _ in range(3):
                await bot.send("**Tonight**", users=["user0001"])
            leave.set()
        assert platform.calls_left == 97
        async with open_sqlite(tmp_path / "cardbot.db") as kept:
            assert (await kept.usage(month_at(time.time()).name)).calls == 3
