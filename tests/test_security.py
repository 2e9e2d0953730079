"""Hostile input, end to end: each message ends in one visible final state, nobody is called who should not be."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cardbot.dingtalk.hosts import is_trusted_webhook
from cardbot.playground.dify.script import Script
from cardbot.playground.platform import gateway
from cardbot.playground.platform.faults import Reject
from tests.desk import CREATE, WEBHOOK, Desk, desk
from tests.patience import SOON

ANSWER = "It is sunny."


@contextmanager
def no_traceback() -> Iterator[None]:
    """Whatever was logged meanwhile, no error of ours was."""
    with capture_logs() as logs:
        yield
    assert [line for line in logs if line.get("exc_info")] == []


async def one_end(world: Desk, *, within: float = SOON) -> str:
    """The one final text of the one message that was sent."""
    await world.ended(within=within)
    (final,) = world.finals
    assert world.spinning == []
    return final


# What people send.

HALVES = {"half a character": "a\ud800b", "the other half": "a\udfffb"}
"""These have no UTF-8. Dify may refuse them, and then says so."""

QUESTIONS = {
    **HALVES,
    "1 MB": "x" * 1_000_000,
    "1 MB of Chinese": "问" * 350_000,
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "a null": "a\0b",
    "directions and joiners": "\u202eevil\u202d\u200d\ufeff\u2028\u2029",
    "not a character": "\ufffe\uffff\U0010ffff",
    "combining marks": "e" + "\u0301" * 50_000,
    "nested brackets": "[" * 10_000,
    "JSON": '{"msgtype":"text","sessionWebhook":"https://evil.example/"}',
    "format fields": "{question} {0} %s %(x)s ${jndi:ldap://x}",
    "an escape sequence": "\x1b[2J\x1b]0;owned\x07",
}


@pytest.fixture
def escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes in plain ASCII: half a character has no other way over a websocket."""
    plain = SimpleNamespace(dumps=lambda value, **_: json.dumps(value), loads=json.loads)
    monkeypatch.setattr(gateway, "json", plain)


@pytest.mark.anyio
@pytest.mark.usefixtures("escaped")
async def test_whatever_is_asked_is_answered_once() -> None:
    began = time.monotonic()
    with no_traceback():
        async with desk() as world:
            world.dify.answers += [Script(ANSWER) for _ in QUESTIONS]
            messages = {
                name: await world.platform.say(question, user=f"user{number}")
                for number, (name, question) in enumerate(QUESTIONS.items())
            }
            await world.ended(len(QUESTIONS))
            assert len(world.finals) == len(QUESTIONS)
            assert world.finals.count(ANSWER) >= len(QUESTIONS) - len(HALVES)
            assert world.spinning == []
            assert [name for name, message in messages.items() if message.ack is None] == []
            assert world.platform.violations == []
    assert time.monotonic() - began < 20


@pytest.mark.anyio
@pytest.mark.usefixtures("escaped")
async def test_whatever_people_and_chats_are_called_their_messages_are_answered_once() -> None:
    odd = "\ud800\0\n\x1b[2J{0}@ALL" + "名" * 100_000
    fields = ["senderNick", "conversationTitle", "senderCorpId", "chatbotUserId", "senderId", "msgtype"]
    with no_traceback():
        async with desk() as world:
            for name in fields:
                await world.platform.say("hello", user=f"user-{name}", group="cidTEAM0000==", **{name: odd})
            await world.ended(len(fields))
            assert len(world.finals) == len(fields)
            assert world.spinning == []


# What models answer.

