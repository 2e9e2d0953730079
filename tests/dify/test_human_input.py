"""Runs that wait for a person: their forms, how they go on, and what is missed meanwhile; over real sockets."""

import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from cardbot.answer import Answer, Outcome
from cardbot.dify.client import DifyClient
from cardbot.dify.handing_in import filled_in, lost
from cardbot.dify.kept import stored_messages
from cardbot.errors import DifyRejected, DifyUnreachable, FormClosed
from cardbot.events import (
    Event,
    FormRequested,
    Identified,
    MessageEnded,
    RunFinished,
    RunPaused,
    TextDelta,
    TextReplaced,
)
from cardbot.messages import Question
from cardbot.playground.dify import Pause, Script
from cardbot.playground.dify.faults import Trouble
from cardbot.playground.dify.script import Drop
from cardbot.playground.http import LoopbackServer, Request, Response
from cardbot.texts import EN
from tests.dify.recordings import steps
from tests.dify.test_apps import pair

pytestmark = pytest.mark.anyio

COMMENT = {"type": "text_input", "output_variable_name": "comment", "default": {"type": "constant", "value": "none"}}


async def paused(client: DifyClient) -> Answer:
    answer = Answer(EN)
    async with aclosing(client.ask(Question("buy a boat", "ada"))) as stream:
        async for event in stream:
            answer.apply(event)
    answer.close()
    return answer


async def all_of(stream: AsyncGenerator[Event]) -> list[Event]:
    async with aclosing(stream):
        return [event async for event in stream]


async def handed_in(
    client: DifyClient, answer: Answer, action: str = "approve", inputs: Mapping[str, str] | None = None
) -> tuple[Answer, list[Event]]:
    assert answer.form
    after = Answer(EN)
    events = await all_of(client.go_on(answer.form, action, inputs or {}, answer.ids, "ada"))
    for event in events:
        after.apply(event)
    after.close()
    return after, events


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_form_that_is_handed_in_lets_the_run_go_on(app: str) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script(
            "", pause=Pause(lambda action, inputs: Script(f"{action}: {inputs['comment']}"), inputs=[COMMENT])
        )
        answer = await paused(client)
        after, events = await handed_in(client, answer, "reject", {"comment": "no 好"})
    assert answer.outcome is Outcome.PAUSED
    assert (after.text, after.outcome) == ("reject: no 好", Outcome.SUCCEEDED)
    assert not any(isinstance(event, TextReplaced) for event in events)


async def test_a_form_says_until_when_it_may_be_handed_in() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(expires_in=600))
        answer = await paused(client)
    assert answer.form
    assert answer.form.expires_at - time.time() == pytest.approx(600, abs=5)


async def test_fields_that_nobody_filled_in_get_their_defaults() -> None:
    resolved = {"type": "text_input", "output_variable_name": "who", "default": {"type": "variable", "selector": ["a"]}}
    bare = {"type": "text_input", "output_variable_name": "note"}
    pause = Pause(
        lambda _, inputs: Script(str(dict(inputs))), inputs=[COMMENT, resolved, bare], resolved={"who": "Ada"}
    )
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=pause)
        after, _ = await handed_in(client, await paused(client))
    assert after.text == "{'comment': 'none', 'who': 'Ada', 'note': ''}"


async def test_a_form_is_handed_in_once() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause())
        answer = await paused(client)
        await handed_in(client, answer)
        with pytest.raises(FormClosed) as error:
            await handed_in(client, answer)
    assert (error.value.status, error.value.code) == (412, "human_input_form_submitted")
    assert "already been submitted" in error.value.detail


async def test_a_form_whose_time_is_over_is_closed() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(expires_in=-1))
        with pytest.raises(FormClosed, match="has expired"):
            await handed_in(client, await paused(client))


