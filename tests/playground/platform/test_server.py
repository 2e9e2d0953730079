"""The simulated platform over real sockets, with a bot written by hand."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.platform.cards import PUBLIC_TEMPLATE_ID
from cardbot.playground.platform.faults import (
    GatewayTimeout,
    HangUp,
    HtmlError,
    NotDelivered,
    OddJson,
    Reject,
    ResetConnection,
    SuccessFalse,
)

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

TOKEN = "POST /v1.0/oauth2/accessToken"
OPEN = "POST /v1.0/gateway/connections/open"
CREATE_AND_DELIVER = "POST /v1.0/card/instances/createAndDeliver"
CREATE = "POST /v1.0/card/instances"
DELIVER = "POST /v1.0/card/instances/deliver"
UPDATE = "PUT /v1.0/card/instances"
STREAM = "PUT /v1.0/card/streaming"
SEND_TO_USERS = "POST /v1.0/robot/oToMessages/batchSend"
SEND_TO_GROUP = "POST /v1.0/robot/groupMessages/send"
DOWNLOAD = "POST /v1.0/robot/messageFiles/download"
WEBHOOK = "POST /robot/sendBySession"

GROUP = "cidEXAMPLEgroup00=="
STOP = json.dumps(
    [
        {
            "text": "Stop",
            "color": "gray",
            "status": "normal",
            "event": {"type": "sendCardRequest", "params": {"actionId": "stop", "params": {"action": "stop"}}},
        }
    ]
)
QPS = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"


@dataclass
class Bot:
    """The other side: just enough of a client."""

    platform: Platform
    http: httpx.AsyncClient
    token: str = ""

    async def call(self, endpoint: str, body: object, **headers: str) -> httpx.Response:
        method, path = endpoint.split()
        if self.token:
            headers.setdefault("x-acs-dingtalk-access-token", self.token)
        return await self.http.request(method, path, json=body, headers=headers)

    async def log_in(self) -> None:
        self.token = (await self.call(TOKEN, {"appKey": "dingtest", "appSecret": "secret"})).json()["accessToken"]

    async def open_card(self, **changes: Any) -> httpx.Response:
        return await self.call(CREATE_AND_DELIVER, card(**changes))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[ClientConnection]:
        answer = (await self.call(OPEN, opening())).json()
        async with connect(f"{answer['endpoint']}?ticket={answer['ticket']}") as socket:
            await self.platform.connected()
            yield socket


@asynccontextmanager
async def logged_in(**options: Any) -> AsyncIterator[Bot]:
    """A bot with a token on a platform with one user and one group."""
    async with Platform(**options) as platform:
        platform.users.add("user0001")
        platform.groups.add(GROUP)
        headers = {"Accept": "application/json"}
        async with httpx.AsyncClient(base_url=platform.url, headers=headers, trust_env=False) as http:
            bot = Bot(platform, http)
            await bot.log_in()
            yield bot


def without_none(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}


def opening(**changes: Any) -> Json:
    subscriptions = [
        {"type": "EVENT", "topic": "*"},
        {"type": "CALLBACK", "topic": "/v1.0/im/bot/messages/get"},
        {"type": "CALLBACK", "topic": "/v1.0/card/instances/callback"},
    ]
    credentials = {"clientId": "dingtest", "clientSecret": "secret"}
    return without_none({**credentials, "subscriptions": subscriptions, **changes})


def card(**changes: Any) -> Json:
    body = {
        "cardTemplateId": TEMPLATE_ID,
        "outTrackId": "card-1",
        "callbackType": "STREAM",
        "cardData": {"cardParamMap": {"content": "thinking"}},
        "openSpaceId": "dtv1.card//IM_ROBOT.user0001",
        "imRobotOpenSpaceModel": {"supportForward": True},
        "imRobotOpenDeliverModel": {"spaceType": "IM_ROBOT", "robotCode": "dingtest"},
    }
    return without_none({**body, **changes})


def group_card(**changes: Any) -> Json:
    body = {
        "openSpaceId": f"dtv1.card//IM_GROUP.{GROUP}",
        "imRobotOpenSpaceModel": None,
        "imRobotOpenDeliverModel": None,
        "imGroupOpenDeliverModel": {"robotCode": "dingtest"},
    }
    return card(**{**body, **changes})


def frame(text: str, guid: str, **changes: Any) -> Json:
    body = {"outTrackId": "card-1", "guid": guid, "key": "content", "content": text, "isFull": True}
    return without_none({**body, **changes})


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code, after a check that the body has exactly the documented keys."""
    body = response.json()
    assert set(body) == {"code", "message", "requestid"}
    return response.status_code, body["code"]


