"""What people do on the simulated platform, and what comes of it there."""

import json

import anyio
import pytest

from cardbot.playground.platform import Platform
from tests.playground.platform.test_server import STOP, STREAM, Json, frame, logged_in

pytestmark = pytest.mark.anyio


async def test_whoever_writes_has_a_direct_chat_from_then_on() -> None:
    async with Platform() as platform:
        await platform.say("hello", user="user0007")
        assert platform.users == {"user0007"}
        assert platform.groups == set()


async def test_a_group_that_is_written_in_has_the_robot_from_then_on() -> None:
    async with Platform() as platform:
        await platform.say("hello", group="cidGROUP==")
        assert platform.groups == {"cidGROUP=="}


async def test_an_answer_to_a_click_that_no_card_takes_is_a_violation() -> None:
    response: Json = {"cardData": {"cardParamMap": {"buttons": None}}}
    async with logged_in(frame_gap=0) as bot, bot.connection() as socket:
        await bot.open_card(cardData={"cardParamMap": {"content": "", "buttons": STOP}})
        await bot.call(STREAM, frame("a", "1"))

        async def answer() -> None:
            message_id = json.loads(await socket.recv())["headers"]["messageId"]
            headers = {"contentType": "application/json", "messageId": message_id}
            data = json.dumps({"response": response})
            await socket.send(json.dumps({"code": 200, "headers": headers, "message": "", "data": data}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            await bot.platform.click(bot.platform.cards["card-1"], "stop")
        assert [found.partition(": ")[0] for found in bot.platform.violations] == ["answer to a click"]
