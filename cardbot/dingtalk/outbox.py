"""Sends messages that answer no message, and tells for each recipient what became of it."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import anyio

from cardbot import render
from cardbot.dingtalk.deliveries import Delivery, Kind, Outcome, Report, distinct
from cardbot.dingtalk.lane import CALLS_PER_SECOND, Lane, Patience, Undelivered, Verdict
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.robot import PEOPLE_OF_A_CALL, robot_pieces
from cardbot.settings import DingTalkSettings
from cardbot.surrogates import mended

TITLE_LIMIT = 60
"""Characters of a title. Our choice: the list of chats shows about half of them."""

DELIVERED = Verdict(Outcome.DELIVERED)

Verdicts = Mapping[str, Verdict]


def nobody(_: Delivery) -> None:
    """Does not need to know before the end."""


class Outbox:
    """Messages on our own account through one app. Several may be sent at once: they share what the app may call."""

    def __init__(self, api: OpenApi, *, patience: Patience | None = None, qps: int = CALLS_PER_SECOND) -> None:
        """`qps`: calls a second and path that it makes at most."""
        self._api = api
        self._patience = patience or Patience()
        self._people = Lane(api, qps=qps, patience=self._patience)
        self._groups = Lane(api, qps=qps, patience=self._patience)

    async def send(
        self,
        markdown: str,
        *,
        users: Iterable[str] = (),
        chats: Iterable[str] = (),
        title: str | None = None,
        settled: Callable[[Delivery], object] = nobody,
    ) -> Report:
        """Send a text to people and groups, to each once. What DingTalk says against it is in the report.

        Args:
            markdown: As messages take it; one of more than about 15,000 bytes goes out in several.
            users: Staff ids.
            chats: Open conversation ids of groups that the robot is in.
            title: What the list of chats shows; none: the beginning of the text.
            settled: Is told each recipient's outcome as soon as it is known, also if the sending is cancelled.

        Raises:
            ValueError: when the text is empty.
        """
        markdown, title = mended(markdown), mended(title or "")  # their bytes are counted
        if not markdown.strip():
            raise ValueError("the message is empty")
        title = _title(title) or _title(markdown)
        parts = robot_pieces(title, markdown)
        found: dict[tuple[str, str], Delivery] = {}

        def note(delivery: Delivery) -> None:
            found[delivery.kind, delivery.id] = delivery
            settled(delivery)

        people = _Mailing(
            "user",
            distinct(users),
            parts=parts,
            at_once=PEOPLE_OF_A_CALL,
            deliver=partial(self._to_people, title),
            settled=note,
        )
        groups = _Mailing(
            "chat", distinct(chats), parts=parts, at_once=1, deliver=partial(self._to_group, title), settled=note
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(people.run, self._patience.flow)
            tasks.start_soon(groups.run, self._patience.flow)
        order = [("user", id_) for id_ in people.ids] + [("chat", id_) for id_ in groups.ids]
        return Report(tuple(found[key] for key in order), len(parts))

    async def _to_people(self, title: str, ids: Sequence[str], part: str) -> Verdicts:
        """One message to people, in one call unless that is refused for one of them."""
        try:
            report = await self._people.call(partial(self._api.send_to_people, ids, title=title, markdown=part))
        except Undelivered as failure:
            if failure.verdict.outcome is not Outcome.INVALID or len(ids) == 1:
                return dict.fromkeys(ids, failure.verdict)
            # Nobody got anything because of somebody who is not named: halves, until that one is alone.
            half = len(ids) // 2
            return {
                **await self._to_people(title, ids[:half], part),
                **await self._to_people(title, ids[half:], part),
            }
        return {
            **dict.fromkeys(ids, DELIVERED),
            **dict.fromkeys(report.filtered, Verdict(Outcome.FILTERED)),
            **dict.fromkeys(report.flow_controlled, Verdict(Outcome.FLOW_CONTROLLED)),
            **dict.fromkeys(report.invalid, Verdict(Outcome.INVALID)),
        }

    async def _to_group(self, title: str, ids: Sequence[str], part: str) -> Verdicts:
        """One message to one group."""
        [id_] = ids
        try:
            await self._groups.call(partial(self._api.send_to_group, id_, title=title, markdown=part))
        except Undelivered as failure:
            return {id_: failure.verdict}
        return {id_: DELIVERED}


class Sender(Outbox):
    """An outbox with connections of its own, for programs beside the bot: no Stream connection, no Dify.

    async with Sender(DingTalkSettings.load(Path(".env"))) as sender:
        report = await sender.send("**Lunch** is ready", users=["user0001"])
    """

    def __init__(
        self,
        settings: DingTalkSettings,
        *,
        patience: Patience | None = None,
        billed: Callable[[], object] = lambda: None,
    ) -> None:
        """`billed` is called for each call that counts against the organisation's month."""
        api = OpenApi(
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            robot_code=settings.robot,
            endpoint=settings.openapi_endpoint,
            billed=billed,
        )
        super().__init__(api, patience=patience)

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.__aexit__(exc_type, exc, traceback)


