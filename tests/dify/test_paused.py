"""Runs whose form nobody here saw the end of, over real sockets: handed in elsewhere, of unknown fate, or late."""

import math
import time
from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from cardbot.answer import Answer, Outcome
from cardbot.dify import paused as paused_runs
from cardbot.dify.client import DifyClient
from cardbot.errors import (
    DifyBroken,
    DifyRejected,
    DifyUnreachable,
    FormExpired,
    FormRefused,
    FormTaken,
    FormWaits,
)
from cardbot.events import Event, FormRequested, Identified, RunFinished, RunPaused, TextDelta
from cardbot.playground.dify import FakeDify, Pause, Script
from cardbot.playground.dify.faults import Trouble
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse
from cardbot.playground.dify.waiting import Form
from cardbot.texts import EN
from tests.dify.test_apps import pair
from tests.dify.test_human_input import all_of, paused

pytestmark = pytest.mark.anyio

APPS = ["advanced-chat", "workflow"]
FORM, EVENTS = r"POST /v1/form/human_input/", r"GET /v1/workflow/\S+/events$"
LOOK = r"GET /v1/form/human_input/"
BROKEN = Refuse(500, "internal_server_error", "Internal Server Error")


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dify looks for late forms sooner than once a minute here."""
    monkeypatch.setattr(paused_runs, "LATE", 0.0)
    monkeypatch.setattr(paused_runs, "LISTEN", 1.0)
    monkeypatch.setattr(paused_runs, "LOOKS", (0.1,))


def form_of(answer: Answer) -> FormRequested:
    assert answer.form
    return answer.form


async def somebody_else(dify: FakeDify, form: FormRequested, action: str) -> None:
    """Hands the form in without this client, as from an e-mail."""
    async with DifyClient(base_url=dify.url, api_key="app-test") as client:
        await client._connection.request(
            "POST", f"form/human_input/{form.token}", body={"inputs": {}, "action": action, "user": "bob"}
        )


async def ended(dify: FakeDify, status: str) -> None:
    """Until the only run has this status."""
    (run,) = dify.runs.values()
    with anyio.fail_after(20):
        while run.status != status:  # noqa: ASYNC110 - the simulator announces nothing
            await anyio.sleep(0.01)


def form_at(dify: FakeDify) -> Form:
    """The last form that the simulator waits for."""
    (run,) = dify.runs.values()
    assert run.message
    return run.message.forms[-1]


async def heard(dify: FakeDify) -> None:
    """Until somebody listens to the only run."""
    (run_id,) = dify.runs
    with anyio.fail_after(20):
        while not dify._human._waiting.listeners(run_id)._queues:  # noqa: ASYNC110 - the simulator announces nothing
            await anyio.sleep(0.01)


def folded(answer: Answer, happens: Iterable[Event], *, late: str = "") -> Answer:
    """The answer as it goes on."""
    if late:
        answer.expire(late)
    else:
        answer.go_on("")
    for event in happens:
        answer.apply(event)
    answer.close()
    return answer


def handed_in(dify: FakeDify) -> int:
    return sum("/form/human_input/" in one.path and one.method == "POST" for one in dify.requests)


async def caught_up(client: DifyClient, answer: Answer) -> list[Event]:
    return await all_of(client.catch_up(form_of(answer), answer.ids, "ada"))


# What becomes of a form that is handed in.


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Html(502), DifyUnreachable),
        (Html(503), DifyUnreachable),
        (Drop("reset"), DifyUnreachable),
        (Drop("cut"), DifyUnreachable),
        (BROKEN, DifyBroken),
    ],
    ids=["502", "503", "reset", "cut", "500"],
)
async def test_a_form_that_could_not_be_handed_in_is_open_and_can_be(app: Any, trouble: Any, error: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Bought.")))
        answer = await paused(client)
        dify.troubles.append(Trouble(FORM, trouble, times=math.inf))
        with pytest.raises(error):
            await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
        assert await client.waits_for(form_of(answer))
        dify.troubles.clear()
        events = await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
    assert folded(answer, events).text == "Draft. Bought."


async def test_a_dify_that_is_not_there_leaves_the_form_open() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause())
        answer, address = await paused(client), dify.url
    async with DifyClient(base_url=address, api_key="app-test", mode="advanced-chat") as client:
        with pytest.raises(DifyUnreachable) as error:
            await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
    assert not error.value.sent


async def test_a_form_that_dify_took_without_an_answer_is_not_handed_in_again() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("Bought.")))
        dify.troubles.append(Trouble(FORM, BROKEN, done=True))
        answer = await paused(client)
        events = await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
        assert handed_in(dify) == 1
    assert folded(answer, events).text == "Bought."


async def test_a_form_whose_fate_nobody_tells_is_told_as_such_and_found_taken() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("Bought.")))
        dify.troubles += [Trouble(FORM, Drop("reset"), done=True), Trouble(LOOK, Html(502))]
        answer = await paused(client)
        with pytest.raises(DifyUnreachable):
            await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
        assert not await client.waits_for(form_of(answer))
        assert folded(answer, await caught_up(client, answer)).text == "Bought."
        assert handed_in(dify) == 1


async def test_what_a_form_lacks_is_a_refusal_that_leaves_it_open() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause())
        answer = await paused(client)
        with pytest.raises(FormRefused) as error:
            await all_of(client.go_on(form_of(answer), "launch", {}, answer.ids, "ada"))
        assert error.value.detail == "Invalid action: launch"
        assert await client.waits_for(form_of(answer))


async def test_a_form_of_somebody_else_and_a_late_one_are_told_apart() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause())
        first = await paused(client)
        await somebody_else(dify, form_of(first), "approve")
        with pytest.raises(FormTaken):
            await all_of(client.go_on(form_of(first), "approve", {}, first.ids, "ada"))
        dify.default = Script("", pause=Pause(expires_in=-1))
        second = await paused(client)
        with pytest.raises(FormExpired):
            await all_of(client.go_on(form_of(second), "approve", {}, second.ids, "ada"))


# Catching up.


@pytest.mark.parametrize("app", APPS)
async def test_a_form_that_is_open_waits(app: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("", pause=Pause())
        answer = await paused(client)
        with pytest.raises(FormWaits):
            await caught_up(client, answer)
        assert handed_in(dify) == 0


@pytest.mark.parametrize("app", APPS)
async def test_a_run_that_somebody_else_lets_go_on_is_followed_to_its_end(app: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Bought.", cps=100), picked_up=0.5))
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        events = await caught_up(client, answer)
    assert folded(answer, events).text == "Draft. Bought."


@pytest.mark.parametrize("app", APPS)
async def test_a_run_that_is_over_is_told_whole(app: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Bought.")))
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        await ended(dify, "succeeded")
        after = folded(answer, await caught_up(client, answer))
    assert (after.text, after.outcome) == ("Draft. Bought.", Outcome.SUCCEEDED)


@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
@pytest.mark.parametrize("app", APPS)
async def test_a_run_whose_stream_breaks_while_it_is_caught_up_with_is_told_whole(app: Any, end: Any) -> None:
    async with pair(app) as (dify, client):
        then = Script(" one two three", end=end, at=5, cps=200)
        dify.default = Script("Draft.", pause=Pause(then, picked_up=0.5))
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        after = folded(answer, await caught_up(client, answer))
    assert (after.text, after.outcome) == ("Draft. one two three", Outcome.SUCCEEDED)


async def test_the_next_form_of_a_run_that_waits_again_is_found() -> None:
    second = Pause(Script("Signed."), content="Please sign.", actions=("sign",))
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Approved.", pause=second)))
        answer = await paused(client)
        (run,) = dify.runs.values()
        await somebody_else(dify, form_of(answer), "approve")
        with anyio.fail_after(20):
            while len(run.message.forms if run.message else ()) < 2:  # noqa: ASYNC110 - see above
                await anyio.sleep(0.01)
        after = folded(answer, await caught_up(client, answer))
    assert form_of(after).content == "Please sign."
    assert (after.text, after.outcome) == ("Draft. Approved.", Outcome.PAUSED)


async def test_the_next_form_is_found_though_the_run_waited_for_it_before_anybody_listened() -> None:
    second = Pause(Script("Signed."), content="Please sign.", actions=("sign",))
    async with pair("advanced-chat", ping_every=0.1) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Approved.", pause=second), picked_up=0.0))
        dify.slow_to_listen = 1.0
        answer = await paused(client)
        events = await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
    assert form_of(folded(answer, events)).content == "Please sign."


@pytest.mark.parametrize("answer_of_events", [Html(502), Drop("reset"), Refuse(404, "not_found", "Run not found")])
async def test_a_run_that_cannot_be_listened_to_for_a_while_is_listened_to_later(answer_of_events: Any) -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Bought."), picked_up=0.5))
        dify.troubles.append(Trouble(EVENTS, answer_of_events, times=2))
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        after = folded(answer, await caught_up(client, answer))
    assert (after.text, after.outcome) == ("Draft. Bought.", Outcome.SUCCEEDED)


async def test_a_form_that_cannot_be_looked_up_for_a_while_is_looked_up_later() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("Draft.", pause=Pause(Script(" Bought.")))
        dify.troubles += [Trouble(LOOK, Html(502)), Trouble(LOOK, BROKEN), Trouble(LOOK, Drop("reset"))]
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        assert folded(answer, await caught_up(client, answer)).text == "Draft. Bought."


@pytest.mark.parametrize("app", APPS)
async def test_a_form_that_is_taken_and_whose_run_never_goes_on_waits(app: Any) -> None:
    """No worker picks it up. The listener's pings are no sign of life of the run."""
    async with pair(app, ping_every=0.2) as (dify, client):
        dify.default = Script("", pause=Pause(picked_up=1e6))
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        with pytest.raises(FormWaits):
            await caught_up(client, answer)


