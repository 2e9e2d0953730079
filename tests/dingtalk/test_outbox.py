"""Messages of our own account, to a simulated DingTalk and to servers that answer badly."""

import math
from collections.abc import AsyncGenerator
from itertools import chain

import anyio
import pytest

from cardbot.dingtalk.deliveries import Delivery, Outcome, Report
from cardbot.dingtalk.lane import Patience
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.outbox import Outbox, Sender
from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import (
    GatewayTimeout,
    HangUp,
    HtmlError,
    OddJson,
    Reject,
    ResetConnection,
    SuccessFalse,
)
from cardbot.settings import DingTalkSettings
from tests.dingtalk.server import Fault, Server, answer

pytestmark = pytest.mark.anyio

TOKEN = "POST /v1.0/oauth2/accessToken"
PEOPLE = "POST /v1.0/robot/oToMessages/batchSend"
GROUPS = "POST /v1.0/robot/groupMessages/send"

STAFF = [f"user{number:04}" for number in range(60)]
TEAM, BOARD = "cidTEAM==", "cidBOARD=="

IMPATIENT = Patience(room=5.0, connect=(0.0,), flow=(0.0, 0.0))
QPS = Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi")
NO_CALLS_LEFT = Reject(403, "Forbidden.AccessDenied.ApiCountLimitForOrg")


def settings_for(url: str, **changes: str) -> DingTalkSettings:
    values = {"DINGTALK_CLIENT_ID": "dingtest", "DINGTALK_CLIENT_SECRET": "secret", "DINGTALK_OPENAPI_ENDPOINT": url}
    return DingTalkSettings.of({**values, **changes})


@pytest.fixture
async def platform() -> AsyncGenerator[Platform]:
    async with Platform() as platform:
        platform.users.update(STAFF)
        platform.groups.update({TEAM, BOARD})
        yield platform
        assert platform.violations == []
        assert platform.faults.unused == []


@pytest.fixture
async def sender(platform: Platform) -> AsyncGenerator[Sender]:
    async with Sender(settings_for(platform.url), patience=IMPATIENT) as sender:
        yield sender


def outcomes(report: Report) -> dict[str, str]:
    return {delivery.id: delivery.outcome.value for delivery in report.deliveries}


def readers(platform: Platform) -> list[str]:
    """Everybody who has got a message, once for each."""
    return list(chain.from_iterable(reply.users or (reply.conversation,) for reply in platform.replies))


def calls_to(platform: Platform, endpoint: str) -> int:
    return sum(f"{call.method} {call.path}" == endpoint for call in platform.calls)


# Who gets what


async def test_a_person_and_a_group_get_the_text_under_its_first_line(platform: Platform, sender: Sender) -> None:
    report = await sender.send(markdown="# Lunch\n\nis **ready**", users=["user0001"], chats=[TEAM], title=None)

    assert report.complete
    assert report.deliveries == (
        Delivery("user", "user0001", Outcome.DELIVERED, parts=1),
        Delivery("chat", TEAM, Outcome.DELIVERED, parts=1),
    )
    assert {(reply.via, reply.users, reply.conversation, reply.kind) for reply in platform.replies} == {
        ("oToMessages", ("user0001",), "", "sampleMarkdown"),
        ("groupMessages", (), TEAM, "sampleMarkdown"),
    }
    assert {(reply.title, reply.text) for reply in platform.replies} == {
        ("Lunch is ready", "# Lunch\n\nis **ready**"),
    }


@pytest.mark.parametrize(
    ("title", "text", "shown"),
    [
        ("News", "hello", "News"),
        ("  ", "hello", "hello"),
        (None, "---", "---"),
        ("x" * 20_000, "hi", "x" * 59 + "…"),
        ("odd \udcff", "hi", "odd ?"),
    ],
)
async def test_the_title_is_one_short_line_and_never_empty(
    platform: Platform, sender: Sender, title: str | None, text: str, shown: str
) -> None:
    assert (await sender.send(text, users=["user0001"], title=title)).complete
    assert platform.replies[0].title == shown


async def test_people_are_named_twenty_in_a_call(platform: Platform, sender: Sender) -> None:
    report = await sender.send("hi", users=STAFF)

    assert report.complete
    assert [len(reply.users) for reply in platform.replies] == [20, 20, 20]
    assert [delivery.id for delivery in report.deliveries] == STAFF == readers(platform)


