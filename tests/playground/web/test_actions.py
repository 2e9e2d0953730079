"""What people do on the page, and what the bot then gets to see of it."""

import json
from contextlib import suppress

import anyio
import httpx
import pytest

from cardbot.playground.platform import Platform
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.people import People
from cardbot.playground.web import playground
from tests.patience import SOON
from tests.playground.web.bot_buttons import button, set_buttons
from tests.playground.web.visitor import ADA, DIRECT, GROUP, visiting

pytestmark = pytest.mark.anyio


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """The data of each message that the platform pushes. It has no other way out of a running playground."""
    seen: list[Json] = []
    push = People.push

    async def noted(self: People, data: Json) -> object:
        message = await push(self, data)
        seen.append(message.data)
        return message

    monkeypatch.setattr(People, "push", noted)
    return seen


async def test_a_group_message_reaches_the_robot_without_its_mention(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("@cardbot ask @林薇 about it", chat=GROUP)
    (data,) = pushed
    assert data["text"]["content"] == " ask @林薇 about it"
    assert data["conversationType"] == "2"
    assert {"dingtalkId": "$:LWCP_v1:$user0002==", "staffId": "user0002"} in data["atUsers"]


async def test_a_group_message_that_does_not_mention_the_robot_stays_among_people(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("hello, write to a@cardbot.com", chat=GROUP)
        await page.until(lambda: page.all("message"))
        assert page.all("message")[0]["unaddressed"]
    assert pushed == []


@pytest.mark.parametrize(
    ("text", "content"),
    [("@CardBot hello", " hello"), ("你好@cardbot看看", "你好看看"), ("a@cardbot.com @cardbot?", "a@cardbot.com ?")],
)
async def test_the_robot_is_mentioned_by_its_name_in_any_case(pushed: list[Json], text: str, content: str) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say(text, chat=GROUP)
    assert pushed[0]["text"]["content"] == content


async def test_a_file_in_a_group_says_that_it_is_taken_as_a_mention(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        query = {"chat": GROUP, "speaker": ADA, "name": "a.pdf"}
        await page.http.post("/upload", params=query, content=b"bytes", headers={"Content-Type": "application/pdf"})
        await page.until(lambda: page.all("message"))
        assert page.all("message")[0]["assumed"] is True
    assert len(pushed) == 1


async def test_a_quote_goes_along(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("hello", chat=GROUP)
        await page.until(lambda: page.all("message"))
        await page.say("@cardbot and this?", chat=GROUP, quote=page.all("message")[0]["id"])
        await page.until(lambda: len(page.all("message")) == 2)
        assert page.all("message")[1]["quote"]["text"] == "hello"
    text = pushed[0]["text"]
    assert text["isReplyMsg"] is True
    assert text["repliedMsg"]["content"] == {"text": "hello"}


async def test_a_card_is_quoted_by_its_key(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("hello")
        await page.until(lambda: [card["state"] for card in page.all("card")] == ["done"])
        await page.say("and this?", quote=page.all("card")[0]["id"])
        await page.until(lambda: len(pushed) == 2)
        card = page.all("card")[0]["id"]
    assert pushed[1]["text"]["repliedMsg"]["msgType"] == "interactiveCard"
    assert pushed[1]["originalProcessQueryKey"] == f"pqk-{card}"


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("image/png", "cat.png", "picture"),
        ("application/pdf", "report.pdf", "file"),
        ("image/svg+xml", "x.svg", "file"),
    ],
)
async def test_files_are_pushed_with_a_code_to_fetch_them(
    pushed: list[Json], kind: str, name: str, expected: str
) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        query = {"chat": DIRECT, "speaker": ADA, "name": f"../{name}"}
        sent = await page.http.post("/upload", params=query, content=b"bytes", headers={"Content-Type": kind})
        assert sent.status_code == 200
        await page.until(lambda: page.all("message"))
        (message,) = page.all("message")
        assert (message["content"], message["name"]) == (expected, name)
        if expected == "picture":
            shown = await page.http.get(f"/attachments/{message['media']}")
            assert (shown.content, shown.headers["content-type"]) == (b"bytes", kind)
        else:
            code = pushed[0]["content"]["downloadCode"]
            assert (await page.http.get(f"/attachments/{code}")).status_code == 404
    assert pushed[0]["msgtype"] == expected
    assert pushed[0]["content"]["downloadCode"]


async def test_a_voice_message_carries_its_transcript(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.act("voice", chat=DIRECT, speaker=ADA, text="How is the weather?")
        await page.until(lambda: page.all("card"))
    assert pushed[0]["msgtype"] == "audio"
    assert pushed[0]["content"]["recognition"] == "How is the weather?"


async def test_a_voice_message_may_come_without_a_transcript(pushed: list[Json], platforms: list[Platform]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.act("voice", chat=DIRECT, speaker=ADA, text="How is the weather?", transcript=False)
        await page.until(lambda: any("How is the weather?" in card["text"] for card in page.all("card")))
    (data,) = pushed
    assert "recognition" not in data["content"]
    assert platforms[0].files[data["content"]["downloadCode"]].startswith(b"#!AMR\n")


@pytest.mark.parametrize(
    ("kind", "expected", "names"),
    [
        ("image/png", "picture", {"downloadCode", "pictureDownloadCode"}),
        ("application/pdf", "file", {"downloadCode", "fileName"}),
    ],
)
async def test_a_quoted_file_carries_its_codes(pushed: list[Json], kind: str, expected: str, names: set[str]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        query = {"chat": DIRECT, "speaker": ADA, "name": "a"}
        await page.http.post("/upload", params=query, content=b"bytes", headers={"Content-Type": kind})
        await page.until(lambda: page.all("message"))
        await page.say("and this?", quote=page.all("message")[0]["id"])
    sent, quoting = pushed
    quoted = quoting["text"]["repliedMsg"]
    assert (quoted["msgType"], quoted["content"], quoted["msgId"]) == (expected, sent["content"], sent["msgId"])
    assert names <= set(quoted["content"])


async def test_a_quoted_voice_message_is_one_of_dingtalks_kinds(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.act("voice", chat=DIRECT, speaker=ADA, text="hello")
        await page.until(lambda: page.all("message"))
        await page.say("and this?", quote=page.all("message")[0]["id"])
    quoted = pushed[1]["text"]["repliedMsg"]
    assert (quoted["msgType"], quoted["content"]["recognition"]) == ("audio", "hello")


async def test_dify_is_seen_to_answer_the_message_that_was_sent() -> None:
    """It was asked in other words than were written: with the bot's own, or with a quote before them."""
    async with playground(None, "en") as url, visiting(url) as page:
        query = {"chat": DIRECT, "speaker": ADA, "name": "a.png"}
        await page.http.post(
            "/upload", params=query, content=b"\x89PNG\r\n\x1a\n", headers={"Content-Type": "image/png"}
        )
        await page.until(lambda: {tick["message"] for tick in page.all("tick")} == {"message1"})
        await page.say("/stop")
        await page.say("quote me", chat=GROUP)
        await page.say("@cardbot and this?", chat=GROUP, quote="message3")
        await page.until(lambda: {tick["message"] for tick in page.all("tick")} == {"message1", "message4"})


async def test_a_stop_that_hits_an_answer_is_no_message_of_its_own() -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("/stop")
        await page.until(lambda: page.all("reply"))
        await page.say("Count to a thousand.")
        await page.until(lambda: any("1, 2" in card["text"] for card in page.all("card")))
        await page.say("/stop")
        await page.until(lambda: [card["state"] for card in page.all("card")] == ["done"])
        await page.until(lambda: len(page.all("message")) == 3)
        assert [message.get("aside", False) for message in page.all("message")] == [False, False, True]
        assert len(page.all("reply")) == 1


async def test_only_the_words_of_whoever_was_asked_go_into_a_form() -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("@cardbot We need a new coffee machine.", chat=GROUP)
        await page.until(lambda: any(len(card["buttons"]) == 3 for card in page.all("card")))
        await page.say("@cardbot 7", chat=GROUP, speaker="user0002")
        await page.until(lambda: len(page.all("card")) == 2)
        await page.say("@cardbot 5", chat=GROUP)
        await page.until(lambda: any("Quantity: 5" in card["text"] for card in page.all("card")))
        asides = {message["text"]: message.get("aside", False) for message in page.all("message")}
    assert asides == {"@cardbot We need a new coffee machine.": False, "@cardbot 7": False, "@cardbot 5": True}


async def test_a_press_tells_the_bot_what_the_button_carries(platforms: list[Platform]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("hello")
        await set_buttons(platforms[0], [button("form:yes", "Yes", "blue", params={"form": "1"})])
        shown = {"action": "form:yes", "label": "Yes", "color": "blue", "works": True}
        await page.until(lambda: page.all("card")[0]["buttons"] == [shown])
        (card,) = page.all("card")
        assert (await page.act("click", card=card["id"], action="form:yes", speaker=ADA)).status_code == 200
        await platforms[0].wait_for(lambda: len(platforms[0].pushes) == 2)
        data = platforms[0].pushes[1].data
    assert (data["outTrackId"], data["userId"]) == (card["id"], ADA)
    content = json.loads(data["content"])
    assert content["cardPrivateData"] == {"actionIds": ["form:yes"], "params": {"form": "1"}}


async def test_only_buttons_that_are_there_and_work_can_be_pressed(platforms: list[Platform]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.say("hello")
        await set_buttons(platforms[0], [button("later", "Later", "gray", status="disabled")])
        await page.until(lambda: [each["works"] for each in page.all("card")[0]["buttons"]] == [False])
        (card,) = page.all("card")
        for action in ("later", "stop", ""):
            assert (await page.act("click", card=card["id"], action=action, speaker=ADA)).status_code == 400
    assert len(platforms[0].pushes) == 1


async def test_what_the_page_would_not_send_is_refused(pushed: list[Json]) -> None:
    said = {"text": "x", "chat": DIRECT, "speaker": ADA}
    actions: list[tuple[str, Json]] = [
        ("say", {**said, "chat": GROUP, "speaker": "user0009"}),
        ("say", {**said, "chat": "cidDirectuser0002=="}),
        ("say", {**said, "text": " "}),
        ("say", {**said, "text": "x" * 6001}),
        ("say", {**said, "text": 1}),
        ("say", {**said, "quote": "nothing"}),
        ("voice", {**said, "text": None}),
        ("click", {"card": "x", "action": "stop", "speaker": ADA}),
        ("switch", {"id": "x", "on": True}),
        ("slide", {"id": "limit", "value": "x"}),
        ("slide", {"id": "x", "value": 1}),
        ("dance", {}),
    ]
    async with playground(None, "en") as url, visiting(url) as page:
        accepted = [name for name, body in actions if (await page.act(name, **body)).status_code != 400]
    assert accepted == []
    assert pushed == []


async def test_an_action_from_another_page_does_nothing(pushed: list[Json]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        body = {"text": "x", "chat": DIRECT, "speaker": ADA}
        refused = await page.http.post("/do/say", json=body, headers={"Origin": "http://evil.example"})
        assert refused.status_code == 403
    assert pushed == []


async def test_the_server_leaves_at_once_though_a_page_is_open() -> None:
    looking = anyio.Event()

    async def look(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", f"{url}/events") as response:
            with suppress(httpx.TransportError):  # how the server ends it is not the point
                async for _ in response.aiter_bytes():
                    looking.set()

    async with anyio.create_task_group() as tasks:
        async with playground(None, "en") as url:
            tasks.start_soon(look, url)
            await looking.wait()
            began = anyio.current_time()
        assert anyio.current_time() - began < SOON
