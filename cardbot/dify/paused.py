"""Runs that wait for a person: hands their forms in, finds out what became of them, and follows how the runs go on."""

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, repeat
from typing import Any

import anyio
import structlog

from cardbot import events
from cardbot.dify.archive import Archive
from cardbot.dify.connection import Call, Connection
from cardbot.dify.ending import Ending
from cardbot.dify.handing_in import filled_in, lost, submission
from cardbot.dify.streams import Streams
from cardbot.dify.wire import EventReader, Outputs
from cardbot.errors import DifyBroken, DifyError, DifyUnreachable, FormExpired, FormTaken, FormWaits

LATE = 60.0
"""Seconds in which Dify finds a form whose time is over. Read in its source (1.13 to 1.15): a task looks every minute,
if the admin has not set `HUMAN_INPUT_TIMEOUT_TASK_INTERVAL`."""

LISTEN = 15.0
"""Seconds to listen to a run that says nothing, before Dify is asked again how it stands. Our choice: whoever listens
to a run that is stopped for its form's sake is told nothing (read in the source)."""

LOOKS = (0.5, 1.0, 2.0, 5.0)
"""Seconds between two looks; the last one repeats. Our choice."""

log = structlog.get_logger(__name__)


class State(Enum):
    """How a form stands with Dify."""

    OPEN = "open"
    TAKEN = "taken"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class _Run:
    """One run that goes on, and what was heard of it."""

    ids: events.Identified
    user: str
    reader: EventReader
    ending: Ending
    told: list[events.Event] = field(default_factory=list)


class Paused:
    """The paused runs of one app.

    Args:
        connection: Asks Dify.
        streams: Listens to it.
        archive: What it keeps.
        outputs: Chooses those of a run that are its answer.
        patience: Seconds to wait for a run to go on.
    """

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        archive: Archive,
        *,
        outputs: Callable[[], Awaitable[Outputs]],
        patience: float,
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._archive = archive
        self._outputs = outputs
        self._patience = patience

    async def go_on(
        self, form: events.FormRequested, action: str, inputs: Mapping[str, str], ids: events.Identified, user: str
    ) -> AsyncGenerator[events.Event]:
        """Hand a form in and yield what happens from then on; see `DifyClient.go_on`."""
        run, before = await self._run(ids, user), await self._archive.answer(ids, user)
        await self._hand_in(form, submission(action, filled_in(form, inputs), user))
        try:
            async with aclosing(self._listen(form, run)) as stream:
                async for event in stream:
                    yield event
        except DifyError as exc:  # the form is handed in: the run goes on without a listener
            log.warning("dify_run_not_followed", error=str(exc))
        async with aclosing(self._rest(run, before)) as rest:
            async for event in rest:
                yield event

    async def catch_up(
        self, form: events.FormRequested, ids: events.Identified, user: str
    ) -> AsyncGenerator[events.Event]:
        """Yield how a run goes on whose form nobody here saw the end of; see `DifyClient.catch_up`."""
        late = await self._closed(form) is State.LATE
        began = anyio.current_time()
        deadline = began + self._patience + (LATE if late else 0.0)
        for pause in chain(LOOKS, repeat(LOOKS[-1])):
            run, before = await self._run(ids, user), await self._archive.answer(ids, user)
            if await self._is_elsewhere(form, run):
                break
            try:
                async with aclosing(self._listen(form, run, deadline)) as stream:
                    async for event in stream:
                        yield event
            except DifyError as exc:
                log.warning("dify_run_not_followed", error=str(exc))
            if run.told or await self._is_elsewhere(form, run):
                break
            if anyio.current_time() + pause > deadline:
                raise FormWaits("The form is closed, and its run has not gone on.")
            yield events.Waiting(anyio.current_time() - began)
            await anyio.sleep(pause)
        async with aclosing(self._rest(run, before)) as rest:
            async for event in rest:
                yield event

    # The form.

    async def _hand_in(self, form: events.FormRequested, body: Mapping[str, Any]) -> None:
        """Hand it in; once more if nobody knows what became of it, and Dify says that it has not got it."""
        try:
            await self._connection.request("POST", _path(form), body=body)
        except (DifyUnreachable, DifyBroken) as exc:
            if isinstance(exc, DifyUnreachable) and not exc.sent:
                raise
            if await self.state(form) is State.TAKEN:
                return
            with suppress(FormTaken):  # by the first, which was slow
                await self._connection.request("POST", _path(form), body=body)

    async def state(self, form: events.FormRequested) -> State:
        """Ask how it stands: nothing changes by that. Raises `DifyError`."""
        try:
            await self._connection.request("GET", _path(form))
        except FormTaken:
            return State.TAKEN
        except FormExpired:
            return State.LATE
        return State.OPEN

    async def _closed(self, form: events.FormRequested) -> State:
        """The same, of a form that is not open. Raises `FormWaits` if it is, `DifyError` if nobody can say."""
        waited = 0.0
        for pause in chain(LOOKS, repeat(LOOKS[-1])):
            refusal: DifyError = FormWaits("The form is open.")
            try:
                if (state := await self.state(form)) is not State.OPEN:
                    return state
                if not 0 < form.expires_at <= time.time():  # else Dify's clock is behind ours
                    raise refusal
            except (DifyUnreachable, DifyBroken) as exc:
                refusal = exc
            if waited + pause > self._patience:
                raise refusal
            await anyio.sleep(pause)
            waited += pause
        raise AssertionError("the pauses do not end")

    # The run.

    async def _run(self, ids: events.Identified, user: str) -> _Run:
        run = _Run(
            ids, user, EventReader(outputs=await self._outputs(), ids=ids, base=self._connection.address), Ending()
        )
        run.ending.saw(ids)
        return run

    async def _listen(
        self, form: events.FormRequested, run: _Run, deadline: float = math.inf
    ) -> AsyncGenerator[events.Event]:
        """What the run says from now on, until there is nothing to be heard here, or nothing was by the deadline.

        Raises a `DifyError` before the first event.
        """
        call = Call("GET", f"workflow/{run.ids.workflow_run_id}/events", {"user": run.user})
        async with aclosing(self._streams.follow(call, run.reader, run.ending, quiet=LISTEN)) as stream:
            async for event in stream:
                if not isinstance(event, events.Waiting):
                    if not run.told:
                        yield run.ids  # not before somebody listens; the stream names them only where they change
                    run.told.append(event)
                yield event
                if not run.told and (anyio.current_time() >= deadline or await self._is_elsewhere(form, run)):
                    return

    async def _is_elsewhere(self, form: events.FormRequested, run: _Run) -> bool:
        """Whether there is nothing to listen to: the run is over, or waits for another form."""
        try:
            match await self._archive.run(run.ids.workflow_run_id):
                case events.RunFinished():
                    return True
                case events.RunPaused() if message := await self._archive.message(run.ids, run.user):
                    others = [other for other in message.forms if other.token != form.token]
                    return any(not 0 < other.expires_at <= time.time() for other in others)
        except DifyError as exc:
            log.warning("dify_run_not_looked_up", error=str(exc))
        return False

    async def _rest(self, run: _Run, before: str) -> AsyncGenerator[events.Event]:
        """What was missed: the run goes on whether or not anybody listens."""
        ids, user = run.reader.ids, run.user
        if run.ending.grace is None:
            yield ids
            async with aclosing(self._archive.recall(ids, user)) as kept:
                async for event in kept:
                    yield event
        elif whole := lost(run.told, before=before, stored=await self._archive.answer(ids, user)):
            yield events.TextReplaced(whole)


def _path(form: events.FormRequested) -> str:
    return f"form/human_input/{form.token}"