async def test_an_unknown_form_is_a_refusal_at_once() -> None:
    async with pair("advanced-chat") as (dify, client):
        form = FormRequested("Approve", "Buy?", (), (), "a-secret-token")
        with pytest.raises(DifyRejected) as error:
            await all_of(client.catch_up(form, Identified("c", "m", "t", "r"), "ada"))
        assert error.value.status == 404
        assert len(dify.requests) == 1
    assert "a-secret-token" not in f"{error.value} {error.value.detail}"


# Forms whose time is over.


@pytest.mark.parametrize("app", APPS)
async def test_the_branch_of_a_late_form_is_followed_from_its_first_word(app: Any) -> None:
    async with pair(app, ping_every=0.1) as (dify, client):
        pause = Pause(late=Script(" Nobody came.", cps=200), expires_in=-1, looked_for=1e6)
        dify.default = Script("Draft.", pause=pause)
        answer = await paused(client)
        events: list[Event] = []

        async def follow() -> None:
            events.extend(await caught_up(client, answer))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await heard(dify)
            dify._human.end_its_time(form_at(dify))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == " Nobody came."
    assert folded(answer, events, late="Buy it?").markdown == "Draft. Nobody came."


@pytest.mark.parametrize("app", APPS)
async def test_the_branch_of_a_late_form_that_is_over_is_told_whole(app: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(late=Script(" Nobody came."), expires_in=-1))
        answer = await paused(client)
        await ended(dify, "succeeded")
        after = folded(answer, await caught_up(client, answer), late="Buy it?")
    assert after.markdown == "Draft. Nobody came."