async def test_an_id_that_is_given_twice_gets_one_message(platform: Platform, sender: Sender) -> None:
    report = await sender.send("hi", users=["user0001", " user0001", "user0001"], chats=[TEAM, TEAM])

    assert outcomes(report) == {"user0001": "delivered", TEAM: "delivered"}
    assert sorted(readers(platform)) == sorted(["user0001", TEAM])


async def test_nobody_to_send_to_is_no_call(platform: Platform, sender: Sender) -> None:
    report = await sender.send("hi", users=["", " "])

    assert (report.deliveries, report.complete, platform.calls) == ((), True, [])


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_an_empty_text_is_not_sent(platform: Platform, sender: Sender, text: str) -> None:
    with pytest.raises(ValueError, match="the message is empty"):
        await sender.send(text, users=["user0001"])
    assert platform.calls == []


async def test_a_text_mentions_nobody_and_clicks_nothing(platform: Platform, sender: Sender) -> None:
    await sender.send("[ok](dtmd://dingtalkclient/sendMessage?content=yes) <a atId=user0002>", users=["user0001"])

    assert platform.replies[0].text == "[ok](dtmd：//dingtalkclient/sendMessage?content=yes) <a atId＝user0002>"


async def test_half_a_surrogate_pair_is_a_question_mark(platform: Platform, sender: Sender) -> None:
    assert (await sender.send("a\ud83db", users=["user0001"])).complete
    assert platform.replies[0].text == "a?b"


# Long texts


@pytest.mark.parametrize("text", ["你好，世界。\n\n" * 2_000, '"' * 40_000, "word " * 8_000])
async def test_a_long_text_comes_whole_and_in_order(platform: Platform, sender: Sender, text: str) -> None:
    report = await sender.send(text, users=["user0001"], chats=[TEAM])

    assert report.complete
    assert report.parts > 1
    assert {delivery.parts for delivery in report.deliveries} == {report.parts}
    for reader in (("user0001",), ()):
        texts = [reply.text for reply in platform.replies if reply.users == reader]
        assert "".join("".join(texts).split()) == "".join(text.split())


async def test_who_misses_a_part_gets_no_later_one(platform: Platform, sender: Sender) -> None:
    platform.faults.add(
        PEOPLE, Reject(400, "invalidParameter.param.invalid"), when=lambda body: "bbb" in body["msgParam"]
    )
    text = "\n\n".join(letter * 14_000 for letter in "abc")

    report = await sender.send(text, users=["user0001"])

    assert report.deliveries[0].outcome is Outcome.REFUSED
    assert report.deliveries[0].parts == len(platform.replies) == 1
    assert report.parts == 3
    assert calls_to(platform, PEOPLE) == 2


async def test_who_was_held_back_amid_a_long_text_gets_the_rest_and_nothing_twice(
    platform: Platform, sender: Sender
) -> None:
    text = "\n\n".join(letter * 14_000 for letter in "abc")
    platform.latency = 0.05  # time to order it between two calls

    async def hold_back_the_second_part() -> None:
        await platform.wait_for(lambda: len(platform.replies) == 1)
        platform.flow_controlled["user0001"] = 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold_back_the_second_part)
        report = await sender.send(text, users=["user0001", "user0002"])

    assert report.complete
    for reader in ("user0001", "user0002"):
        letters = [reply.text[0] for reply in platform.replies if reader in reply.users]
        assert letters == ["a", "b", "c"]


# One by one


async def test_each_recipient_has_an_outcome_of_its_own(platform: Platform, sender: Sender) -> None:
    platform.filtered.add("user0002")
    platform.flow_controlled.update(user0003=2, user0004=99)

    report = await sender.send(
        "hi", users=["user0001", "stranger", "user0002", "user0003", "user0004"], chats=[TEAM, "cidNOWHERE=="]
    )

    assert outcomes(report) == {
        "user0001": "delivered",
        "stranger": "invalid",
        "user0002": "filtered",
        "user0003": "delivered",
        "user0004": "flow-controlled",
        TEAM: "delivered",
        "cidNOWHERE==": "invalid",
    }
    assert (report.reached, report.complete) == (3, False)
    assert sorted(readers(platform)) == sorted(["user0001", "user0003", TEAM])


async def test_only_who_was_held_back_is_tried_again(platform: Platform, sender: Sender) -> None:
    platform.flow_controlled["user0003"] = 1

    assert (await sender.send("hi", users=STAFF[:5])).complete
    assert [call.body["userIds"] for call in platform.calls if call.path in PEOPLE] == [STAFF[:5], ["user0003"]]


