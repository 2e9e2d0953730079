"""Plain replies, against a server on this machine."""

import json
import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import replace

import httpx
import pytest
from structlog.testing import capture_logs

from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.webhook import Replies
from cardbot.errors import (
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    NotDelivered,
    QuotaExhausted,
    Throttled,
    WebhookExpired,
)
from cardbot.messages import Chat, ChatKind, Incoming, Person, SessionWebhook
from cardbot.texts import EN
from tests.dingtalk.server import Answer, Fault, Server, answer, refusal

pytestmark = pytest.mark.anyio

HOOK = "/robot/sendBySession"
TO_PEOPLE = "/v1.0/robot/oToMessages/batchSend"
TO_GROUP = "/v1.0/robot/groupMessages/send"
NOW = 1_760_000_000.0

OK = answer({"errcode": 0, "errmsg": "ok"})
SENT = answer({"processQueryKey": "pqk-1"})


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    async with Server().running() as server:
        server.answers(HOOK, OK)
        server.answers(TO_PEOPLE, SENT)
        server.answers(TO_GROUP, SENT)
        yield server


@pytest.fixture
def replies(api: OpenApi) -> Replies:
    return Replies(api, EN, now=lambda: NOW, retry_pauses=(0.0, 0.0), robot_patience=0.5)


@pytest.fixture
def direct(server: Server) -> Incoming:
    return Incoming(
        message_id="msg==",
        robot_code="robot",
        chat=Chat("cidEXAMPLEdm==", ChatKind.DIRECT),
        sender=Person("$:LWCP_v1:$user==", "user0001", "Test User"),
        kind="text",
        text="hello",
        webhook=SessionWebhook(f"{server.url}{HOOK}?session=0123456789abcdef", NOW + 5400),
        created_at=NOW,
    )


@pytest.fixture
def group(direct: Incoming) -> Incoming:
    return replace(direct, chat=Chat("cidEXAMPLEgroup==", ChatKind.GROUP, "Demo group"))


def without_staff_id(incoming: Incoming) -> Incoming:
    return replace(incoming, sender=replace(incoming.sender, staff_id=""))


def texts_at_webhook(server: Server) -> list[str]:
    return [request.json()["markdown"]["text"] for request in server.to(HOOK)]


# The webhook


async def test_reply_on_the_wire(server: Server, replies: Replies, direct: Incoming) -> None:
    await replies.send(direct, "## Hello\n\n你好")

    [request] = server.requests
    assert request.method == "POST"
    assert request.target == "/robot/sendBySession?session=0123456789abcdef"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    body = request.json()
    assert body.pop("msgUuid")
    assert body == {"msgtype": "markdown", "markdown": {"title": "Hello 你好", "text": "## Hello\n\n你好"}}


async def test_webhook_never_sees_the_token(server: Server, api: OpenApi, replies: Replies, direct: Incoming) -> None:
    token = await api.access_token()

    await replies.send(direct, "hi")

    [request] = server.to(HOOK)
    assert "x-acs-dingtalk-access-token" not in request.headers
    assert token not in f"{request}"


