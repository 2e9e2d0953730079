"""Asks a Dify app over HTTP: streams answers, stops them, and finds again what a broken stream lost."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import anyio
import httpx
import structlog
from anyio.abc import TaskGroup

from cardbot import events
from cardbot.dify.ending import Ending
from cardbot.dify.feed import Feed, Feeds
from cardbot.dify.fields import parsed, text
from cardbot.dify.recall import recalled
from cardbot.dify.refusal import rejection
from cardbot.dify.wire import EventReader, StoredMessage, finished_run, stored_messages
from cardbot.errors import ConversationGone, DifyBusy, DifyError, DifyUnreachable, SettingsError
from cardbot.forms import is_loopback
from cardbot.messages import Question
from cardbot.sse import Decoder

CONNECT_TIMEOUT = 5.0
"""Seconds to reach Dify. Our choice: a healthy server answers in well under one."""

CONNECT_PAUSES = (0.5, 1.0)
"""Seconds before each further try to connect. Only a failed connection is tried again: nothing was sent yet."""

TOTAL_TIMEOUT = 1260.0
"""Seconds an answer may take in all: a minute over Dify's own limit (`APP_MAX_EXECUTION_TIME`, 1,200 s)."""

SILENCE = 25.0
"""Seconds without a byte that mean trouble: a working run of any app and version pings every 10 s (seen)."""

BUSY_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before asking again after a concurrency refusal; the last one repeats. Our choice."""

GET_TIMEOUT = 10.0
"""Seconds for the small requests. Our choice."""

_HEADER_TEXT = re.compile(r"[!-~]+")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What a Dify app says of itself. `mode` is empty before Dify 1.4; `version` is the server's."""

    name: str
    mode: str
    version: str


