"""Looks at the platform and at Dify, and puts what happens there on the page."""

import time
from typing import Any

from cardbot.playground.platform.cards import Card, State
from cardbot.playground.platform.incoming import CARD_TOPIC
from cardbot.playground.platform.ledger import Call, Reply
from cardbot.playground.platform.pushes import Message
from cardbot.playground.relay import Asked
from cardbot.playground.web.feed import Feed
from cardbot.playground.web.threads import Threads
from cardbot.playground.world import CALLS_PER_MONTH, World

TICK = 0.08
"""Seconds of Dify's chunks that are shown as one. Our choice: finer than a pixel of a timeline of half a minute."""

UNDER_WAY = 60
"""Pushes that are looked at again. Our choice: a crowd of twenty, pushed three times each."""


class Watcher:
    """Knows what is on the page already; `look` puts what is new."""

    def __init__(self, world: World, feed: Feed, threads: Threads) -> None:
        self._platform = world.platform
        self._feed = feed
        self._threads = threads
        self._began = time.monotonic() - feed.now()
        self._calls = self._replies = self._asked = 0
        self._open: list[tuple[str, Call]] = []
        self._pushes: dict[str, object] = {}
        self._cards: dict[str, object] = {}
        self._cost: dict[str, int] = {}
        self._meter: object = None
        self._requests: dict[Asked, tuple[str, str]] = {}
        self._ticks: dict[Asked, list[float]] = {}
        world.relay.watch = self._request
        world.relay.heard = self._chunk

    async def run(self) -> None:
        """Look whenever something happens. Never returns."""
        while True:
            self.look()
            await self._platform.change()

    def look(self) -> None:
        """Put on the page what happened since the last look."""
        self._look_at_calls()
        self._look_at_pushes()
        for card in self._platform.cards.values():
            self._look_at_card(card)
        for reply in self._platform.replies[self._replies :]:
            self._replies += 1
            self._put_reply(reply)
        self._look_at_meter()

    # The platform.

    def _look_at_calls(self) -> None:
        for call in self._platform.calls[self._calls :]:
            self._calls += 1
            id = f"call{self._calls}"
            card = str(call.body.get("outTrackId") or "") if call.path.startswith("/v1.0/card/") else ""
            if card:
                self._cost[card] = self._cost.get(card, 0) + 1
            self._feed.put(
                "call",
                id,
                way="out",
                at=self._at(call.time),
                name=call.method,
                path=call.path,
                size=call.size,
                card=card,
                message=self._message_of(card, call) if card else "",
                last=call.body.get("isFinalize") is True or call.body.get("isError") is True,
                chars=len(str(call.body.get("content") or "")),
                good=None,
            )
            self._open.append((id, call))
        self._open = [(id, call) for id, call in self._open if not self._put_answer(id, call)]

    def _put_answer(self, id: str, call: Call) -> bool:
        if call.answered is None:
            return False
        good = call.status in range(200, 300) and not call.code
        verdict = f"{call.status or ''} {call.code}".strip()
        self._feed.put("call", id, good=good, verdict=verdict, took=round(call.answered - call.time, 3))
        return True

    def _message_of(self, card: str, call: Call) -> str:
        """Calls other than the first find the card by its id."""
        space = str(call.body.get("openSpaceId") or "").removeprefix("dtv1.card//")
        kind, _, id = space.partition(".")
        if kind == "IM_ROBOT":
            return self._threads.of_card(card, chat=f"cidDirect{id}==", user=id)
        named = (call.body.get("imGroupOpenDeliverModel") or {}).get("atUserIds") or {}
        return self._threads.of_card(card, chat=id, user=next(iter(named), ""))

    def _look_at_pushes(self) -> None:
        pushes = self._platform.pushes
        for number in range(max(0, len(pushes) - UNDER_WAY), len(pushes)):
            push, id = pushes[number], f"push{number + 1}"
            seen = (push.deliveries, push.acked_at)
            if self._pushes.get(id) != seen:
                self._pushes[id] = seen
                self._put_push(id, push)

    def _put_push(self, id: str, push: Message) -> None:
        """`at` stays what it was at first; a push that nobody took has no time of its own."""
        try:
            at = self._feed.get("call", id)["at"]
        except KeyError:
            at = self._at(push.sent_at or time.monotonic())
        took = None if push.acked_at is None or push.sent_at is None else round(push.acked_at - push.sent_at, 3)
        verdict = "acknowledged" if push.acked_at else "pushed" if push.deliveries else "unheard"
        good = True if push.acked_at else None if push.deliveries else False
        self._feed.put(
            "call",
            id,
            way="in",
            at=at,
            name="CARD" if push.topic == CARD_TOPIC else "MSG",
            path=push.topic,
            size=len(str(push.data).encode()),
            good=good,
            verdict=verdict if push.deliveries < 2 else f"{verdict} ×{push.deliveries}",
            took=took,
            card="",
            message="",
        )

    def _look_at_card(self, card: Card) -> None:
        cost = self._cost.get(card.out_track_id, 0)
        seen = (card.delivered, card.state, len(card.frames), card.content, card.buttons, cost)
        if self._cards.get(card.out_track_id) == seen:
            return
        self._cards[card.out_track_id] = seen
        if not card.delivered or card.delivered_at is None:
            return
        over = card.state in (State.DONE, State.FAILED)
        if over:
            self._threads.end(card.out_track_id, text=card.content)
        kind, _, space = card.space.removeprefix("dtv1.card//").partition(".")
        self._feed.put(
            "card",
            card.out_track_id,
            chat=f"cidDirect{space}==" if kind == "IM_ROBOT" else space,
            message=self._threads.of_card(card.out_track_id, chat="", user=""),
            at=self._at(card.delivered_at),
            state=str(card.state),
            text=card.content,
            buttons=[
                {"action": button.action, "label": button.label, "color": button.color, "works": button.works}
                for button in card.buttons
            ],
            cost=cost,
            **({"ended": self._feed.now()} if over else {}),
        )

    def _put_reply(self, reply: Reply) -> None:
        chat = reply.conversation or f"cidDirect{reply.users[0] if reply.users else ''}=="
        self._feed.put(
            "reply",
            f"reply{self._replies}",
            chat=chat,
            message=self._threads.of_reply(chat=chat, users=reply.users),
            at=self._at(reply.time),
            form="markdown" if "arkdown" in reply.kind else "text",
            text=reply.text,
            via=reply.via,
        )

    def _look_at_meter(self) -> None:
        violations = self._platform.violations
        meter: dict[str, Any] = {
            "connections": self._platform.connections,
            "left": self._platform.calls_left,
            "monthly": CALLS_PER_MONTH,
            "limit": self._platform.qps,
            "latency": self._platform.latency,
            "objections": len(violations),
            "objection": violations[-1] if violations else "",
        }
        if meter != self._meter:
            self._meter = meter
            self._feed.put("meter", "meter", **meter)

    # Dify.

    def _request(self, asked: Asked) -> None:
        if asked not in self._requests:
            self._asked += 1
            message = self._message_of_request(asked)
            self._requests[asked] = (f"dify{self._asked}", message)
        id, message = self._requests[asked]
        over = asked.answered is not None
        # "left": the bot has heard enough, as after a chatflow's `message_end`.
        ending = "" if asked.ending == "left" else asked.ending
        good = (asked.status in range(200, 300) and not ending) if over else None
        self._feed.put(
            "call",
            id,
            way="dify",
            at=self._at(asked.time),
            name=asked.method,
            path=asked.path,
            size=asked.received or asked.size,
            card="",
            message=message,
            good=good,
            verdict=f"{asked.status or ''} {ending}".strip(),
            took=round(asked.answered - asked.time, 3) if asked.answered is not None else None,
        )
        if over:
            self._requests.pop(asked)
            self._threads.answered(message)
            self._ticks.pop(asked, None)

    def _message_of_request(self, asked: Asked) -> str:
        if asked.query:
            return self._threads.of_question(user=asked.user, text=asked.query)
        return self._threads.of_rest(user=asked.user) if asked.path.endswith("/events") else ""

    def _chunk(self, asked: Asked, size: int) -> None:
        id, message = self._requests[asked]
        now = self._feed.now()
        tick = self._ticks.setdefault(asked, [0.0, 0.0, 0.0])
        if not message:
            return
        if now - tick[0] > TICK:
            tick[:] = [now, tick[1] + 1, 0.0]
        tick[2] += size
        self._feed.put("tick", f"{id}-{tick[1]:.0f}", at=round(tick[0], 3), message=message, size=tick[2])

    def _at(self, moment: float) -> float:
        return round(moment - self._began, 3)
