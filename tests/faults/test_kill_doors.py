"""`kill -9` and SIGTERM while a form waits, an answer is being stopped, a file is brought or a command is answered."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from cardbot.playground.dify import FakeDify, Script
from cardbot.playground.dify.faults import Trouble
from cardbot.playground.dify.script import Hang
from cardbot.playground.platform import Platform
from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.downloads import Delivery
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.faults import SlowAnswer
from cardbot.texts import EN
from tests.desk import UPDATE, WEBHOOK
from tests.faults.catalogue import App, answer_to, script
from tests.faults.doors import (
    FORM,
    NOT_FETCHED,
    PRESS,
    SAID,
    UPLOADS,
    Act,
    approved,
    asks,
    bought,
    form_shown,
    message,
    remarked,
    stock,
    stopped,
)
from tests.faults.judge import Ends, Sight, objections, questions, sights, whole
from tests.faults.killing import SPEED
from tests.faults.processes import START, cardbot_run, kill, settings

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

ANN = "ann"


@dataclass(frozen=True, slots=True)
class Town:
    """Where one bot follows another, with the same store."""

    platform: Platform
    dify: FakeDify
    environment: dict[str, str]
    folder: Path

    @asynccontextmanager
    async def bot(self) -> AsyncGenerator[Process]:
        """One of them, connected."""
        async with cardbot_run(self.environment, self.folder) as process:
            await self.platform.wait_for(lambda: self.platform.connections, timeout=START)
            yield process

    async def send(self, act: Act) -> None:
        """Ann does this."""
        await self.platform.push(message(act, ANN))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what the simulators need not announce."""
        with anyio.fail_after(START):
            while not condition():  # noqa: ASYNC110 - see above
                await anyio.sleep(0.01)

    async def settled(self) -> None:
        """Until Ann has her answer."""
        await self.until(lambda: self.sight.settled)

    async def card(self) -> Card:
        """The card, once it shows the form with its buttons."""
        await self.until(lambda: any(map(form_shown, self.platform.cards.values())))
        (card,) = self.platform.cards.values()
        return card

    async def press(self, card: Card) -> None:
        """Ann approves, by the button of the form that the card shows."""
        await self.platform.click(card, PRESS, user=ANN)

    async def hand_in(self) -> Card:
        """Ann has a form shown and approves; returns its card once that has come to Dify."""
        await self.send("form")
        card = await self.card()
        await self.press(card)
        await self.until(lambda: self.handed_in)
        return card

    async def answered(self, api: str, *, after: int) -> None:
        """Until a call of this API, after so many calls, had its answer."""
        path = api.partition(" ")[2]
        await self.until(lambda: any(call.path == path and call.status for call in self.platform.calls[after:]))

    async def shown_again(self, before: int) -> None:
        """Until the form's buttons were set anew, after so many calls."""
        await self.answered(UPDATE, after=before)

    @property
    def sight(self) -> Sight:
        return sights(self.platform, [ANN])[ANN]

    @property
    def handed_in(self) -> int:
        """How often a form came to Dify."""
        return sum("/form/human_input/" in one.path and one.method == "POST" for one in self.dify.requests)

    def judge(self, ends: Ends, *, asked: int = 1) -> None:
        """Exactly one final state, of these; and so many questions at Dify."""
        assert objections(self.sight, ends) == []
        assert len(questions(self.dify)) == asked
        assert self.platform.violations == []


@asynccontextmanager
async def town(folder: Path, app: App = "advanced-chat") -> AsyncGenerator[Town]:
    inputs: list[Json] = [{"paragraph": {"variable": "query", "required": True}}] if app == "workflow" else []
    async with (
        Platform(latency=0.02) as platform,
        FakeDify(app, linger=0, file_upload=UPLOADS, inputs=inputs) as dify,
    ):
        stock(platform)
        dify.default = asks(ANN, then=bought(ANN, cps=SPEED))
        environment = settings(platform, dify, f"sqlite:///{folder / 'cardbot.db'}", CARDBOT_DIFY_IDLE_SECONDS="8")
        yield Town(platform, dify, environment, folder)


async def leave(process: Process) -> None:
    """As a supervisor asks for it."""
    process.terminate()
    assert await process.wait() == 0


@pytest.mark.parametrize("end", [kill, leave])
async def test_a_form_that_waits_is_pressed_after_the_next_start(
    end: Callable[[Process], Awaitable[None]], tmp_path: Path
) -> None:
    async with town(tmp_path) as there:
        async with there.bot() as process:
            await there.send("form")
            card = await there.card()
            await end(process)
        assert there.sight.spinning, "the form waits no more"
        before = len(there.platform.calls)
        async with there.bot() as process:
            await there.shown_again(before)
            await there.press(card)
            await there.settled()
            await leave(process)
        there.judge(approved(ANN))
        assert (there.handed_in, len(there.platform.cards)) == (1, 1)