# Access.


async def test_token_stays_the_same_while_it_is_valid() -> None:
    async with logged_in() as bot:
        answer = (await bot.call(TOKEN, {"appKey": "dingtest", "appSecret": "secret"})).json()
        assert answer["accessToken"] == bot.token
        assert 7190 <= answer["expireIn"] <= 7200


async def test_token_needs_the_secret() -> None:
    async with logged_in() as bot:
        response = await bot.call(TOKEN, {"appKey": "dingtest", "appSecret": "wrong"})
        assert refusal(response) == (400, "invalidClientIdOrSecret")


async def test_revoked_token_is_a_400() -> None:
    async with logged_in() as bot:
        bot.platform.revoke_tokens()
        assert refusal(await bot.open_card()) == (400, "InvalidAuthentication")
        await bot.log_in()
        assert (await bot.open_card()).status_code == 200


async def test_expired_token_is_a_400() -> None:
    async with logged_in(token_lifetime=0) as bot:
        assert refusal(await bot.open_card()) == (400, "InvalidAuthentication")


async def test_missing_token_is_a_400() -> None:
    async with logged_in() as bot:
        bot.token = ""
        assert refusal(await bot.open_card()) == (400, "AuthenticationFailed.MissingParameter")


async def test_unknown_path_is_a_json_404() -> None:
    async with logged_in() as bot:
        assert refusal(await bot.call("POST /v1.0/nothing", {})) == (404, "InvalidAction.NotFound")


async def test_recorded_calls_have_no_secrets() -> None:
    async with logged_in() as bot:
        await bot.call(OPEN, opening())
        recorded = repr([(call.body, call.reply) for call in bot.platform.calls])
        assert "secret" not in recorded.replace("appSecret", "").replace("clientSecret", "")
        assert bot.token not in recorded


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"clientSecret": "wrong"}, "invalidClientIdOrSecret"),
        ({"clientId": None}, "invalidClientIdOrSecret"),
        ({"subscriptions": None}, "param.invalid"),
        ({"subscriptions": [{"type": "TOPIC", "topic": "*"}]}, "param.invalid"),
        ({"subscriptions": [{"type": "EVENT", "topic": "chat"}]}, "param.invalid"),
    ],
)
async def test_bad_opening_is_refused(changes: Json, code: str) -> None:
    async with logged_in() as bot:
        assert refusal(await bot.call(OPEN, opening(**changes))) == (400, code)


async def test_opening_without_accept_json_answers_xml() -> None:
    async with logged_in() as bot:
        response = await bot.call(OPEN, opening(), Accept="*/*")
        assert response.text.startswith("<result><endpoint>ws://127.0.0.1:")
        assert bot.platform.violations == ["connections/open: no `Accept: application/json`"]


# Messages.


async def heard(socket: ClientConnection) -> Json:
    """The data of the next frame, acknowledged."""
    pushed = json.loads(await socket.recv())
    headers = {"contentType": "application/json", "messageId": pushed["headers"]["messageId"]}
    answer = {"code": 200, "headers": headers, "message": "OK", "data": '{"response": null}'}
    await socket.send(json.dumps(answer))
    data: Json = json.loads(pushed["data"])
    return data


async def test_direct_message_arrives_and_its_ack_returns() -> None:
    async with logged_in() as bot, bot.connection() as socket:
        message = await bot.platform.say("hello", user="user0002", name="Somebody")
        data = await heard(socket)
        await bot.platform.wait_for(message.acked.is_set)
        assert data["msgId"] == message.id
        assert (data["msgtype"], data["text"], data["conversationType"]) == ("text", {"content": "hello"}, "1")
        assert (data["senderStaffId"], data["senderNick"], data["robotCode"]) == ("user0002", "Somebody", "dingtest")
        assert data["sessionWebhookExpiredTime"] == data["createAt"] + 5_400_000
        assert message.sent_at is not None
        assert message.acked_at is not None
        assert message.acked_at >= message.sent_at
        assert bot.platform.violations == []


async def test_group_message_keeps_the_blank_of_the_mention() -> None:
    async with logged_in() as bot, bot.connection() as socket:
        await bot.platform.say("hello", group="cidOther==")
        data = await heard(socket)
        assert (data["conversationType"], data["conversationId"]) == ("2", "cidOther==")
        assert (data["text"], data["isInAtList"]) == ({"content": " hello"}, True)
        assert "cidOther==" in bot.platform.groups


