"""Asks a Dify app: streams answers, stops them, hands in forms, and finds again what a broken stream lost."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
import structlog

from cardbot import events
from cardbot.answer import Answer
from cardbot.dify import uploads
from cardbot.dify.acquaintance import Acquaintance
from cardbot.dify.again import Again
from cardbot.dify.app import App, app_of
from cardbot.dify.archive import Archive
from cardbot.dify.asking import Asking
from cardbot.dify.body import Form, body_of
from cardbot.dify.connection import Call, Connection
from cardbot.dify.ending import Ending
from cardbot.dify.fields import parsed
from cardbot.dify.kept import StoredMessage
from cardbot.dify.kinds import Kind, kind_of
from cardbot.dify.outputs import answering
from cardbot.dify.paused import Paused, State
from cardbot.dify.streams import SILENCE, TOTAL_TIMEOUT, Streams
from cardbot.dify.whole import WholeAnswer, folded, whole_answer
from cardbot.dify.wire import EventReader, Outputs, all_of
from cardbot.errors import ConversationGone, DifyBusy, DifyError, DifyUnreachable, FileRefused
from cardbot.inputs import constants
from cardbot.messages import Question, Upload
from cardbot.ports import Download
from cardbot.settings import DifySettings
from cardbot.texts import EN

SCRIPT_USER = "script"
"""Dify's `user` of a question that is a mere text. Our choice."""

log = structlog.get_logger(__name__)