class DifyClient:
    """One Dify app, named by its key. Use as an async context manager; implements `ports.Source`."""

    def __init__(self, *, base_url: str, api_key: str, idle_seconds: float = 120.0, silence: float = SILENCE) -> None:
        if not _HEADER_TEXT.fullmatch(api_key):  # an HTTP library's own complaint would repeat the key
            raise SettingsError(["DIFY_API_KEY has characters that no key has: copy it again from Dify's API page."])
        self.fingerprint = hashlib.sha256(api_key.encode()).hexdigest()[:16]
        """Tells apps apart without telling the key: conversation ids of one app mean nothing to another."""
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(GET_TIMEOUT, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            follow_redirects=False,
            trust_env=not is_loopback(httpx.URL(base_url).host),  # no proxy between this machine and itself
        )
        self._idle_seconds = idle_seconds
        self._silence = min(silence, idle_seconds)
        self._feeds = Feeds()
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._http)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._feeds.tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    async def ask(self, question: Question) -> AsyncGenerator[events.Event]:
        """Yield what happens until the answer has ended. Close the generator when done with it.

        The question is sent twice in two cases only, both of which Dify refused before doing anything: a
        conversation that is gone (then without it), and too many runs at once (then later).

        Raises:
            DifyError: before the first event, when the question was refused or could not be sent.
        """
        waited = 0.0
        tries = 0
        while True:
            try:
                async with aclosing(self._attempt(question)) as attempt:
                    async for event in attempt:
                        yield event
                return
            except ConversationGone:
                if not question.conversation_id:
                    raise
                log.info("conversation_gone", conversation=question.conversation_id)
                question = replace(question, conversation_id="")
            except DifyBusy:
                pause = BUSY_PAUSES[min(tries, len(BUSY_PAUSES) - 1)]
                if waited + pause > self._idle_seconds:
                    raise
                tries += 1
                yield events.Waiting(waited)
                await anyio.sleep(pause)
                waited += pause

    async def stop(self, task_id: str, user: str) -> None:
        """End a running answer. Dify says success whatever happens, and heeds only the user who asked."""
        await self._request("POST", f"chat-messages/{task_id}/stop", json={"user": user})

    async def messages(self, conversation_id: str, user: str) -> tuple[StoredMessage, ...]:
        """The newest turns of a conversation, oldest first. Raises `ConversationGone` for an unknown one."""
        params = {"conversation_id": conversation_id, "user": user, "limit": "5"}
        return stored_messages((await self._request("GET", "messages", params=params)).content)

    async def run(self, run_id: str) -> events.RunFinished | None:
        """How a chatflow's or workflow's run ended; None as long as it goes on."""
        return finished_run((await self._request("GET", f"workflows/run/{run_id}")).content)

    def recall(self, ids: events.Identified, user: str) -> AsyncGenerator[events.Event]:
        """Look for an answer that broke off where Dify keeps it; see `dify.recall`."""
        return recalled(ids, _Kept(self, ids, user), patience=self._idle_seconds, is_over=lambda: self._closing)

    async def info(self) -> AppInfo:
        """Who answers under this key: the cheapest question, to check address and key."""
        response = await self._request("GET", "info")
        body = parsed(response.content)
        if not isinstance(body, dict):
            raise DifyUnreachable("What answers there is not Dify's service API.", sent=True)
        return AppInfo(text(body, "name"), text(body, "mode"), response.headers.get("x-version", ""))

    async def _request(
        self, method: str, path: str, *, params: dict[str, str] | None = None, json: object = None
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, path, params=params, json=json)
        except httpx.HTTPError as exc:
            raise _unreachable(exc) from exc
        if not response.is_success:
            raise rejection(response.status_code, response.content)
        return response

    async def _attempt(self, question: Question) -> AsyncGenerator[events.Event]:
        """Send the question once and follow its stream to the end, then look for what the stream did not bring."""
        if self._closing:
            raise DifyUnreachable("The client is closed.")
        feed, decoder, reader, ending = Feed(), Decoder(), EventReader(), Ending()
        self._feeds.add(feed)
        self._tasks.start_soon(self._read, question, feed)
        untouched = True  # until something of an answer was told: from then on the conversation lives
        try:
            async with aclosing(self._follow(feed, decoder, reader, ending)) as stream:
                async for event in stream:
                    if untouched:
                        untouched = await self._is_untouched(event, question, reader.ids)
                    yield event
        finally:
            self._feeds.remove(feed)
            feed.reading.cancel()
            if reader.unknown or reader.malformed or decoder.skipped:
                names = sorted(reader.unknown)
                log.info("dify_events_skipped", names=names, malformed=reader.malformed, too_long=decoder.skipped)
        if ending.grace is None:
            async with aclosing(self.recall(reader.ids, question.user)) as kept:
                async for event in kept:
                    yield event

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

    @property
    def _closing(self) -> bool:
        return self._tasks.cancel_scope.cancel_called

    async def _read(self, question: Question, feed: Feed) -> None:
        """Read at full speed into memory: Dify's relay drops text when its reader is slow."""
        body: dict[str, object] = {
            "inputs": {},
            "query": question.query,
            "response_mode": "streaming",
            "user": question.user,
            "auto_generate_name": False,  # nobody sees the title; saves a call of the model per conversation
        }
        if question.conversation_id:  # an empty string is refused by some 1.11 builds
            body["conversation_id"] = question.conversation_id
        error: Exception | None = None
        with feed.reading:
            try:
                await self._send(json.dumps(body).encode(), feed)
            except Exception as exc:  # whoever asked is told, whatever it is; this task must not end the client
                error = exc
            finally:  # also when the client closes: nobody may wait for a reader that is gone
                feed.end(error)

    async def _send(self, content: bytes, feed: Feed) -> None:
        """Send the question and read its stream. Only to connect is tried again: nothing was sent yet."""
        try:
            for pause in CONNECT_PAUSES:
                try:
                    return await self._stream(content, feed)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    await anyio.sleep(pause)
            return await self._stream(content, feed)
        except httpx.HTTPError as exc:
            raise _unreachable(exc) from exc

    async def _stream(self, content: bytes, feed: Feed) -> None:
        timeout = httpx.Timeout(connect=CONNECT_TIMEOUT, read=None, write=30.0, pool=None)
        headers = {"Content-Type": "application/json"}
        async with self._http.stream(
            "POST", "chat-messages", content=content, headers=headers, timeout=timeout
        ) as response:
            if response.status_code != 200:
                raise rejection(response.status_code, await response.aread())
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise DifyUnreachable("What answers there is not Dify's service API: no event stream.", sent=True)
            try:
                async for chunk in response.aiter_bytes():
                    feed.put(chunk)
            except httpx.HTTPError as exc:  # the question was accepted: an answer without its end, not a refusal
                log.warning("dify_stream_broken", error=str(exc) or type(exc).__name__)

    async def _follow(
        self, feed: Feed, decoder: Decoder, reader: EventReader, ending: Ending
    ) -> AsyncGenerator[events.Event]:
        """Yield what the bytes say until the answer ends, or the bytes, or the patience."""
        now = last_byte = anyio.current_time()
        deadline = now + TOTAL_TIMEOUT
        patience = self._silence
        while now < deadline:
            chunks = await feed.take(min(deadline, last_byte + patience))
            now = anyio.current_time()
            if chunks:
                last_byte, patience = now, self._silence
                for chunk in chunks:
                    for sse in decoder.feed(chunk):
                        for event in reader.read(sse.data):
                            ending.saw(event)
                            yield event
                if ending.grace is not None:
                    deadline = min(deadline, now + ending.grace)
            elif feed.is_over or now - last_byte >= self._idle_seconds:
                return  # the bytes ended, or nobody waits for them any longer
            elif now < deadline:
                patience += self._silence
                yield events.Waiting(now - last_byte)

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


@dataclass(frozen=True, slots=True)
class _Kept:
    """What there is to ask about one answer. Implements `recall.Kept`."""

    client: DifyClient
    ids: events.Identified
    user: str

    async def messages(self) -> tuple[StoredMessage, ...]:
        return await self.client.messages(self.ids.conversation_id, self.user)

    async def run(self) -> events.RunFinished | None:
        return await self.client.run(self.ids.workflow_run_id)


def _unreachable(exc: Exception) -> DifyUnreachable:
    nothing_sent = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
    what = str(exc) or type(exc).__name__
    return DifyUnreachable(f"Dify could not be reached: {what}", sent=not nothing_sent)