async def test_pushed_fields_win_and_none_leaves_a_field_out() -> None:
    async with logged_in() as bot, bot.connection() as socket:
        content = {"richText": [{"text": "look"}]}
        left_out = {"senderStaffId": None, "sessionWebhook": None}
        await bot.platform.push({"msgtype": "richText", "content": content, "robotCode": "x", **left_out})
        data = await heard(socket)
        assert (data["content"], data["robotCode"]) == (content, "x")
        assert not {"senderStaffId", "sessionWebhook", "text"} & set(data)


async def test_click_applies_the_answer_of_the_bot() -> None:
    async with logged_in(frame_gap=0) as bot, bot.connection() as socket:
        await bot.open_card(cardData={"cardParamMap": {"content": "thinking", "buttons": STOP}})
        await bot.call(STREAM, frame("a", "1"))
        shown = bot.platform.cards["card-1"]

        async def answer() -> None:
            pushed = json.loads(await socket.recv())
            data = json.loads(pushed["data"])
            params = {"action": "stop", "n": 1}
            assert json.loads(data["content"])["cardPrivateData"] == {"actionIds": ["stop"], "params": params}
            response = {
                "cardUpdateOptions": {"updateCardDataByKey": True},
                "cardData": {"cardParamMap": {"buttons": "[]"}},
            }
            headers = {"contentType": "application/json", "messageId": pushed["headers"]["messageId"]}
            data = json.dumps({"response": response})
            await socket.send(json.dumps({"code": 200, "headers": headers, "message": "", "data": data}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            await bot.platform.click(shown, "stop", n=1)
        assert shown.params == {"content": "a", "buttons": "[]"}
        assert shown.buttons == ()
        assert bot.platform.violations == []


async def test_only_what_is_shown_can_be_clicked() -> None:
    async with logged_in(frame_gap=0) as bot:
        await bot.open_card(cardData={"cardParamMap": {"content": "", "buttons": STOP}})
        shown = bot.platform.cards["card-1"]
        with pytest.raises(ValueError, match="shows no button 'stop'"):  # it is pending
            await bot.platform.click(shown, "stop")
        await bot.call(STREAM, frame("a", "1"))
        with pytest.raises(ValueError, match="shows no button 'go'"):
            await bot.platform.click(shown, "go")
        assert bot.platform.pushes == []


async def test_a_late_click_reaches_the_bot_though_the_button_is_gone() -> None:
    async with logged_in(click_ids="on top") as bot, bot.connection() as socket:
        await bot.open_card()
        shown = bot.platform.cards["card-1"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.platform.click_late, shown, "stop")
            data = json.loads(json.loads(await socket.recv())["data"])
            assert data["actionId"] == "stop"
            tasks.cancel_scope.cancel()


# Cards.


async def test_card_in_a_direct_chat_is_created_delivered_typed_and_done() -> None:
    async with logged_in(frame_gap=0) as bot:
        result = (await bot.open_card()).json()["result"]
        assert result["outTrackId"] == "card-1"
        delivery = result["deliverResults"][0]
        assert (delivery["spaceType"], delivery["spaceId"], delivery["success"]) == ("IM_ROBOT", "user0001", True)
        assert delivery["carrierId"]
        shown = bot.platform.cards["card-1"]
        assert (shown.state, shown.delivered, shown.space) == ("pending", True, "dtv1.card//IM_ROBOT.user0001")
        assert (await bot.call(STREAM, frame("a", "1"))).json() == {"success": True, "result": True}
        assert shown.state == "writing"
        await bot.call(STREAM, frame("ab", "2", isFinalize=True))
        assert (shown.state, shown.content) == ("done", "ab")
        assert bot.platform.violations == []


async def test_card_goes_to_a_group() -> None:
    async with logged_in() as bot:
        response = await bot.call(CREATE_AND_DELIVER, group_card())
        assert response.json()["result"]["deliverResults"][0]["spaceId"] == GROUP


async def test_public_card_is_done_by_three_calls_and_flow_status() -> None:
    async with logged_in(frame_gap=0) as bot:
        params = {"msgContent": "", "config": '{"autoLayout":true}'}
        creation = card(cardTemplateId=PUBLIC_TEMPLATE_ID, cardData={"cardParamMap": params}, openSpaceId=None)
        del creation["imRobotOpenDeliverModel"]
        assert (await bot.call(CREATE, creation)).json() == {"success": True, "result": "card-1"}
        shown = bot.platform.cards["card-1"]
        assert not shown.delivered
        delivery = {name: card()[name] for name in ("outTrackId", "openSpaceId", "imRobotOpenDeliverModel")}
        assert (await bot.call(DELIVER, delivery)).json()["result"][0]["success"] is True
        for status in ("2", "3"):
            params = {"flowStatus": status, "msgContent": "a"}
            update = {"outTrackId": "card-1", "cardData": {"cardParamMap": params}}
            if status == "3":
                await bot.call(STREAM, frame("a", "1", key="msgContent", isFinalize=True))
                assert shown.state == "writing"
            await bot.call(UPDATE, update)
        assert (shown.state, shown.content) == ("done", "a")
        assert bot.platform.violations == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outTrackId": None}, "param.outTrackIdEmpty"),
        ({"cardTemplateId": ""}, "param.cardTemplateIdEmpty"),
        ({"cardTemplateId": "foreign.schema"}, "param.templateNotExist"),
        ({"cardData": None}, "param.cardPublicDataEmpty"),
        ({"cardData": {"cardParamMap": {"n": 1}}}, "MissingStringValue"),
        ({"openSpaceId": None}, "param.openSpaceIdEmpty"),
        ({"openSpaceId": "user0001"}, "param.openSpaceIdInvalid"),
        ({"openSpaceId": "dtv1.card//IM_SINGLE.user0001"}, "param.openSpaceIdInvalid"),
        ({"openSpaceId": "dtv1.card//IM_ROBOT.stranger"}, "param.userIdNotExist"),
        ({"openSpaceId": f"dtv1.card//IM_ROBOT.{GROUP}"}, "param.userIdNotExist"),
        ({"openSpaceId": "dtv1.card//IM_GROUP.user0001"}, "param.openSpaceIdInvalid"),
        ({"openSpaceId": f"dtv1.card//IM_GROUP.{GROUP.lower()}"}, "param.openSpaceIdInvalid"),
        ({"openSpaceId": f"dtv1.card//IM_GROUP.{GROUP}"}, "param.openDeliverModelEmpty"),
        ({"imRobotOpenDeliverModel": None}, "param.openDeliverModelEmpty"),
        ({"imRobotOpenDeliverModel": {}}, "param.openDeliverModelEmpty"),
        ({"imRobotOpenDeliverModel": {"robotCode": "other"}}, "param.openDeliverModelError"),
        ({"imRobotOpenDeliverModel": {"spaceType": "IM_GROUP"}}, "param.openDeliverModelError"),
        ({"imRobotOpenSpaceModel": {}}, "param.openSpaceModelInvalid"),
        ({"imRobotOpenSpaceModel": {"supportForward": "true"}}, "param.openSpaceModelInvalid"),
    ],
)
async def test_bad_card_is_refused_and_not_kept(changes: Json, code: str) -> None:
    async with logged_in() as bot:
        assert refusal(await bot.open_card(**changes)) == (400, code)
        assert bot.platform.cards == {}