async def test_an_unknown_form_is_refused_without_its_token() -> None:
    form = FormRequested("Approve", "Buy?", (), (), "a-secret-token")
    async with pair("advanced-chat") as (_, client):
        with pytest.raises(DifyRejected) as error:
            await all_of(client.go_on(form, "approve", {}, Identified("c", "m", "t", "r"), "ada"))
    assert error.value.status == 404
    assert "a-secret-token" not in f"{error.value} {error.value.detail} {form!r}"


async def test_an_action_that_the_form_does_not_offer_is_refused_and_the_form_stays_open() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause())
        answer = await paused(client)
        with pytest.raises(DifyRejected, match="Invalid action"):
            await handed_in(client, answer, "launch")
        after, _ = await handed_in(client, answer)
    assert after.text == "Approved."


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_run_may_wait_twice(app: str) -> None:
    second = Pause(Script("Signed."), content="Please sign.", actions=("sign",))
    async with pair(app) as (dify, client):
        dify.default = Script("", pause=Pause(Script("Approved. ", pause=second)))
        answer = await paused(client)
        middle, _ = await handed_in(client, answer)
        assert (middle.outcome, middle.text) == (Outcome.PAUSED, "Approved. ")
        assert middle.form
        assert middle.form.content == "Please sign."
        after, _ = await handed_in(client, middle, "sign")
    assert after.outcome is Outcome.SUCCEEDED
    assert after.text.endswith("Signed.")
    assert next(iter(dify.runs.values())).answer == "Approved. Signed."


async def test_text_before_the_pause_is_not_told_again() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("The draft. ", pause=Pause(Script("The final text.")))
        answer = await paused(client)
        _, events = await handed_in(client, answer)
    assert answer.text == "The draft. "
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "The final text."
    assert not any(isinstance(event, TextReplaced) for event in events)


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_text_that_was_said_before_anybody_listened_is_made_up_for(app: str) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("", pause=Pause(Script("one two three four", cps=60), picked_up=0.0))
        dify.slow_to_listen = 0.1
        after, _ = await handed_in(client, await paused(client))
    assert (after.text, after.outcome) == ("one two three four", Outcome.SUCCEEDED)


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_run_that_was_over_before_anybody_listened_is_told_whole(app: str) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("", pause=Pause(Script("All of it."), picked_up=0.0))
        dify.slow_to_listen = 0.2
        after, _ = await handed_in(client, await paused(client))
    assert (after.text, after.outcome) == ("All of it.", Outcome.SUCCEEDED)


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
@pytest.mark.parametrize("end", ["cut", "reset", "eof"])
async def test_a_stream_that_breaks_after_the_form_is_completed_from_what_dify_keeps(app: str, end: Any) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("", pause=Pause(Script("one two three four", end=end, at=4, cps=200)))
        after, _ = await handed_in(client, await paused(client))
    assert (after.text, after.outcome) == ("one two three four", Outcome.SUCCEEDED)


async def test_a_failure_after_the_form_is_told() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("one two", end="error", error="[models] Error: no credit")))
        after, _ = await handed_in(client, await paused(client))
    assert after.outcome is Outcome.FAILED
    assert "no credit" in after.reason


async def test_silence_after_the_form_is_bridged_by_pings() -> None:
    async with pair("advanced-chat", ping_every=0.1) as (dify, client):
        dify.default = Script("", pause=Pause(Script("At last."), picked_up=0.6))
        after, events = await handed_in(client, await paused(client))
    assert after.text == "At last."
    assert not any(type(event).__name__ == "Waiting" for event in events)


@pytest.mark.parametrize("app", ["advanced-chat", "workflow"])
async def test_a_run_that_waits_is_found_again(app: str) -> None:
    async with pair(app) as (dify, client):
        dify.default = Script("So far. ", pause=Pause())
        answer = await paused(client)
        found = await all_of(client.recall(answer.ids, "ada"))
    assert isinstance(found[-1], RunPaused)
    if app == "advanced-chat":  # a workflow keeps no message, and its run does not show the form
        assert found == [TextReplaced("So far. "), answer.form, RunPaused()]


