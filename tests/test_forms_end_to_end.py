"""A workflow that waits for a person, through the whole bot: shown in the card, filled in there, gone on with there."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest

from cardbot.bot import Bot
from cardbot.playground.dify import Pause, Script
from cardbot.playground.dify.faults import Trouble
from cardbot.playground.dify.script import Drop, Html
from cardbot.playground.platform.cards import Card, State
from cardbot.recovery import BEAT_EVERY
from cardbot.texts import EN
from tests.desk import Desk, desk

pytestmark = pytest.mark.anyio

NOTE = {"type": "paragraph", "output_variable_name": "note"}
FLOWS = ["advanced-chat", "workflow"]


def purchase(*inputs: Mapping[str, str], then: str = " Bought.") -> Script:
    return Script("The boat costs 9.", pause=Pause(then=Script(then), content="Buy it?", inputs=inputs))


async def waiting(there: Desk, words: str = "Buy it?", number: int = 0) -> Card:
    """The card, once it shows the form and its buttons."""

    def shown() -> list[Card]:
        cards = list(there.platform.cards.values())[number : number + 1]
        return [card for card in cards if words in card.content and len(card.buttons) == 3]

    await there.platform.wait_for(shown)
    return shown()[0]


def asks() -> dict[str, object]:
    return {"app": "advanced-chat", "version": "1.14.1"}


def flow(app: str) -> dict[str, object]:
    """An app of either kind; a workflow takes the question as one of its inputs."""
    inputs = [{"paragraph": {"variable": "query", "required": True}}] if app == "workflow" else []
    return {"app": app, "inputs": inputs}


@pytest.mark.parametrize("app", FLOWS)
async def test_a_press_goes_on_in_the_same_card(app: str) -> None:
    async with desk(dify=flow(app)) as there:
        there.dify.default = purchase()
        await there.platform.say("buy a boat")
        card = await waiting(there)
        assert [button.label for button in card.buttons] == ["Approve", "Reject", EN.stop]
        await there.platform.click(card, "form:approve")
        await there.ended()
        assert card.state is State.DONE
        assert card.content == "The boat costs 9. Bought."
        assert len(there.platform.cards) == 1
        assert there.platform.replies == []
        assert there.platform.violations == []


async def test_a_field_is_typed_and_the_form_shows_it() -> None:
    async with desk(dify=asks()) as there:
        there.dify.default = purchase(NOTE)
        await there.platform.say("buy a boat")
        card = await waiting(there)
        assert EN.fill_in.format(fields="note") in card.content
        await there.platform.say("a red one")
        await there.platform.wait_for(lambda: "note: a red one" in card.content)
        await there.platform.say("Approve")
        await there.ended()
        assert card.content.endswith(" Bought.")
        assert len(there.platform.cards) == 1
        submitted = [request.body for request in there.dify.requests if "/form/human_input/" in request.path]
        assert [(body or {})["inputs"] for body in submitted if body] == [{"note": "a red one"}]


async def test_without_cards_the_form_is_a_plain_reply_and_can_be_answered() -> None:
    async with desk(dify=asks(), DINGTALK_CARD_TEMPLATE_ID="") as there:
        there.dify.default = purchase()
        await there.platform.say("buy a boat")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert "Buy it?" in there.platform.replies[0].text
        assert "Approve / Reject" in there.platform.replies[0].text
        await there.platform.say("approve")
        await there.platform.wait_for(lambda: len(there.platform.replies) == 2)
        assert there.platform.replies[1].text == "The boat costs 9. Bought."


async def test_without_cards_a_form_is_said_again_as_often_as_it_is_not_taken() -> None:
    async with desk(dify=asks(), DINGTALK_CARD_TEMPLATE_ID="") as there:
        there.dify.default = purchase()
        there.dify.troubles.append(Trouble(r"POST /v1/form/human_input/", Html(502), times=math.inf))
        await there.platform.say("buy a boat")
        for count in (1, 2, 3):
            await there.platform.wait_for(lambda: len(there.platform.replies) == count)  # noqa: B023 - awaited at once
            await there.platform.say("approve")
        await there.platform.wait_for(lambda: len(there.platform.replies) == 4)
        assert all(EN.form_kept in reply.text for reply in there.platform.replies[1:])


async def test_a_question_is_answered_while_another_run_waits() -> None:
    async with desk(dify=asks()) as there:
        there.dify.answers.append(purchase())
        there.dify.default = Script("It is sunny.")
        await there.platform.say("buy a boat")
        first = await waiting(there)
        await there.platform.say("How is the weather?")
        await there.ended()
        second = list(there.platform.cards.values())[1]
        assert (first.state, second.content) == (State.WRITING, "It is sunny.")
        await there.platform.click(first, "form:reject")
        await there.ended(2)
        assert there.platform.violations == []


async def test_who_quotes_the_card_of_a_form_fills_in_that_one() -> None:
    async with desk(dify=asks()) as there:
        there.dify.default = purchase()
        for number in range(2):
            await there.platform.say("buy a boat")
            await waiting(there, number=number)
        first, second = there.platform.cards.values()
        await there.platform.quote(first, "approve")
        await there.ended()
        assert (first.state, second.state) == (State.DONE, State.WRITING)
        assert there.platform.violations == []


async def test_the_next_start_shows_a_form_again_that_was_left_waiting(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'cardbot.db'}"
    async with desk(dify=asks(), CARDBOT_STORE=store) as there:
        there.dify.default = purchase()
        await there.platform.say("buy a boat")
        card = await waiting(there)
        there.leave.set()
        await there.platform.wait_for(lambda: there.platform.sockets == 0)
        assert card.state is State.WRITING
        leave = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Bot(there.settings).run, leave)
            await there.platform.connected()
            before = len(there.platform.calls)
            await there.platform.wait_for(
                lambda: any(call.path == "/v1.0/card/instances" for call in there.platform.calls[before:])
            )
            await there.platform.click(card, "form:approve")
            await there.ended()
            leave.set()
        assert card.content == "The boat costs 9. Bought."
        assert len(there.platform.cards) == 1


async def test_what_is_typed_comes_to_the_process_that_shows_the_form(tmp_path: Path) -> None:
    """DingTalk chooses a connection at random, so eight forms miss their process but for one time in 256."""
    store = f"sqlite:///{tmp_path / 'cardbot.db'}"
    async with desk(dify=asks(), CARDBOT_STORE=store) as there, anyio.create_task_group() as tasks:
        tasks.start_soon(Bot(there.settings).run, there.leave)
        await there.platform.connected(2)
        await anyio.sleep(BEAT_EVERY + 0.5)  # until each knows of the other
        there.dify.default = purchase()
        people = [f"user{number:04}" for number in range(8)]
        for person in people:
            await there.platform.say("buy a boat", user=person)
        for number in range(len(people)):
            await waiting(there, number=number)
        for person in people:
            await there.platform.say("approve", user=person)
        await there.ended(len(people))
        assert len(there.platform.cards) == len(people)
        assert all(card.content.endswith(" Bought.") for card in there.platform.cards.values())
        there.leave.set()


async def test_a_press_too_many_does_not_answer_the_next_form() -> None:
    again = Pause(then=Script(" Paid."), content="Pay 900 too?")
    async with desk(dify=asks()) as there:
        there.dify.default = purchase(then="")
        first = there.dify.default.pause
        assert first is not None
        there.dify.default = replace(there.dify.default, pause=replace(first, then=Script(" Bought.", pause=again)))
        await there.platform.say("buy a boat")
        card = await waiting(there)
        (press,) = (button.params for button in card.buttons if button.action == "form:approve")
        await there.platform.click(card, "form:approve")
        await waiting(there, "Pay 900 too?")
        await there.platform.click_late(card, press["action"])  # a screen that still shows the first
        await there.platform.click(card, "form:reject")
        await there.ended()
        handed_in = [one.body for one in there.dify.requests if one.path.startswith("/v1/form/") and one.body]
        assert [one["action"] for one in handed_in] == ["approve", "reject"]


async def test_stop_ends_a_run_that_waits() -> None:
    async with desk(dify=asks()) as there:
        there.dify.default = purchase()
        await there.platform.say("buy a boat")
        card = await waiting(there)
        await there.platform.click(card, "stop")
        await there.ended()
        assert card.content == f"The boat costs 9.\n\n{EN.stopped}"


@pytest.mark.parametrize("app", FLOWS)
async def test_a_form_that_dify_could_not_take_is_shown_again_and_taken_then(app: str) -> None:
    async with desk(dify=flow(app)) as there:
        there.dify.default = purchase(NOTE)
        there.dify.troubles.append(Trouble(r"POST /v1/form/human_input/", Html(502), times=math.inf))
        await there.platform.say("buy a boat")
        card = await waiting(there)
        await there.platform.say("a red one")
        await there.platform.wait_for(lambda: "note: a red one" in card.content)
        await there.platform.click(card, "form:reject")
        await waiting(there, EN.form_kept)
        assert "note: a red one" in card.content
        there.dify.troubles.clear()
        await there.platform.click(card, "form:approve")
        await there.ended()
        assert card.state is State.DONE
        assert card.content == "The boat costs 9. Bought."
        submitted = [request.body or {} for request in there.dify.requests if request.path.startswith("/v1/form/")]
        assert submitted[-1] == {"inputs": {"note": "a red one"}, "action": "approve", "user": submitted[-1]["user"]}
        assert there.platform.violations == []


async def test_a_form_that_dify_took_unheard_goes_on_without_another_press(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardbot.pausing.LOOK_EVERY", 0.5)
    async with desk(dify=asks()) as there:
        there.dify.default = purchase()
        there.dify.troubles += [
            Trouble(r"POST /v1/form/human_input/", Drop("reset"), done=True),
            Trouble(r"GET /v1/form/human_input/", Html(502), times=2),
        ]
        await there.platform.say("buy a boat")
        card = await waiting(there)
        await there.platform.click(card, "form:approve")
        await there.ended()
        assert card.content == "The boat costs 9. Bought."
        handed_in = [one for one in there.dify.requests if one.path.startswith("/v1/form/") and one.method == "POST"]
        assert len(handed_in) == 1


async def test_a_form_that_was_handed_in_by_mail_goes_on_in_the_card() -> None:
    async with desk(dify=asks()) as there:
        there.dify.default = Script("Draft.", pause=Pause(lambda action, _: Script(f" {action}ed."), content="Buy it?"))
        await there.platform.say("buy a boat")
        card = await waiting(there)
        async with httpx.AsyncClient(base_url=there.dify.url, headers={"Authorization": "Bearer app-test"}) as mail:
            (run,) = there.dify.runs.values()
            token = run.message.forms[0].token if run.message else ""
            body = {"inputs": {}, "action": "reject", "user": "bob"}
            assert (await mail.post(f"/form/human_input/{token}", json=body)).status_code == 200
        await there.platform.click(card, "form:approve")
        await there.ended()
        assert card.content == f"{EN.form_taken}\n\nDraft. rejected."


@pytest.mark.parametrize("app", FLOWS)
async def test_what_dify_does_when_the_time_is_over_is_typed_into_the_card(app: str) -> None:
    async with desk(dify=flow(app)) as there:
        pause = Pause(content="Buy it?", expires_in=1.0, late=Script(" Nobody came."))
        there.dify.default = Script("Draft.", pause=pause)
        await there.platform.say("buy a boat")
        await there.ended()
        assert there.finals == ["Draft. Nobody came."]
        assert there.platform.violations == []


async def test_a_run_that_dify_stops_when_the_time_is_over_ends_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardbot.dify.paused.LISTEN", 1.0)
    async with desk(dify=asks()) as there:
        there.dify.default = Script("Draft.", pause=Pause(content="Buy it?", expires_in=1.0, late="stopped"))
        await there.platform.say("buy a boat")
        await there.ended()
        assert there.finals == [f"Draft.\n\nBuy it?\n\n{EN.expired}"]


async def test_a_form_that_nobody_fills_in_ends_by_its_time() -> None:
    async with desk(dify=asks()) as there:
        there.dify.default = Script("Draft.", pause=Pause(content="Buy it?", expires_in=1.0))
        await there.platform.say("buy a boat")
        await there.ended()
        assert there.finals == [f"Draft.\n\nBuy it?\n\n{EN.expired}"]