async def test_an_unknown_person_keeps_the_message_from_nobody(platform: Platform, sender: Sender) -> None:
    platform.refuse_unknown_users()

    report = await sender.send("hi", users=[*STAFF[:7], "stranger", *STAFF[7:15]])

    assert outcomes(report) == {**dict.fromkeys(STAFF[:15], "delivered"), "stranger": "invalid"}
    assert sorted(readers(platform)) == STAFF[:15]


@pytest.mark.parametrize(
    "fault",
    [
        ResetConnection(applied=True),
        ResetConnection(applied=False),
        GatewayTimeout(applied=True, after=0.0),
        HtmlError(502),
        OddJson(),
        Reject(500, "unknownError"),
    ],
    ids=repr,
)
async def test_without_an_answer_the_outcome_is_unknown_and_nothing_is_sent_again(
    platform: Platform, sender: Sender, fault: ResetConnection | GatewayTimeout | HtmlError | OddJson | Reject
) -> None:
    platform.faults.add(PEOPLE, fault)
    platform.faults.add(GROUPS, fault)

    report = await sender.send("hi", users=STAFF[:21], chats=[TEAM, BOARD])

    assert outcomes(report) == {
        **dict.fromkeys(STAFF[:20], "unknown"),
        STAFF[20]: "delivered",
        TEAM: "unknown",
        BOARD: "delivered",
    }
    assert (calls_to(platform, PEOPLE), calls_to(platform, GROUPS)) == (2, 2)
    assert all(delivery.why for delivery in report.deliveries if delivery.outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize("fault", [Reject(400, "invalidParameter.param.invalid"), SuccessFalse()], ids=repr)
async def test_a_refused_batch_does_not_keep_the_next_one(
    platform: Platform, sender: Sender, fault: Reject | SuccessFalse
) -> None:
    platform.faults.add(PEOPLE, fault)

    report = await sender.send("hi", users=STAFF[:30])

    assert outcomes(report) == {**dict.fromkeys(STAFF[:20], "refused"), **dict.fromkeys(STAFF[20:30], "delivered")}


async def test_an_answer_that_does_not_say_whom_it_reached_leaves_it_unknown() -> None:
    async with Server().running() as server:
        server.answers(PEOPLE.split()[1], answer({"processQueryKey": "1", "invalidStaffIdList": 5}))
        async with Sender(settings_for(server.url), patience=IMPATIENT) as sender:
            report = await sender.send("hi", users=["user0001"])

    assert outcomes(report) == {"user0001": "unknown"}


# What may pass, and what does not


async def test_a_throttled_call_is_made_again_for_nothing_was_done(platform: Platform, sender: Sender) -> None:
    platform.faults.add(PEOPLE, QPS, times=2)

    assert (await sender.send("hi", users=["user0001"])).complete
    assert readers(platform) == ["user0001"]


async def test_who_wants_longer_than_our_patience_ends_it_for_all(platform: Platform) -> None:
    platform.faults.add(PEOPLE, QPS, times=math.inf)
    async with Sender(settings_for(platform.url), patience=Patience(room=0.5)) as sender:
        report = await sender.send("hi", users=STAFF, chats=[TEAM])

    assert outcomes(report) == {**dict.fromkeys(STAFF, "refused"), TEAM: "delivered"}
    assert calls_to(platform, PEOPLE) == 1


@pytest.mark.parametrize(
    "fault", [NO_CALLS_LEFT, Reject(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")], ids=repr
)
async def test_what_is_refused_for_all_is_asked_once(platform: Platform, sender: Sender, fault: Reject) -> None:
    platform.faults.add(PEOPLE, fault)

    report = await sender.send("hi", users=STAFF)

    assert outcomes(report) == dict.fromkeys(STAFF, "refused")
    assert calls_to(platform, PEOPLE) == 1
    assert fault.code in report.deliveries[-1].why


async def test_a_wrong_secret_is_refused_and_not_repeated(platform: Platform) -> None:
    async with Sender(settings_for(platform.url, DINGTALK_CLIENT_SECRET="s3cr3t"), patience=IMPATIENT) as sender:
        report = await sender.send("hi", users=["user0001"])

    assert outcomes(report) == {"user0001": "refused"}
    assert "check DINGTALK_CLIENT_ID and DINGTALK_CLIENT_SECRET" in report.deliveries[0].why
    assert "s3cr3t" not in f"{report}{sender!r}"


async def test_a_token_that_went_out_of_use_is_replaced(platform: Platform, sender: Sender) -> None:
    await sender.send("one", users=["user0001"])
    platform.revoke_tokens()

    assert (await sender.send("two", users=["user0001"])).complete
    assert [reply.text for reply in platform.replies] == ["one", "two"]


async def test_nobody_at_the_address_means_not_sent() -> None:
    async with Sender(settings_for("http://127.0.0.1:9"), patience=IMPATIENT) as sender:
        report = await sender.send("hi", users=STAFF, chats=[TEAM])

    assert outcomes(report) == dict.fromkeys([*STAFF, TEAM], "not sent")


async def test_no_answer_about_the_token_means_not_sent(platform: Platform, sender: Sender) -> None:
    platform.faults.add(TOKEN, ResetConnection(applied=True))

    report = await sender.send("hi", users=["user0001"])

    assert outcomes(report) == {"user0001": "not sent"}
    assert platform.replies == []


async def test_a_server_that_goes_away_amid_a_list_leaves_one_batch_unknown() -> None:
    async with Server().running() as server:
        sent = answer({"processQueryKey": "1"})
        server.answers(PEOPLE.split()[1], sent, Fault.LAST_CALL)
        async with Sender(settings_for(server.url), patience=IMPATIENT) as sender:
            report = await sender.send("hi", users=STAFF)

    assert outcomes(report) == {
        **dict.fromkeys(STAFF[:20], "delivered"),
        **dict.fromkeys(STAFF[20:40], "unknown"),
        **dict.fromkeys(STAFF[40:], "not sent"),
    }


async def test_five_hundred_people_are_reached_without_one_refused_call(platform: Platform, sender: Sender) -> None:
    everybody = [f"staff{number:03}" for number in range(500)]
    platform.users.update(everybody)

    report = await sender.send("hi", users=everybody)

    assert report.complete
    assert readers(platform) == everybody
    assert {call.status for call in platform.calls} == {200}  # the fixture looks at the calls a second


# Several at once, and none to its end


async def test_two_messages_at_once_do_not_mix(platform: Platform, sender: Sender) -> None:
    reports: list[Report] = []

    async def send(text: str, *users: str) -> None:
        reports.append(await sender.send(text, users=users))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, "one", *STAFF[:30])
        tasks.start_soon(send, "two", *STAFF[10:40])

    assert all(report.complete for report in reports)
    for text, users in (("one", STAFF[:30]), ("two", STAFF[10:40])):
        assert [user for reply in platform.replies if reply.text == text for user in reply.users] == users
    assert calls_to(platform, TOKEN) == 1


async def test_a_cancelled_list_tells_who_has_it_who_may_and_who_has_not(platform: Platform, sender: Sender) -> None:
    platform.faults.add(PEOPLE, HangUp(), when=lambda body: STAFF[20] in body["userIds"])
    settled: list[Delivery] = []

    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            await sender.send("hi", users=STAFF, settled=settled.append)

        tasks.start_soon(send)
        await platform.wait_for(lambda: calls_to(platform, PEOPLE) == 2)
        tasks.cancel_scope.cancel()

    assert {delivery.id: delivery.outcome.value for delivery in settled} == {
        **dict.fromkeys(STAFF[:20], "delivered"),
        **dict.fromkeys(STAFF[20:40], "unknown"),
        **dict.fromkeys(STAFF[40:], "not sent"),
    }
    assert len(settled) == len(STAFF)


async def test_who_was_held_back_when_a_list_is_cancelled_has_got_nothing(platform: Platform) -> None:
    platform.flow_controlled["user0001"] = 9
    settled: list[Delivery] = []

    async with Sender(settings_for(platform.url), patience=Patience(flow=(60.0,))) as sender:
        with anyio.move_on_after(0.5) as scope:
            await sender.send("hi", users=["user0001", "user0002"], settled=settled.append)

    assert scope.cancelled_caught
    assert settled == [
        Delivery("user", "user0002", Outcome.DELIVERED, parts=1),
        Delivery("user", "user0001", Outcome.NOT_SENT, "Interrupted."),
    ]


async def test_outcomes_are_told_while_the_list_goes_on(platform: Platform, sender: Sender) -> None:
    called: list[int] = []

    await sender.send("hi", users=STAFF, settled=lambda _: called.append(calls_to(platform, PEOPLE)))

    assert called == [1] * 20 + [2] * 20 + [3] * 20


async def test_an_outbox_on_the_bots_own_api_counts_its_calls(platform: Platform) -> None:
    billed: list[None] = []
    async with OpenApi(
        client_id="dingtest",
        client_secret="secret",
        robot_code="dingtest",
        endpoint=platform.url,
        billed=lambda: billed.append(None),
    ) as api:
        assert (await Outbox(api).send("hi", users=STAFF, chats=[TEAM])).complete
    assert len(billed) == 4