async def test_group_deliver_model_needs_the_robot_code() -> None:
    async with logged_in() as bot:
        response = await bot.call(CREATE_AND_DELIVER, group_card(imGroupOpenDeliverModel={"recipients": []}))
        assert refusal(response) == (400, "param.openDeliverModelError")


async def test_direct_deliver_model_may_be_nothing_but_its_type() -> None:
    async with logged_in() as bot:
        assert (await bot.open_card(imRobotOpenDeliverModel={"spaceType": "IM_ROBOT"})).status_code == 200


async def test_non_string_variable_is_also_a_violation() -> None:
    async with logged_in() as bot:
        await bot.open_card(cardData={"cardParamMap": {"n": 1}})
        assert bot.platform.violations == [f"{CREATE_AND_DELIVER}: cardParamMap.n is not a string"]


async def test_same_card_twice_is_refused() -> None:
    async with logged_in() as bot:
        await bot.open_card()
        assert refusal(await bot.open_card()) == (400, "param.cardAlreadyExist")


async def test_same_card_twice_is_fine_in_the_other_reading() -> None:
    async with logged_in(duplicate_create="accept") as bot:
        first = await bot.open_card()
        again = await bot.open_card(cardData={"cardParamMap": {"content": "other"}})
        assert first.json() == again.json()
        assert bot.platform.cards["card-1"].content == "thinking"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"outTrackId": "card-2"}, 400, "param.stream.outTrackId"),
        ({"outTrackId": None}, 400, "param.stream.outTrackId"),
        ({"guid": None}, 400, "param.stream.guidEmpty"),
        ({"key": ""}, 400, "param.stream.keyEmpty"),
        ({"content": ""}, 400, "param.stream.contentEmpty"),
        ({"isFull": None}, 400, "param.stream.isFull"),
        ({"content": "x" * 101}, 400, "param.stream.content"),
        ({"key": "other"}, 500, "unknownError"),
        ({"isError": True}, 500, "unknownError"),
    ],
)
async def test_bad_frame_is_refused(changes: Json, status: int, code: str) -> None:
    async with logged_in(content_limit=100, failed_state="missing") as bot:
        await bot.open_card()
        assert refusal(await bot.call(STREAM, frame("a", "1") | changes)) == (status, code)
        assert bot.platform.cards["card-1"].frames == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "param.outTrackIdEmpty"),
        ({"outTrackId": "card-2"}, "param.cardNotExist"),
        ({"outTrackId": "card-1"}, "param.cardDataAndPrivateDataBothEmpty"),
    ],
)
async def test_bad_update_is_refused(body: Json, code: str) -> None:
    async with logged_in() as bot:
        await bot.open_card()
        assert refusal(await bot.call(UPDATE, body)) == (400, code)