async def test_reply_without_a_line_for_the_title_is_called_answer(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    await replies.send(direct, "---")

    assert server.to(HOOK)[0].json()["markdown"]["title"] == "Answer"


@pytest.mark.parametrize("paragraph", ["word " * 50, "字" * 90, '"quoted" \\ ' * 20, "\x01" * 40], ids=ascii)
async def test_long_reply_goes_out_whole_in_messages_that_fit(
    server: Server, replies: Replies, direct: Incoming, paragraph: str
) -> None:
    paragraphs = [f"{number}. {paragraph}".strip() for number in range(200)]

    await replies.send(direct, "\n\n".join(paragraphs))

    assert len(server.to(HOOK)) > 1
    assert all(len(request.body) < 20_000 for request in server.to(HOOK))
    everything = "\n\n".join(texts_at_webhook(server))
    assert all(paragraph in everything for paragraph in paragraphs)


async def test_half_a_surrogate_pair_does_not_stop_a_reply(server: Server, replies: Replies, direct: Incoming) -> None:
    await replies.send(direct, "cut \ud83d here")

    assert texts_at_webhook(server) == ["cut ? here"]


async def test_each_message_of_a_long_reply_has_its_own_id(server: Server, replies: Replies, direct: Incoming) -> None:
    await replies.send(direct, "\n\n".join(["word " * 1000] * 8))

    ids = [request.json()["msgUuid"] for request in server.to(HOOK)]
    assert len(ids) > 1
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("busy", [answer({"errcode": -1}), answer({"errcode": "-1"}), Fault.RESET, Fault.SILENCE])
async def test_busy_webhook_is_tried_again_with_the_same_id(
    server: Server, replies: Replies, direct: Incoming, busy: Answer | Fault
) -> None:
    server.answers(HOOK, busy, busy, answer({"errcode": "0"}))

    await replies.send(direct, "hi")

    bodies = [request.body for request in server.to(HOOK)]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


@pytest.mark.parametrize("broken", [Fault.RESET, Fault.SILENCE, Answer(502, b"<html>"), Answer(200, b""), answer({})])
async def test_reply_of_unknown_outcome_is_not_sent_another_way(
    server: Server, replies: Replies, direct: Incoming, broken: Answer | Fault
) -> None:
    server.answers(HOOK, broken)

    with pytest.raises(DingTalkUnreachable):
        await replies.send(direct, "hi")

    assert len(server.to(HOOK)) == 3
    assert server.to(TO_PEOPLE) == []


async def test_a_session_that_is_gone_at_the_second_try_was_gone_at_the_first(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    server.answers(HOOK, Fault.RESET, answer({"errcode": 300001}))

    await replies.send(direct, "hi")

    assert len(server.to(TO_PEOPLE)) == 1


@pytest.mark.parametrize("code", [-1, 130101, 43004])
async def test_outcome_stays_unknown_when_a_later_try_is_refused(
    server: Server, replies: Replies, direct: Incoming, code: int
) -> None:
    server.answers(HOOK, Fault.RESET, answer({"errcode": code}))

    with pytest.raises(DingTalkUnreachable):
        await replies.send(direct, "hi")

    assert server.to(TO_PEOPLE) == []


async def test_outcome_stays_unknown_when_the_later_tries_find_nobody(direct: Incoming) -> None:
    async with Server().running() as hook, Server().running() as platform:
        hook.answers(HOOK, Fault.LAST_CALL)
        incoming = replace(direct, webhook=SessionWebhook(f"{hook.url}{HOOK}?session=0", NOW + 5400))
        async with OpenApi(endpoint=platform.url, client_id="id", client_secret="s", robot_code="robot") as api:
            with pytest.raises(DingTalkUnreachable):
                await Replies(api, EN, now=lambda: NOW, retry_pauses=(0.0, 0.0)).send(incoming, "hi")

        assert platform.requests == []


async def test_reply_refused_for_what_it_says_is_an_error_and_goes_no_other_way(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    server.answers(HOOK, answer({"errcode": "430101", "errmsg": "…"}))

    with pytest.raises(DingTalkRejected) as caught:
        await replies.send(direct, "hi")

    assert caught.value.code == "430101"
    assert len(server.requests) == 1


# Instead of the webhook

FOR_NOW = [
    answer({"errcode": 130101}),
    answer({"errcode": "410100"}),
    answer({"errcode": 660026}),
    answer({"errcode": 90030}),
    answer({"errcode": 300001}),
    answer({"errcode": 300005}),
    answer({"errcode": -1}),
    answer({"errcode": 310000}),
    answer({"errcode": 460101}),
    answer({"errcode": 999}),
    answer({"status": 1111, "wait": 5, "punish": "deny"}),
]


@pytest.mark.parametrize("refused", FOR_NOW, ids=lambda refused: refused.body.decode())
async def test_direct_reply_goes_by_robot_when_the_webhook_is_of_no_use(
    server: Server, replies: Replies, direct: Incoming, refused: Answer
) -> None:
    server.answers(HOOK, refused)

    await replies.send(direct, "hi")

    [request] = server.to(TO_PEOPLE)
    assert request.json() == {
        "robotCode": "robot",
        "userIds": ["user0001"],
        "msgKey": "sampleMarkdown",
        "msgParam": '{"title":"hi","text":"hi"}',
    }


async def test_group_reply_goes_by_robot_to_the_group(server: Server, replies: Replies, group: Incoming) -> None:
    server.answers(HOOK, answer({"errcode": 300001}))

    await replies.send(without_staff_id(group), "hi")

    [request] = server.to(TO_GROUP)
    assert request.json()["openConversationId"] == "cidEXAMPLEgroup=="


@pytest.mark.parametrize("left", [299, 0, -5400])
async def test_webhook_near_its_end_is_not_called(
    server: Server, replies: Replies, direct: Incoming, left: float
) -> None:
    assert direct.webhook
    await replies.send(replace(direct, webhook=replace(direct.webhook, expires_at=NOW + left)), "hi")

    assert server.to(HOOK) == []
    assert len(server.to(TO_PEOPLE)) == 1


async def test_webhook_with_just_enough_time_is_called(server: Server, replies: Replies, direct: Incoming) -> None:
    assert direct.webhook
    await replies.send(replace(direct, webhook=replace(direct.webhook, expires_at=NOW + 301)), "hi")

    assert len(server.to(HOOK)) == 1


async def test_message_without_a_webhook_is_answered_by_robot(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    await replies.send(replace(direct, webhook=None), "hi")

    assert len(server.to(TO_PEOPLE)) == 1


async def test_webhook_that_cannot_be_connected_to_is_replaced_by_the_robot(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    async with Server().running() as gone:
        pass
    incoming = replace(direct, webhook=SessionWebhook(f"{gone.url}{HOOK}?session=0", NOW + 5400))

    await replies.send(incoming, "hi")

    assert len(server.to(TO_PEOPLE)) == 1


async def test_robot_sends_only_what_the_webhook_has_not_delivered(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    paragraphs = [f"{number}. " + "word " * 800 for number in range(12)]
    server.answers(HOOK, OK, answer({"errcode": 130101}))

    await replies.send(direct, "\n\n".join(paragraph.strip() for paragraph in paragraphs))

    assert len(server.to(HOOK)) == 2
    delivered = texts_at_webhook(server)[:1] + [json.loads(r.json()["msgParam"])["text"] for r in server.to(TO_PEOPLE)]
    numbers = [int(number) for text in delivered for number in re.findall(r"(\d+)\. word", text)]
    assert numbers == list(range(12))


async def test_message_by_robot_is_at_most_15_000_bytes(server: Server, replies: Replies, direct: Incoming) -> None:
    await replies.send(replace(direct, webhook=None), "\n\n".join(["字" * 600] * 30))

    params = [request.json()["msgParam"].encode() for request in server.to(TO_PEOPLE)]
    assert len(params) > 2
    assert max(map(len, params)) <= 15_000


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (answer({"errcode": 130101}), Throttled),
        (answer({"errcode": 90030}), QuotaExhausted),
        (answer({"errcode": 300001}), WebhookExpired),
    ],
)
async def test_person_without_a_staff_id_leaves_the_first_error(
    server: Server, replies: Replies, direct: Incoming, refused: Answer, error: type[DingTalkError]
) -> None:
    server.answers(HOOK, refused)

    with pytest.raises(error):
        await replies.send(without_staff_id(direct), "hi")

    assert server.to(TO_PEOPLE) == []


@pytest.mark.parametrize(
    ("report", "error"),
    [
        ({"flowControlledStaffIdList": ["user0001"]}, Throttled),
        ({"invalidStaffIdList": ["user0001"]}, NotDelivered),
        ({"filteredStaffIdList": ["user0001"]}, NotDelivered),
    ],
)
async def test_robot_message_that_did_not_arrive_is_an_error(
    server: Server, replies: Replies, direct: Incoming, report: dict[str, list[str]], error: type[DingTalkError]
) -> None:
    server.answers(TO_PEOPLE, answer({"processQueryKey": "pqk", **report}))

    with pytest.raises(error):
        await replies.send(replace(direct, webhook=None), "hi")


async def test_refusal_by_robot_names_the_webhooks_error_as_well(
    server: Server, replies: Replies, direct: Incoming
) -> None:
    server.answers(TO_PEOPLE, refusal(400, "invalidParameter.robotCode.auth"))

    with pytest.raises(DingTalkRejected, match=r"robotCode\.auth") as caught:
        await replies.send(replace(direct, webhook=None), "hi")

    assert isinstance(caught.value.__context__, WebhookExpired)


async def test_robot_message_waits_for_room_and_is_sent_once(server: Server, direct: Incoming, api: OpenApi) -> None:
    replies = Replies(api, EN, now=lambda: NOW)
    busy = answer({"status": 1111, "wait": 0.01, "punish": "deny"}, status=403)
    server.answers(TO_PEOPLE, busy, busy, SENT)

    await replies.send(replace(direct, webhook=None), "hi")

    assert len(server.to(TO_PEOPLE)) == 3


# Whose address it is


@pytest.mark.parametrize(
    "url",
    [
        "http://oapi.dingtalk.com/robot/sendBySession?session=0123456789abcdef",
        "https://oapi.dingtalk.com.example.com/robot/sendBySession?session=0123456789abcdef",
        "https://notdingtalk.com/?session=0123456789abcdef",
        "https://dingtalk.com/?session=0123456789abcdef",
        "https://oapi.dingtalk.com@example.com/?session=0123456789abcdef",
        "https://example.com\\@oapi.dingtalk.com:x/?session=0123456789abcdef",
        "https://example.com/.dingtalk.com?session=0123456789abcdef",
        "https://example.com#.dingtalk.com",
        "https://10.0.0.7/?session=0123456789abcdef",
        "https://127.0.0.1.example.com/?session=0123456789abcdef",
        "file:///etc/passwd",
        "not a url",
        "",
    ],
)
async def test_webhook_of_somebody_else_counts_as_absent(
    server: Server, replies: Replies, direct: Incoming, url: str
) -> None:
    with capture_logs() as logs:
        await replies.send(replace(direct, webhook=SessionWebhook(url, NOW + 5400)), "hi")

    assert len(server.to(TO_PEOPLE)) == 1
    [warning] = [entry for entry in logs if entry["event"] == "webhook_refused"]
    assert warning["log_level"] == "warning"
    assert "0123456789abcdef" not in repr(logs)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_webhook_on_this_machine_is_refused_when_dingtalk_is_elsewhere(
    direct: Incoming, scheme: str, host: str
) -> None:
    async with OpenApi(client_id="id", client_secret="s", robot_code="robot") as api:
        incoming = replace(
            without_staff_id(direct), webhook=SessionWebhook(f"{scheme}://{host}{HOOK}?session=0", NOW + 5400)
        )
        with pytest.raises(WebhookExpired, match="does not belong"):
            await Replies(api, EN, now=lambda: NOW).send(incoming, "hi")


@pytest.mark.parametrize(
    "host", ["oapi.dingtalk.com", "oapi.dingtalk.io", "OAPI.DingTalk.com", "oapi.dingtalk.com:443"]
)
async def test_webhook_of_dingtalk_is_called(direct: Incoming, host: str) -> None:
    seen: list[str] = []

    async def record(request: httpx.Request) -> None:
        seen.append(request.url.host)
        raise httpx.ReadError("enough seen")

    async with OpenApi(client_id="id", client_secret="s", robot_code="robot") as api:
        api.http.event_hooks = {"request": [record]}
        incoming = replace(direct, webhook=SessionWebhook(f"https://{host}{HOOK}?session=0", NOW + 5400))
        with pytest.raises(DingTalkUnreachable):
            await Replies(api, EN, now=lambda: NOW, retry_pauses=()).send(incoming, "hi")

    assert seen == [host.lower().removesuffix(":443")]


async def test_session_is_in_no_log_and_no_message(
    server: Server, replies: Replies, direct: Incoming, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers(HOOK, Fault.RESET)

    with capture_logs() as logs, pytest.raises(DingTalkUnreachable) as caught:
        await replies.send(direct, "hi")

    assert "0123456789abcdef" not in caplog.text
    assert "0123456789abcdef" not in repr(logs)
    assert "0123456789abcdef" not in str(caught.value)