async def test_a_run_that_goes_on_is_not_taken_for_one_that_waits() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("So far. ", pause=Pause(Script("And the end."), picked_up=1.0))
        answer = await paused(client)
        assert answer.form
        stream = client.go_on(answer.form, "approve", {}, answer.ids, "ada")
        async with aclosing(stream):
            await anext(stream)  # it is handed in
        found = await all_of(client.recall(answer.ids, "ada"))
    assert found[-2:] == [TextReplaced("So far. And the end."), MessageEnded()]


async def test_whoever_leaves_after_handing_in_leaves_nothing_behind() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("x" * 1000, cps=100)))
        answer = await paused(client)
        with anyio.move_on_after(0.3) as scope:
            await handed_in(client, answer)
        assert scope.cancelled_caught
    # the server's exit would fail on a connection that nobody closed


async def test_a_recorded_form_goes_on_as_it_did() -> None:
    """Recorded from Dify 1.14.1: asked, paused, looked at, handed in, and the rest of the run."""
    recorded = [step for step in steps() if step.trace == "v1.14.1/chatflow-human-input"]
    bodies = {step.name.rpartition("/")[2]: step.body for step in recorded}
    script = deque(
        ["01-request", "02-get-messages-paused", "", "05-events-of-the-resumed-run", "06-get-messages-after"]
    )

    async def play(request: Request) -> Response:
        kind = "text/event-stream" if request.path.endswith(("events", "chat-messages")) else "application/json"
        return Response(200, bodies.get(script.popleft(), b"{}\n"), (("Content-Type", kind),))

    async with (
        LoopbackServer(play) as server,
        DifyClient(base_url=f"{server.url}/v1", api_key="app-test", mode="advanced-chat") as client,
    ):
        answer = await paused(client)
        after, events = await handed_in(client, answer, "approve", {"comment": "ok 好"})
    assert answer.form
    assert answer.form.expires_at == 1795247712.0
    assert (after.text, after.outcome) == ("Approved. Comment: ok 好", Outcome.SUCCEEDED)
    assert not any(isinstance(event, TextReplaced) for event in events)
    assert not script


@pytest.mark.parametrize("answer", [Response(502, b"<html>"), Response.json({"code": "not_found"}, 404)])
async def test_a_run_that_cannot_be_followed_is_looked_for_where_dify_keeps_it(answer: Response) -> None:
    """The form is handed in: no error may say that it is not."""
    kept = {"id": "m", "answer": "All of it.", "status": "normal", "extra_contents": []}

    async def play(request: Request) -> Response:
        if request.path.endswith("/events"):
            return answer
        return Response.json({} if request.method == "POST" else {"data": [kept]})

    form = FormRequested("Approve", "Buy?", (), ({"id": "approve"},), "tok")
    async with (
        LoopbackServer(play) as server,
        DifyClient(base_url=f"{server.url}/v1", api_key="app-test", mode="advanced-chat") as client,
    ):
        events = await all_of(client.go_on(form, "approve", {}, Identified("c", "m", "t", "r"), "ada"))
    assert events == [Identified("c", "m", "t", "r"), TextReplaced("All of it."), MessageEnded()]


async def test_two_runs_go_on_at_once_without_mixing() -> None:
    async with pair("workflow") as (dify, client):
        dify.default = lambda query: Script("", pause=Pause(Script(f"{query}! " * 30, cps=1000)))
        texts = {}

        async def one(name: str) -> None:
            answer = Answer(EN)
            async for event in client.ask(Question(name, name)):
                answer.apply(event)
            assert answer.form
            after = Answer(EN)
            for event in await all_of(client.go_on(answer.form, "approve", {}, answer.ids, name)):
                after.apply(event)
            texts[name] = after.text

        async with anyio.create_task_group() as tasks:
            for name in ("ada", "bob", "eve"):
                tasks.start_soon(one, name)
    assert texts == {name: f"{name}! " * 30 for name in ("ada", "bob", "eve")}