async def test_delivery_of_an_unknown_card_is_refused() -> None:
    async with logged_in() as bot:
        assert refusal(await bot.call(DELIVER, card())) == (400, "param.cardNotExist")


async def test_same_guid_again_succeeds_without_effect() -> None:
    async with logged_in(frame_gap=0) as bot:
        await bot.open_card()
        for _ in range(2):
            assert (await bot.call(STREAM, frame("a", "1"))).status_code == 200
        assert len(bot.platform.cards["card-1"].frames) == 1
        assert bot.platform.violations == []


async def test_hasty_frames_are_violations() -> None:
    async with logged_in() as bot:
        await bot.open_card()
        await bot.call(STREAM, frame("a", "1"))
        await bot.call(STREAM, frame("b", "2"))
        first, second = bot.platform.violations
        assert first.startswith("card card-1: first frame 0.0")
        assert second.startswith("card card-1: two frames within 0.0")


async def test_two_requests_in_flight_for_one_card_are_a_violation() -> None:
    async with logged_in(frame_gap=0, latency=0.05) as bot:
        await bot.open_card()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.call, STREAM, frame("a", "1"))
            tasks.start_soon(bot.call, STREAM, frame("b", "2"))
        assert bot.platform.violations == ["card card-1: 2 requests in flight"]


async def test_abandoned_request_is_not_in_flight_any_more() -> None:
    async with logged_in(frame_gap=0) as bot:
        await bot.open_card()
        bot.platform.faults.add(STREAM, HangUp())
        with anyio.move_on_after(0.05):
            await bot.call(STREAM, frame("a", "1"))
        await bot.platform.wait_for(lambda: bot.platform.calls[-1].code == "abandoned")
        await bot.call(STREAM, frame("a", "1"))
        assert bot.platform.violations == []


# Quota.


async def test_21st_call_in_a_second_is_refused() -> None:
    async with logged_in() as bot:
        statuses = [(await bot.call(UPDATE, {})).status_code for _ in range(20)]
        assert statuses == [400] * 20
        assert refusal(await bot.call(UPDATE, {})) == (403, QPS)
        assert bot.platform.violations == [f"{UPDATE}: more calls per second than allowed"]


async def test_each_path_has_its_own_calls() -> None:
    async with logged_in(qps=1) as bot:
        assert (await bot.call(UPDATE, {})).status_code == 400
        assert (await bot.call(STREAM, {})).status_code == 400


async def test_no_limit_is_no_limit() -> None:
    async with logged_in(qps=math.inf) as bot:
        assert {(await bot.call(UPDATE, {})).status_code for _ in range(50)} == {400}


async def test_monthly_calls_run_out() -> None:
    async with logged_in(monthly=1) as bot:
        assert (await bot.open_card()).status_code == 200
        refused = await bot.call(STREAM, frame("a", "1"))
        assert refusal(refused) == (403, "Forbidden.AccessDenied.ApiCountLimitForOrg")
        assert bot.platform.calls_left == 0


async def test_tokens_and_connections_are_free() -> None:
    async with logged_in(monthly=0) as bot:
        await bot.log_in()
        assert (await bot.call(OPEN, opening())).status_code == 200