@pytest.mark.parametrize("app", APPS)
async def test_a_late_run_that_says_nothing_more_ends_with_its_form(app: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(expires_in=-1))
        after = folded(answer := await paused(client), await caught_up(client, answer), late="Buy it?")
    assert after.markdown == f"Draft.\n\nBuy it?\n\n{EN.expired}"


@pytest.mark.parametrize("app", APPS)
async def test_a_late_run_that_dify_stops_without_a_word_is_found_stopped(app: Any) -> None:
    async with pair(app, ping_every=0.2) as (dify, client):
        dify.default = Script("Draft.", pause=Pause(late="stopped", expires_in=-1, looked_for=1.5))
        answer = await paused(client)
        events = await caught_up(client, answer)
    assert [event for event in events if isinstance(event, RunFinished | RunPaused)] == [
        RunFinished("stopped", "Human input global timeout at node hi", {})
    ]
    assert folded(answer, events, late="Buy it?").markdown == f"Draft.\n\nBuy it?\n\n{EN.expired}"


@pytest.mark.parametrize("app", APPS)
async def test_a_late_run_that_dify_leaves_alone_waits(app: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("", pause=Pause(late="waits", expires_in=-1))
        answer = await paused(client)
        with pytest.raises(FormWaits):
            await caught_up(client, answer)


async def test_a_form_that_dify_finds_late_after_us_is_waited_for() -> None:
    """Dify names whole seconds, and its clock may be behind."""
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("Draft.", pause=Pause(late=Script(" Nobody came."), expires_in=2.0))
        answer = await paused(client)
        early = FormRequested("", "", (), (), form_of(answer).token, time.time())
        events = await all_of(client.catch_up(early, answer.ids, "ada"))
    assert folded(answer, events).text == "Draft. Nobody came."


async def test_a_branch_that_fails_is_told() -> None:
    late = Script(" Nobody", end="error", error="[models] Error: no credit")
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("Draft.", pause=Pause(late=late, expires_in=-1))
        answer = await paused(client)
        after = folded(answer, await caught_up(client, answer), late="Buy it?")
    assert after.outcome is Outcome.FAILED
    assert "no credit" in after.markdown


async def test_the_form_of_a_late_run_is_not_taken_for_one_that_waits() -> None:
    """The message is still `paused` and its form not submitted, while the run goes on."""
    async with pair("advanced-chat") as (dify, client):
        late = Script(" Nobody came.", first=1.5)
        dify.default = Script("Draft.", pause=Pause(late=late, expires_in=-1))
        answer = await paused(client)
        await ended(dify, "running")
        found = await all_of(client.recall(answer.ids, "ada"))
    assert not any(isinstance(event, FormRequested | RunPaused) for event in found)
    assert folded(answer, found).text == "Draft. Nobody came."


async def test_whoever_leaves_while_catching_up_leaves_nothing_behind() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(picked_up=1e6))
        answer = await paused(client)
        await somebody_else(dify, form_of(answer), "approve")
        with anyio.move_on_after(0.5) as scope:
            await caught_up(client, answer)
        assert scope.cancelled_caught
    # the server's exit would fail on a connection that nobody closed