def test_a_recorded_message_that_waits_has_its_form() -> None:
    """Recorded from Dify 1.14.1, before and after the form was handed in."""
    bodies = [
        step.body for step in steps() if step.trace == "v1.14.1/chatflow-human-input" and "messages-" in step.name
    ]
    before, after = (stored_messages(body)[0] for body in bodies)
    assert (before.status, after.status) == ("paused", "normal")
    (form,) = before.forms
    assert (form.content, [action["id"] for action in form.actions]) == (
        "Please approve: buy a boat\n{{#$output.comment#}}",
        ["approve", "reject"],
    )
    assert not after.forms


# What was missed, and what is filled in.


@pytest.mark.parametrize(
    ("told", "before", "stored", "whole"),
    [
        (["a b"], "", "a b", ""),
        (["b"], "", "a b", "a b"),  # its beginning is missing
        (["b"], "a ", "a b", ""),  # that was said before
        (["c"], "a ", "a b c", "a b c"),
        (["a\n\nb"], "", "a b", ""),  # white space is counted differently
        (["b"], "", "", ""),  # nobody can say
        (["b c"], "a ", "a", ""),  # not written down yet
        ([], "a", "a", ""),
        ([], "", "a b", "a b"),
    ],
)
def test_what_was_missed(told: list[str], before: str, stored: str, whole: str) -> None:
    assert lost([TextDelta(text) for text in told], before=before, stored=stored) == whole


def test_a_replaced_answer_misses_nothing() -> None:
    assert lost([TextDelta("b"), TextReplaced("No.")], before="", stored="a b") == ""


@pytest.mark.parametrize(
    ("outputs", "whole"),
    [({"x": "b"}, ""), ({"x": "a b"}, "a b"), ({"x": "b", "y": "c"}, ""), ({"x": "z", "y": "a b"}, "a b"), ({}, "")],
)
def test_what_was_missed_of_a_workflow_is_in_its_outputs(outputs: dict[str, str], whole: str) -> None:
    assert lost([TextDelta("b"), RunFinished("succeeded", "", outputs)], before="", stored="") == whole


@pytest.mark.parametrize("default", [None, "text", {"type": "constant", "value": 5}, {"type": "variable"}, {}])
def test_a_field_with_a_strange_default_is_left_empty(default: object) -> None:
    form = FormRequested("", "", ({"output_variable_name": "x", "default": default}, {"no": "name"}), (), "")
    assert filled_in(form, {}) == {"x": ""}


async def test_actions_can_have_titles_of_their_own() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(actions={"yes": "Order it", "no": "Not now"}))
        answer = await paused(client)
        after, _ = await handed_in(client, answer, "no")
    assert answer.form
    assert [action["title"] for action in answer.form.actions] == ["Order it", "Not now"]
    assert after.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("answer", [Drop("cut"), Drop("reset")])
async def test_a_form_of_unknown_fate_is_handed_in_again_where_dify_has_it_not(answer: Drop, *, done: bool) -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("Bought.")))
        dify.troubles.append(Trouble("POST /v1/form/", answer, done=done))
        before = await paused(client)
        after, _ = await handed_in(client, before)
        assert after.text == "Bought."
        calls = [request.method for request in dify.requests if "/form/" in request.path]
        assert calls == (["POST", "GET"] if done else ["POST", "GET", "POST"])


async def test_a_form_that_stays_unanswered_is_told_as_such() -> None:
    async with pair("advanced-chat") as (dify, client):
        dify.default = Script("", pause=Pause(Script("Bought.")))
        dify.troubles.append(Trouble("POST /v1/form/", Drop("reset"), times=math.inf))
        before = await paused(client)
        with pytest.raises(DifyUnreachable):
            await handed_in(client, before)