async def test_another_program_uses_up_calls_without_making_the_bot_guilty() -> None:
    async with logged_in(qps=1) as bot, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(bot.platform.burn, path="PUT /v1.0/card/streaming"), 100)
        await anyio.wait_all_tasks_blocked()
        assert refusal(await bot.call(STREAM, {})) == (403, QPS)
        assert bot.platform.violations == []
        tasks.cancel_scope.cancel()


# Faults.


async def test_rejected_call_has_no_effect_and_the_next_one_works() -> None:
    async with logged_in() as bot:
        bot.platform.faults.add(CREATE_AND_DELIVER, Reject(500, "system.busy"))
        assert refusal(await bot.open_card()) == (500, "system.busy")
        assert bot.platform.cards == {}
        assert (await bot.open_card()).status_code == 200


async def test_call_that_a_fault_rejects_is_not_billed() -> None:
    async with logged_in(monthly=1) as bot:
        bot.platform.faults.add(CREATE_AND_DELIVER, Reject(403, QPS))
        await bot.open_card()
        assert bot.platform.calls_left == 1


async def test_fault_waits_for_its_condition() -> None:
    async with logged_in() as bot:
        await bot.open_card()
        last = Reject(403, QPS)
        bot.platform.faults.add(STREAM, last, when=lambda body: body.get("isFinalize") is True)
        assert (await bot.call(STREAM, frame("a", "1"))).status_code == 200
        assert bot.platform.faults.unused == [(STREAM, last)]
        assert refusal(await bot.call(STREAM, frame("a", "2", isFinalize=True))) == (403, QPS)
        assert bot.platform.faults.unused == []


async def test_fault_on_an_unknown_endpoint_is_an_error() -> None:
    async with logged_in() as bot:
        with pytest.raises(ValueError, match="no endpoint"):
            bot.platform.faults.add("POST /v1.0/card/streaming", HangUp())


async def test_undelivered_card_is_a_200_with_a_reason() -> None:
    async with logged_in() as bot:
        bot.platform.faults.add(CREATE_AND_DELIVER, NotDelivered())
        response = await bot.open_card()
        delivery = response.json()["result"]["deliverResults"][0]
        assert response.status_code == 200
        assert (delivery["success"], delivery["errorMsg"]) == (False, "spaceId is illegal")
        assert not bot.platform.cards["card-1"].delivered


@pytest.mark.parametrize("applied", [True, False])
async def test_gateway_timeout_says_nothing_about_the_effect(applied: bool) -> None:
    async with logged_in() as bot:
        bot.platform.faults.add(CREATE_AND_DELIVER, GatewayTimeout(applied=applied, after=0.01))
        response = await bot.open_card()
        assert (response.status_code, response.content) == (504, b"")
        assert list(bot.platform.cards) == (["card-1"] if applied else [])


@pytest.mark.parametrize("applied", [True, False])
async def test_reset_connection_says_nothing_about_the_effect(applied: bool) -> None:
    async with logged_in() as bot:
        bot.platform.faults.add(CREATE_AND_DELIVER, ResetConnection(applied=applied))
        with pytest.raises(httpx.ReadError):
            await bot.open_card()
        assert list(bot.platform.cards) == (["card-1"] if applied else [])
        assert (bot.platform.calls[-1].status, bot.platform.calls[-1].code) == (0, "reset")


async def test_html_odd_json_and_success_false_are_answers_too() -> None:
    async with logged_in() as bot:
        for fault in (HtmlError(403), OddJson(), SuccessFalse()):
            bot.platform.faults.add(CREATE_AND_DELIVER, fault)
        page, odd, failure = [await bot.open_card() for _ in range(3)]
        assert (page.status_code, page.headers["content-type"]) == (403, "text/html")
        assert (odd.status_code, odd.json()) == (200, [])
        assert (failure.status_code, failure.json()) == (200, {"success": False})
        assert bot.platform.cards == {}


async def test_opening_a_connection_can_fail_too() -> None:
    async with logged_in() as bot:
        bot.platform.faults.add(OPEN, Reject(503, "ServiceUnavailable"))
        assert refusal(await bot.call(OPEN, opening())) == (503, "ServiceUnavailable")


# Replies.


async def webhook_of(bot: Bot, **message: Any) -> str:
    pushed = await bot.platform.say("hello", **message)
    return str(pushed.data["sessionWebhook"])