async def test_two_runs_are_caught_up_with_at_once_without_mixing() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = lambda query: Script(query, pause=Pause(Script(f" {query}!" * 9, cps=500), picked_up=0.3))
        texts: list[str] = []

        async def one() -> None:
            answer = await paused(client)
            await somebody_else(dify, form_of(answer), "approve")
            texts.append(folded(answer, await caught_up(client, answer)).text)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
    assert texts == ["buy a boat" + " buy a boat!" * 9] * 3


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failure_of_dify_itself_is_told_apart_from_a_refusal(status: int) -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.troubles.append(Trouble("GET /v1/info", Refuse(status, "internal_server_error", "no"), times=math.inf))
        with pytest.raises(DifyBroken):
            await client.info()


async def test_a_form_that_hangs_is_asked_after_and_not_handed_in_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is with Dify, which says nothing: a second one would race with it."""
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("Bought.")))
        dify.troubles.append(Trouble(FORM, Hang(), done=True))
        answer = await paused(client)
        request = client._connection.request

        async def in_haste(method: str, path: str, **rest: Any) -> Any:
            return await request(method, path, **{**rest, "patience": 0.5 if method == "POST" else 10.0})

        monkeypatch.setattr(client._connection, "request", in_haste)
        events = await all_of(client.go_on(form_of(answer), "approve", {}, answer.ids, "ada"))
        assert handed_in(dify) == 1
    assert folded(answer, events).text == "Bought."