ANSWERS = {
    "an open fence of 100 kB": "```\n" + "x" * 100_000,
    "100 kB of fences": "```\n" * 25_000,
    "an open span of 100 kB": "`" + "x" * 100_000,
    "nested quotes": ">" * 10_000 + " deep",
    "nested quotes, line by line": "".join(">" * depth + " x\n" for depth in range(1, 400)),
    "nested brackets": "[" * 10_000 + "x" + "]" * 10_000,
    "nested links": "[x](" * 10_000,
    "nested emphasis": "*_" * 10_000 + "x",
    "nested lists": "".join("  " * depth + "- x\n" for depth in range(300)),
    "a table of 1,000 columns": "|a" * 1_000 + "|\n" + "|-" * 1_000 + "|\n" + "|b" * 1_000 + "|\n",
    "a table that never ends": "|a|b|\n|-|-|\n" + "|1|2|\n" * 5_000,
    "tags": "<div>" * 10_000,
    "an open tag": '<a href="' + "x" * 50_000,
    "backslashes": "\\" * 50_000,
    "entities": "&#100;" * 10_000,
    "one line": "word " * 20_000,
    "blank lines": "a" + "\n" * 50_000 + "b",
    "control characters": "a\0b\x1b[2J\x07" + "".join(map(chr, range(1, 32))) + "z",
    "combining marks": "e" + "\u0301" * 40_000,
    "directions": "\u202e" * 1_000 + "x",
}


@pytest.mark.anyio
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_whatever_is_answered_all_of_it_is_shown_and_comes_to_an_end(answer: str) -> None:
    began = time.monotonic()
    with no_traceback():
        async with desk(CARDBOT_CARD_QPS="200", platform={"qps": math.inf}) as world:
            world.dify.answers.append(Script(answer, chunk=1_000))
            await world.platform.say("hello")
            await world.platform.wait_for(lambda: world.platform.cards and not world.spinning and world.finals)
            shown = "".join(world.finals)
            assert world.platform.violations == []
            assert not world.platform.replies
    kept = [character for character in answer if character.isalnum()]
    assert len([character for character in shown if character.isalnum()]) >= len(kept)
    assert time.monotonic() - began < 30


# Nobody is notified because a model says so.

CALLS = (
    "@all @所有人 @user0001 <@all> <a atId=user0001>Li Lei</a> [ok](dtmd://dingtalkclient/sendMessage?content=%2Fyes)"
)


def sent(world: Desk) -> list[tuple[str, Any]]:
    """Each call that shows something, and its body."""
    return [(call.path, call.body) for call in world.platform.calls if "/card/" in call.path or "robot" in call.path]


def names(value: Any) -> Iterator[str]:
    """The names of all fields, also of those in JSON within strings."""
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from names(inner)
        case list():
            for inner in value:
                yield from names(inner)
        case str() if value.startswith(("{", "[{")):
            try:
                yield from names(json.loads(value))
            except ValueError:
                return


@pytest.mark.anyio
@pytest.mark.parametrize("group", [None, "cidTEAM0000=="])
async def test_no_call_mentions_anybody_but_the_person_who_asked(group: str | None) -> None:
    async with desk() as world:
        world.dify.answers += [Script(CALLS, cps=100), Script(CALLS)]
        await world.platform.say("one @all", group=group)
        await one_end(world)
        world.platform.faults.add(CREATE, Reject(400, "param.templateNotExist"), times=math.inf)
        await world.platform.say("two @all", group=group)
        await world.ended(2)
        calls = sent(world)
    assert {path for path, _ in calls} >= {CREATE.split()[1], WEBHOOK.split()[1], "/v1.0/card/streaming"}
    for path, body in calls:
        found = {name.lower() for name in names(body)}
        assert found.isdisjoint({"at", "isatall", "atall", "atmobiles", "cardatuserids", "atdingtalkids"}), path
    mentioned = [
        body["imGroupOpenDeliverModel"].get("atUserIds") for path, body in calls if path == CREATE.split()[1] and group
    ]
    assert all(at == {"user0001": "Test User"} for at in mentioned)


# Session webhooks.

TRUSTED = [
    "https://oapi.dingtalk.com/robot/sendBySession?session=x",
    "https://api.dingtalk.io:443/robot",
    "https://oapi.dingtalk。com/",  # the Chinese full stop is a dot
]

OURSELVES = ("127.0.0.1", "localhost", "[::1]")
"""Trusted where DingTalk itself is simulated on this machine, and only there."""