async def post(bot: Bot, webhook: str, body: object) -> Any:
    response = await bot.http.post(webhook, json=body)
    assert response.status_code == 200
    return response.json()


TEXT = {"msgtype": "text", "text": {"content": "hi"}}


async def test_webhook_reply_is_recorded_with_its_conversation() -> None:
    async with logged_in() as bot:
        webhook = await webhook_of(bot, group=GROUP)
        body = {"msgtype": "markdown", "markdown": {"title": "Answer", "text": "**hi**"}}
        assert await post(bot, webhook, body) == {"errcode": 0, "errmsg": "ok"}
        (reply,) = bot.platform.replies
        assert (reply.via, reply.conversation, reply.kind) == ("webhook", GROUP, "markdown")
        assert (reply.title, reply.text) == ("Answer", "**hi**")


async def test_unknown_and_expired_sessions_are_300001() -> None:
    async with logged_in() as bot:
        assert (await post(bot, "/robot/sendBySession?session=0", TEXT))["errcode"] == 300001
        webhook = await webhook_of(bot)
        bot.platform.expire_webhooks()
        assert (await post(bot, webhook, TEXT))["errcode"] == 300001
        assert (await post(bot, await webhook_of(bot), TEXT))["errcode"] == 0


async def test_session_lives_as_long_as_it_says() -> None:
    async with logged_in(session_lifetime=0) as bot:
        assert (await post(bot, await webhook_of(bot), TEXT))["errcode"] == 300001


async def test_21st_webhook_message_in_a_minute_is_130101() -> None:
    async with logged_in() as bot:
        webhook = await webhook_of(bot)
        assert {(await post(bot, webhook, TEXT))["errcode"] for _ in range(20)} == {0}
        assert (await post(bot, webhook, TEXT))["errcode"] == 130101
        assert len(bot.platform.replies) == 20


async def test_webhook_body_over_20000_bytes_is_460101() -> None:
    async with logged_in() as bot:
        body = {"msgtype": "text", "text": {"content": "字" * 7000}}
        assert (await post(bot, await webhook_of(bot), body))["errcode"] == 460101


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"msgtype": "image", "image": {}},
        {"msgtype": "text", "text": {"content": ""}},
        {"msgtype": "markdown", "markdown": {"text": "no title"}},
        {"msgKey": "sampleText", "msgParam": '{"content":"hi"}'},
        {**TEXT, "at": {"atUserIds": [None]}},
    ],
)
async def test_bad_webhook_body_is_40035(body: object) -> None:
    async with logged_in() as bot:
        assert (await post(bot, await webhook_of(bot), body))["errcode"] == 40035
        assert bot.platform.replies == []


async def test_errcode_may_be_a_string() -> None:
    async with logged_in(errcode=str) as bot:
        assert (await post(bot, await webhook_of(bot), TEXT))["errcode"] == "0"


async def test_webhook_faults_are_errcodes() -> None:
    async with logged_in() as bot:
        bot.platform.faults.add(WEBHOOK, Reject(200, "-1", "busy"))
        assert await post(bot, await webhook_of(bot), TEXT) == {"errcode": -1, "errmsg": "busy"}
        assert (bot.platform.calls[-1].code, bot.platform.replies) == ("-1", [])


async def test_token_on_a_webhook_call_is_a_violation() -> None:
    async with logged_in() as bot:
        await bot.http.post(await webhook_of(bot), json=TEXT, headers={"x-acs-dingtalk-access-token": "t"})
        assert bot.platform.violations == [f"{WEBHOOK}: carries an access token"]


def to_users(**changes: Any) -> Json:
    param = json.dumps({"title": "Answer", "text": "hi"})
    body = {"robotCode": "dingtest", "userIds": ["user0001"], "msgKey": "sampleMarkdown", "msgParam": param}
    return {**body, **changes}


async def test_message_to_users_is_recorded_without_the_unknown_ones() -> None:
    async with logged_in() as bot:
        answer = (await bot.call(SEND_TO_USERS, to_users(userIds=["user0001", "stranger"]))).json()
        assert answer["processQueryKey"]
        assert answer["invalidStaffIdList"] == ["stranger"]
        (reply,) = bot.platform.replies
        assert (reply.via, reply.users, reply.kind) == ("oToMessages", ("user0001",), "sampleMarkdown")
        assert (reply.title, reply.text) == ("Answer", "hi")