class DifyClient:
    """One Dify app, named by its key. Use as an async context manager; implements `ports.Source`.

    Args:
        base_url: Dify's service API, with `/v1`.
        api_key: The app's key.
        idle_seconds: Silence after which an answer is given up.
        silence: Silence that shows as waiting.
        mode: Dify's word for the kind of app; empty: as `GET /info` says.
        form: How the settings fill in the app's inputs.
        output: The output of a workflow that is its answer; empty: the likeliest.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        idle_seconds: float = 120.0,
        silence: float = SILENCE,
        mode: str = "",
        form: Form | None = None,
        output: str = "",
    ) -> None:
        self._connection = Connection(base_url=base_url, api_key=api_key)
        self._streams = Streams(self._connection, idle_seconds=idle_seconds, silence=silence)
        self._archive = Archive(
            self._connection,
            outputs=self._outputs,
            patience=idle_seconds,
            is_over=lambda: self._streams.closing,
        )
        self._paused = Paused(
            self._connection, self._streams, self._archive, outputs=self._outputs, patience=idle_seconds
        )
        self._stack = AsyncExitStack()
        self._idle_seconds = idle_seconds
        self._mode = mode
        self.form = form or Form()
        """How the settings fill in the app's inputs."""
        self._output = output
        self._known = Acquaintance(self.info)

    @classmethod
    def of(cls, settings: DifySettings) -> Self:
        """The app that these settings name."""
        return cls(
            base_url=settings.dify_base_url,
            api_key=settings.dify_api_key.get_secret_value(),
            idle_seconds=settings.dify_idle_seconds,
            mode=settings.dify_app_mode,
            form=Form(constants(settings.dify_inputs), settings.dify_query_input),
            output=settings.dify_output,
        )

    @property
    def fingerprint(self) -> str:
        """Tells apps apart without telling the key: conversation ids of one app mean nothing to another."""
        return self._connection.fingerprint

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._connection)
        await self._stack.enter_async_context(self._streams)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    # Questions.

    def ask(self, question: Question | str) -> Asking:
        """Ask once: `async for` yields what happens until the answer has ended, `await` returns the whole answer.

        Close the generator when done with it. A text is a question of the user `script`, without a conversation.

        Raises:
            DifyError: when the question was refused or could not be sent; as a stream, before the first event.
            AnswerFailed: a `DifyError`, when the answer that was awaited failed.
        """
        if isinstance(question, str):
            question = Question(question, SCRIPT_USER)
        return Asking(partial(self._stream, question), partial(self._whole, question))

    async def stop(self, task_id: str, user: str) -> None:
        """End a running answer. Dify says success whatever happens, and heeds only the user who asked."""
        kind = await self._kind()
        await self._connection.request("POST", kind.stopped_at.format(task=task_id), body={"user": user})

    def go_on(
        self,
        form: events.FormRequested,
        action: str,
        inputs: Mapping[str, str],
        ids: events.Identified,
        user: str,
    ) -> AsyncGenerator[events.Event]:
        """Hand in a form that a paused run waits for, and yield what happens from then on.

        Fields without a value in `inputs` get their defaults. The run goes on whether or not anybody follows, so what
        is missed is looked for at the end.

        Raises:
            FormTaken: when the form was handed in before.
            FormExpired: when its time is over.
            FormRefused: when it is not filled in as the run wants it.
            DifyError: before the first event, when it was not taken for another reason, or nobody knows whether it was.
        """
        return self._paused.go_on(form, action, inputs, ids, user)

    async def waits_for(self, form: events.FormRequested) -> bool:
        """Whether this form may still be handed in. Raises `DifyError`."""
        return await self._paused.state(form) is State.OPEN

    def catch_up(self, form: events.FormRequested, ids: events.Identified, user: str) -> AsyncGenerator[events.Event]:
        """Yield how a run goes on whose form nobody here saw the end of: it may be handed in, or its time may be over.

        Raises:
            FormWaits: when the run still waits for it, or does not go on in time.
            DifyError: before the first event, when nobody can say.
        """
        return self._paused.catch_up(form, ids, user)

    def recall(self, ids: events.Identified, user: str) -> AsyncGenerator[events.Event]:
        """Look for an answer that broke off where Dify keeps it; see `dify.recall`."""
        return self._archive.recall(ids, user)

    # The app, and what it keeps.

    async def app(self) -> App:
        """What the app says of itself, as of a few minutes ago at most. Raises `DifyError`."""
        return await self._known.app()

    async def info(self) -> App:
        """The same as of now: what checks address and key without asking anything."""
        info = await self._connection.request("GET", "info")
        told = parsed(info.content)
        if not isinstance(told, dict):
            raise DifyUnreachable("What answers there is not Dify's service API.")
        parameters = parsed((await self._connection.request("GET", "parameters")).content)
        app = app_of(told, parameters if isinstance(parameters, dict) else {}, info.headers.get("x-version", ""))
        return replace(app, mode=self._mode or app.mode)

    async def messages(self, conversation_id: str, user: str) -> tuple[StoredMessage, ...]:
        """The newest turns of a conversation, oldest first. Raises `ConversationGone` for an unknown one."""
        return await self._archive.messages(conversation_id, user)

    # Files.

    async def file_limit(self) -> int:
        """How many files one question may carry; 0 where the app takes none. Raises `DifyError`."""
        rules = (await self.app()).file_upload
        return rules.number if rules.enabled else 0

    async def upload(self, file: Download, user: str) -> Upload:
        """Give Dify a file, for a question of the same user. Raises `FileRefused` or `DifyError`."""
        kind = (await self.app()).file_upload.check(file)
        return replace(await uploads.upload(self._connection.http, file, user), kind=kind)

    async def transcribe(self, file: Download, user: str) -> str:
        """What is said in a recording. Raises `FileRefused` (`not_heard`) where the app does not listen."""
        if not (await self.app()).listens:
            raise FileRefused("The app does not write down what is said.", why="not_heard")
        return await uploads.transcribe(self._connection.http, file, user)

    # Inside.

    async def _kind(self) -> Kind:
        return kind_of(self._mode or (await self.app()).mode)

    async def _outputs(self) -> Outputs:
        """A chatflow's `outputs.answer` is its answer; a workflow's may have any name."""
        kind = await self._kind()
        return all_of if kind.converses else partial(answering, wanted=self._output, base=self._connection.address)

    async def _body(self, question: Question, kind: Kind) -> dict[str, Any]:
        """What the app declares matters only if there is something to fill in."""
        plain = kind.converses and not (self.form.inputs or question.inputs or question.system or question.files)
        known = App("", self._mode, "") if plain and self._mode else await self.app()
        return body_of(question, kind, known, self.form)

    async def _stream(self, question: Question) -> AsyncGenerator[events.Event]:
        again = Again(question, patience=self._idle_seconds)
        while True:
            waited = again.waited
            try:
                async with aclosing(self._attempt(again.question)) as attempt:
                    async for event in attempt:
                        yield event
                return
            except (ConversationGone, DifyBusy) as refusal:
                pause = again.after(refusal)
            if pause:
                yield events.Waiting(waited)
                await anyio.sleep(pause)

    async def _attempt(self, question: Question) -> AsyncGenerator[events.Event]:
        """Send the question once and follow its stream to the end, then look for what the stream did not bring."""
        kind = await self._kind()
        body = {**await self._body(question, kind), "response_mode": "streaming"}
        reader, ending = EventReader(outputs=await self._outputs(), base=self._connection.address), Ending()
        untouched = True  # until something of an answer was told: from then on the conversation lives
        async with aclosing(self._streams.follow(Call("POST", kind.asked_at, body=body), reader, ending)) as stream:
            async for event in stream:
                if untouched:
                    untouched = await self._is_untouched(event, question, reader.ids)
                yield event
        if ending.grace is None:
            async with aclosing(self.recall(reader.ids, question.user)) as kept:
                async for event in kept:
                    yield event

    async def _whole(self, question: Question) -> WholeAnswer:
        kind = await self._kind()
        if not kind.blocks:
            answer = Answer(EN)
            async with aclosing(self._stream(question)) as stream:
                async for event in stream:
                    answer.apply(event)
            return folded(answer, {})
        again = Again(question, patience=self._idle_seconds)
        while True:
            try:
                body = {**await self._body(again.question, kind), "response_mode": "blocking"}
                response = await self._connection.request("POST", kind.asked_at, body=body, patience=TOTAL_TIMEOUT)
                return whole_answer(response.content, await self._outputs())
            except (ConversationGone, DifyBusy) as refusal:
                await anyio.sleep(again.after(refusal))

    async def _is_untouched(self, event: events.Event, question: Question, ids: events.Identified) -> bool:
        """Whether nothing of an answer was told yet. Raises `ConversationGone` if that is so and it is why."""
        match event:
            case events.Identified():
                return True
            case events.Waiting() | events.Failed() | events.RunFinished(status="failed"):
                await self._check_conversation(question, ids)
                return True
            case _:
                return False

    async def _check_conversation(self, question: Question, ids: events.Identified) -> None:
        """Raise `ConversationGone` if that is why there is no answer.

        Where 1.12 said 404 at once, a chatflow of 1.13 and 1.14 is silent, as it is while its run waits in a queue;
        from 1.15 it reports a failed run without a reason.
        """
        if not question.conversation_id or ids.conversation_id:
            return
        try:
            await self.messages(question.conversation_id, question.user)
        except ConversationGone:
            raise
        except DifyError as exc:
            log.warning("dify_conversation_not_checked", error=str(exc))