async def test_a_form_that_no_next_start_would_find_ends_with_its_bot(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        there.environment["CARDBOT_STORE"] = "memory:"
        async with there.bot() as process:
            await there.send("form")
            await there.card()
            await leave(process)
        there.judge(whole(f"{SAID}\n\n{FORM}\n\n{EN.paused}"))


async def test_a_form_is_typed_after_the_next_start(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        async with there.bot() as process:
            await there.send("form")
            await there.card()
            await kill(process)
        before = len(there.platform.calls)
        async with there.bot():
            await there.shown_again(before)
            await there.platform.say("Approve", user=ANN)
            await there.settled()
        there.judge(approved(ANN))
        assert there.handed_in == 1


async def test_a_bot_killed_right_after_the_form_was_handed_in_finds_what_followed(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        async with there.bot() as process:
            await there.hand_in()
            await kill(process)
        async with there.bot():
            await there.settled()
        there.judge(approved(ANN))
        assert there.handed_in == 1


async def test_a_bot_killed_amid_what_follows_the_form_finds_the_rest(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        async with there.bot() as process:
            await there.send("form")
            card = await there.card()
            await there.press(card)
            await there.until(lambda: f"{ANN}.3" in card.content)
            await kill(process)
        async with there.bot():
            await there.settled()
        there.judge(approved(ANN))
        assert there.handed_in == 1


@pytest.mark.parametrize("end", [kill, leave])
@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_form_on_its_way_at_the_end_of_a_bot_is_shown_again_where_dify_has_not_got_it(
    app: App, end: Callable[[Process], Awaitable[None]], tmp_path: Path
) -> None:
    async with town(tmp_path, app) as there:
        there.dify.troubles.append(Trouble("POST /v1/form/", Hang(), times=math.inf))
        there.environment["CARDBOT_DRAIN_SECONDS"] = "0"
        async with there.bot() as process:
            card = await there.hand_in()
            await end(process)
        assert there.sight.spinning, "the form waits no more"
        there.dify.troubles.clear()
        tries = there.handed_in
        async with there.bot():
            await there.until(lambda: form_shown(card) and EN.form_kept in card.content)
            await there.press(card)
            await there.settled()
        there.judge(approved(ANN))
        assert there.handed_in == tries + 1


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_form_on_its_way_at_a_kill_is_followed_where_dify_has_it(app: App, tmp_path: Path) -> None:
    async with town(tmp_path, app) as there:
        there.dify.troubles.append(Trouble("POST /v1/form/", Hang(), done=True))
        async with there.bot() as process:
            await there.hand_in()
            await kill(process)
        async with there.bot():
            await there.settled()
        there.judge(approved(ANN))
        assert there.handed_in == 1


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_form_whose_time_ends_while_no_bot_runs_is_followed_by_the_next(app: App, tmp_path: Path) -> None:
    async with town(tmp_path, app) as there:
        there.dify.default = asks(ANN, expires_in=8.0, late=bought(ANN, cps=SPEED))
        async with there.bot() as process:
            await there.send("form")
            await there.until(lambda: there.sight.settled or any(FORM in text for text in there.sight.spinning))
            await kill(process)
        await there.until(lambda: all(run.status == "succeeded" for run in there.dify.runs.values()))
        async with there.bot():
            await there.settled()
        there.judge(approved(ANN))
        assert there.handed_in == 0


@pytest.mark.parametrize("end", [kill, leave])
@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
async def test_an_answer_whose_stop_is_under_way_ends_once(
    app: App, end: Callable[[Process], Awaitable[None]], tmp_path: Path
) -> None:
    async with town(tmp_path, app) as there:
        there.dify.default = script(ANN, cps=SPEED)
        there.dify.troubles.append(Trouble(r"POST /v1/\S+/stop$", Hang()))
        async with there.bot() as process:
            await there.send("stop")
            await there.until(lambda: any(card.frames and card.buttons for card in there.platform.cards.values()))
            (card,) = there.platform.cards.values()
            await there.platform.click(card, "stop", user=ANN)
            await there.until(lambda: any(one.path.endswith("/stop") for one in there.dify.requests))
            await end(process)
        async with there.bot():
            await there.settled()
        text = answer_to(ANN)
        interrupted = {end.replace(EN.stopped, EN.interrupted): state for end, state in stopped(text).items()}
        there.judge({**stopped(text), **interrupted})


@pytest.mark.parametrize("once", [False, True], ids=["a code for ever", "a code for one address"])
async def test_a_file_under_way_at_a_kill_is_fetched_again(*, once: bool, tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        there.dify.default = Script(answer_to(ANN))
        there.platform.downloads.once = once
        there.platform.deliveries["picture"] = Delivery(pause=0.2)
        async with there.bot() as process:
            await there.send("picture")
            await there.until(lambda: any(call.path == "/files" for call in there.platform.calls))
            await kill(process)
        del there.platform.deliveries["picture"]
        async with there.bot():
            await there.settled()
        there.judge(remarked(NOT_FETCHED, answer_to(ANN)) if once else whole(answer_to(ANN)))
        assert len(there.dify.files) == (0 if once else 1)


@pytest.mark.parametrize("command", ["/new", "/help"])
async def test_the_answer_to_a_command_is_read_once(command: str, tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        there.platform.faults.add(WEBHOOK, SlowAnswer(START))  # the bot is gone by then, however busy the machine
        async with there.bot() as process:
            await there.platform.say(command, user=ANN)
            await there.until(lambda: there.platform.replies)
            await kill(process)
        before = len(there.platform.calls)
        async with there.bot() as process:
            await there.answered(WEBHOOK, after=before)
            await leave(process)
        assert len(there.sight.replies) == 1
        assert there.sight.cards == ()
        assert questions(there.dify) == []
        assert there.platform.violations == []