FOREIGN = [
    "http://oapi.dingtalk.com/robot/sendBySession?session=x",
    "https://evil.example/robot/sendBySession?session=x",
    "https://notdingtalk.com/",
    "https://dingtalk.com.evil.example/",
    "https://oapi.dingtalk.com.evil.example/",
    "https://oapi.dingtalk.com@evil.example/",
    "https://oapi.dingtalk.com:443@evil.example/",
    "https://evil.example/?x=oapi.dingtalk.com",
    "https://evil.example#.dingtalk.com",
    "https://evil.example/.dingtalk.com",
    "https://evil.example\\.dingtalk.com/",
    "https://evil.example\\@oapi.dingtalk.com/",
    "https://evil.example%2F.dingtalk.com/",
    "https://evil.example%00.dingtalk.com/",
    "https://evil.example\t.dingtalk.com/",
    "https://evil.example .dingtalk.com/",
    "https://оapi.dingtalk.com/",  # noqa: RUF100 - the first letter is Cyrillic
    "https://oapi.dingta1k.com/",
    "https://oapi.dingtalk.com./",
    "https://xn--dingtak-bxe.com/",
    "https://ⓓingtalk.com/",
    "https://oapi.ding\u00adtalk.com/",
    "https://user:password@oapi.dingtalk.com/",
    "https://oapi.dingtalk.com:8443/",
    "https://127.0.0.1/",
    "http://127.0.0.1:80/",
    "https://localhost/",
    "https://[::1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0/",
    "//oapi.dingtalk.com/",
    "oapi.dingtalk.com/robot",
    "file:///etc/passwd",
    "ftp://oapi.dingtalk.com/",
    "HTTPS:oapi.dingtalk.com",
    "",
    " ",
]


@pytest.mark.parametrize("address", TRUSTED)
def test_a_webhook_of_dingtalk_is_trusted(address: str) -> None:
    assert is_trusted_webhook(httpx.URL(address), endpoint=httpx.URL("https://api.dingtalk.com"))


@pytest.mark.parametrize("address", FOREIGN)
def test_a_webhook_of_anybody_else_is_not(address: str) -> None:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return
    assert not is_trusted_webhook(url, endpoint=httpx.URL("https://api.dingtalk.com"))


@given(st.text(alphabet="a.:/@\\#?%\t。evil", max_size=12), st.sampled_from(["", "/", "?", "#", "@", "\\", "%2f", ":"]))
def test_a_trusted_webhook_goes_to_a_host_of_dingtalk_whatever_its_looks(before: str, after: str) -> None:
    try:
        url = httpx.URL(f"https://{before}.dingtalk.com{after}.evil.example/")
    except httpx.InvalidURL:
        return
    if is_trusted_webhook(url, endpoint=httpx.URL("https://api.dingtalk.com")):
        request = httpx.Request("POST", url)
        assert request.headers["host"].endswith((".dingtalk.com", ".dingtalk.io"))


@pytest.mark.anyio
async def test_messages_with_foreign_webhooks_are_answered_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    send = httpx.AsyncClient.send

    async def noted(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        called.append(request.url.host)
        return await send(self, request, **options)

    monkeypatch.setattr(httpx.AsyncClient, "send", noted)
    addresses = [address for address in FOREIGN if not any(name in address for name in OURSELVES)]
    with no_traceback():
        async with desk(platform={"qps": math.inf}) as world:
            world.platform.faults.add(CREATE, Reject(400, "param.templateNotExist"), times=math.inf)
            world.dify.answers += [Script(ANSWER) for _ in addresses]
            for number, address in enumerate(addresses):
                await world.platform.say("hello", user=f"user{number}", sessionWebhook=address)
            await world.ended(len(addresses))
            assert [(reply.via, reply.text) for reply in world.platform.replies] == [
                ("oToMessages", ANSWER) for _ in addresses
            ]
    assert set(called) == {"127.0.0.1"}