class _Mailing:
    """One text to recipients of one kind: to some of them all of its parts, then to the next."""

    def __init__(
        self,
        kind: Kind,
        ids: Sequence[str],
        *,
        parts: Sequence[str],
        at_once: int,
        deliver: Callable[[Sequence[str], str], Awaitable[Verdicts]],
        settled: Callable[[Delivery], object],
    ) -> None:
        """`at_once`: recipients of one call of `deliver`."""
        self.ids = ids
        self._kind = kind
        self._parts = parts
        self._at_once = at_once
        self._deliver = deliver
        self._settled = settled
        self._got = dict.fromkeys(ids, 0)
        """Parts that have arrived, for those who are not settled."""
        self._trying: Sequence[str] = ()
        self._closed: Verdict | None = None

    async def run(self, pauses: Sequence[float]) -> None:
        """Settle every recipient, also if cancelled."""
        try:
            await self._run(pauses)
        finally:
            for id_ in list(self._got):
                self._settle(id_, Verdict(Outcome.UNKNOWN if id_ in self._trying else Outcome.NOT_SENT, "Interrupted."))

    async def _run(self, pauses: Sequence[float]) -> None:
        """Who gets too many messages at the moment waits until the others have been served."""
        waiting: Mapping[int, Sequence[str]] = {0: self.ids}
        for pause in (0.0, *pauses):
            await anyio.sleep(0.0 if self._closed else pause)
            held: defaultdict[int, list[str]] = defaultdict(list)
            for begin, ids in waiting.items():
                for at in range(0, len(ids), self._at_once):
                    await self._serve(ids[at : at + self._at_once], begin, held)
            waiting = held
            if not waiting:
                return
        for ids in waiting.values():
            for id_ in ids:
                self._settle(id_, Verdict(Outcome.FLOW_CONTROLLED))

    async def _serve(self, ids: Sequence[str], begin: int, held: Mapping[int, list[str]]) -> None:
        """Deliver the parts from `begin` on. Who misses one gets no later one: it would make no sense."""
        left = ids
        for number in range(begin, len(self._parts)):
            verdicts = await self._verdicts(left, self._parts[number])
            for id_ in left:
                match verdicts[id_].outcome:
                    case Outcome.DELIVERED:
                        self._got[id_] += 1
                    case Outcome.FLOW_CONTROLLED:
                        held[number].append(id_)
                    case _:
                        self._settle(id_, verdicts[id_])
            left = [id_ for id_ in left if verdicts[id_].outcome is Outcome.DELIVERED]
            if not left:
                return
        for id_ in left:
            self._settle(id_, DELIVERED)

    async def _verdicts(self, ids: Sequence[str], part: str) -> Verdicts:
        """What became of one part. Once a call has said that no other will do better, none is made."""
        if self._closed:
            return dict.fromkeys(ids, self._closed)
        self._trying = ids
        verdicts = await self._deliver(ids, part)
        self._trying = ()
        self._closed = next((verdict for verdict in verdicts.values() if verdict.closed), None)
        return verdicts

    def _settle(self, id_: str, verdict: Verdict) -> None:
        self._settled(Delivery(self._kind, id_, verdict.outcome, verdict.why, self._got.pop(id_)))


def _title(text: str) -> str:
    """One line for the list of chats, with the marks of markdown where there is nothing else."""
    return render.snippet(text, TITLE_LIMIT) or " ".join(text.split())[:TITLE_LIMIT]