async def test_message_to_a_user_can_be_held_back_a_number_of_times() -> None:
    async with logged_in() as bot:
        bot.platform.flow_controlled["user0001"] = 1
        assert (await bot.call(SEND_TO_USERS, to_users())).json()["flowControlledStaffIdList"] == ["user0001"]
        assert bot.platform.replies == []
        assert (await bot.call(SEND_TO_USERS, to_users())).json()["flowControlledStaffIdList"] == []
        assert len(bot.platform.replies) == 1


async def test_message_to_users_is_kept_from_the_filtered_ones() -> None:
    async with logged_in() as bot:
        bot.platform.users.add("silent")
        bot.platform.filtered.add("silent")
        answer = (await bot.call(SEND_TO_USERS, to_users(userIds=["user0001", "silent"]))).json()
        assert answer["filteredStaffIdList"] == ["silent"]
        assert [reply.users for reply in bot.platform.replies] == [("user0001",)]


async def test_message_to_an_unknown_user_can_be_refused_for_all() -> None:
    async with logged_in() as bot:
        bot.platform.refuse_unknown_users()
        answer = await bot.call(SEND_TO_USERS, to_users(userIds=["user0001", "stranger"]))
        assert (answer.status_code, answer.json()["code"]) == (400, "staffId.notExisted")
        assert bot.platform.replies == []


async def test_message_that_names_a_user_twice_is_a_violation() -> None:
    async with logged_in() as bot:
        await bot.call(SEND_TO_USERS, to_users(userIds=["user0001", "user0001"]))
        assert bot.platform.violations == [f"{SEND_TO_USERS.removeprefix('POST /v1.0/robot/')}: names somebody twice"]


async def test_message_to_a_group_is_recorded() -> None:
    async with logged_in() as bot:
        body = {"robotCode": "dingtest", "openConversationId": GROUP, "msgKey": "sampleText"}
        await bot.call(SEND_TO_GROUP, {**body, "msgParam": '{"content":"hi"}'})
        (reply,) = bot.platform.replies
        assert (reply.via, reply.conversation, reply.text) == ("groupMessages", GROUP, "hi")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"robotCode": "other"}, "invalidParameter.robotCode.auth"),
        ({"userIds": []}, "invalidParameter.userIds.empty"),
        ({"userIds": ["u"] * 21}, "invalidParameter.userIds.overMax"),
        ({"msgKey": "sampleSong"}, "invalidParameter.msgKey.invalid"),
        ({"msgParam": {"title": "t", "text": "x"}}, "invalidParameter.msgParam.invalid"),
        ({"msgParam": "{"}, "invalidParameter.msgParam.invalid"),
        ({"msgParam": '{"text":"no title"}'}, "invalidParameter.msgParam.invalid"),
        ({"msgParam": json.dumps({"title": "t", "text": "x" * 15_000})}, "invalidParameter.msgParam.invalid"),
    ],
)
async def test_bad_message_to_users_is_refused(changes: Json, code: str) -> None:
    async with logged_in() as bot:
        assert refusal(await bot.call(SEND_TO_USERS, to_users(**changes))) == (400, code)
        assert bot.platform.replies == []


async def test_message_to_an_unknown_group_is_refused() -> None:
    async with logged_in() as bot:
        response = await bot.call(SEND_TO_GROUP, to_users(openConversationId="cidOther=="))
        assert refusal(response) == (400, "invalid.openConversationId")


async def test_file_is_fetched_without_the_token() -> None:
    async with logged_in() as bot:
        bot.platform.files["code/1=="] = b"content"
        answer = await bot.call(DOWNLOAD, {"downloadCode": "code/1==", "robotCode": "dingtest"})
        assert (await bot.http.get(answer.json()["downloadUrl"])).content == b"content"
        assert bot.platform.violations == []


async def test_token_on_a_signed_address_is_a_violation() -> None:
    async with logged_in() as bot:
        await bot.http.get("/files?code=1", headers={"x-acs-dingtalk-access-token": bot.token})
        assert bot.platform.violations == ["GET /files: carries an access token"]


async def test_unknown_download_code_is_refused() -> None:
    async with logged_in() as bot:
        answer = await bot.call(DOWNLOAD, {"downloadCode": "code", "robotCode": "dingtest"})
        assert answer.status_code == 400


# Waiting.


async def test_waiting_in_vain_tells_what_happened_instead() -> None:
    async with logged_in() as bot:
        with pytest.raises(TimeoutError, match="/oauth2/accessToken 200"):
            await bot.platform.wait_for(lambda: False, timeout=0.01)
