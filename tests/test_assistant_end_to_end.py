"""An AI assistant and a whole bot between the simulated DingTalk and a scripted Dify."""

import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.bot import Bot
from cardbot.dingtalk import assistant
from cardbot.forms import AssistantNames
from cardbot.open_reply import OpenReply
from cardbot.playground.dify.script import Script
from cardbot.playground.platform import Platform
from cardbot.settings import Settings
from cardbot.store.sqlite import open_sqlite
from tests.desk import desk

pytestmark = pytest.mark.anyio


async def test_an_assistant_and_a_robot_are_answered_each_in_its_own_way() -> None:
    async with desk(CARDBOT_ASSISTANT="on") as there:
        there.dify.answers.append(Script("It is sunny."))
        await there.platform.ask_assistant("What is the weather?")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert [(said.via, said.text) for said in there.platform.replies] == [("assistant", "It is sunny.")]
        there.dify.answers.append(Script("Still sunny."))
        await there.platform.say("And now?")
        await there.ended(2)
        assert [card.content for card in there.platform.cards.values()] == ["Still sunny."]
        assert there.platform.violations == []


async def test_a_run_that_is_pushed_again_is_answered_once() -> None:
    async with desk(CARDBOT_ASSISTANT="on") as there:
        there.dify.answers.append(Script("It is sunny."))
        asked = await there.platform.ask_assistant("What is the weather?")
        await there.platform.push_again(asked)
        await there.platform.ask_assistant("And now?")
        await there.platform.wait_for(lambda: len(there.platform.replies) == 2)
        asked_of_dify = [request for request in there.dify.requests if request.path.endswith("/chat-messages")]
        assert len(asked_of_dify) == 2


async def test_what_cannot_be_read_is_told_in_the_log_and_costs_nothing_else() -> None:
    with capture_logs() as logs:
        async with desk(CARDBOT_ASSISTANT="on") as there:
            await there.platform.push({"msgtype": None})
            await there.platform.invoke({})
            await there.platform.ask_assistant("hello")
            await there.platform.say("hello")
            await there.ended(2)
    assert [entry["event"] for entry in logs].count("message_unreadable") == 2


async def test_who_is_not_on_the_list_is_told_so_by_the_assistant() -> None:
    async with desk(CARDBOT_ASSISTANT="on", CARDBOT_ALLOW_USERS="user0002") as there:
        await there.platform.ask_assistant("hello", userId="user0001")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert "no access" in there.platform.replies[0].text
        await there.platform.ask_assistant("hello", userId="user0002")
        await there.platform.wait_for(lambda: len(there.platform.replies) == 2)
        assert "no access" not in there.platform.replies[1].text


async def test_an_assistant_that_is_not_set_up_is_not_listened_to() -> None:
    async with desk() as there:
        assert (await there.platform.ask_assistant("hello")).deliveries == 0


async def test_an_answer_under_way_is_brought_to_an_end_when_the_bot_leaves() -> None:
    async with desk(CARDBOT_ASSISTANT="on") as there:
        there.dify.answers.append(Script("It is sunny.", end="hang", at=5))
        await there.platform.ask_assistant("What is the weather?")
        await there.platform.wait_for(lambda: there.platform.pushes[0].ack)
        while not any(request.path.endswith("/chat-messages") for request in there.dify.requests):  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.01)
        there.leave.set()
        await there.platform.wait_for(lambda: there.platform.replies)
        [said] = there.platform.replies
        assert said.via == "assistant"
        assert "interrupted" in said.text or "broke off" in said.text


async def test_an_answer_that_was_left_open_is_finished_through_the_assistant_after_a_restart(tmp_path: Path) -> None:
    async with Platform() as platform:
        asked = await platform.ask_assistant("What is the weather?")
        incoming = assistant.incoming(
            asked.data, frame_id="f", names=AssistantNames(), robot_code="dingtest", now=time.time()
        )
        async with open_sqlite(tmp_path / "cardbot.db") as store:
            await store.keep_reply("reply-1", replace(OpenReply(incoming), plain="It was sunny.").to_json())
        values = {
            "DINGTALK_CLIENT_ID": "dingtest",
            "DINGTALK_CLIENT_SECRET": "secret",
            "DINGTALK_OPENAPI_ENDPOINT": platform.url,
            "DIFY_API_KEY": "app-test",
            "DIFY_BASE_URL": "http://127.0.0.1:1",
            "CARDBOT_STORE": f"sqlite:///{tmp_path / 'cardbot.db'}",
            "CARDBOT_ASSISTANT": "on",
        }
        leave = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Bot(Settings.of(values)).run, leave)
            await platform.wait_for(lambda: platform.replies)
            leave.set()
        assert [(said.via, said.text) for said in platform.replies] == [("assistant", "It was sunny.")]
