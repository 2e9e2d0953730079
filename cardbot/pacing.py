"""Who may make the next card call, and when: a function of state and `now`. No clock, no await, no text.

DingTalk gives an app 20 calls per second and API path, all of its cards together. So there is one `Pacing` for the
whole app. It holds a `Lane` for each card; whoever owns a lane says what its card wants, `next` picks one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from cardbot.ceiling import Ceiling

CARD_QPS = 20
"""Calls per second and API path. Documented for the standard edition: "Server-side API throttling", read 2026-11."""

FLOOR = 0.8
"""Seconds from one text frame of a card to its next. Measured by others: updates of a card within about 500 ms are
refused at times; the official connector went from 500 to 800 ms in its version 0.8.16."""

SPACING = 0.5
"""Seconds from the answer to one call of a card to its next frame, the final one included. Seen by others: with less,
clients that fetch the card race with the frame and show "内容加载失败"."""

GROWTH, LONGEST = 1.32, 5.0
"""`balanced`: each interval is so much longer than the one before, up to so many seconds. Our choice: an answer of
10 s costs at most 8 calls and one of 60 s at most 20, creation and final frame included (own template, one card)."""

SECOND_FRAME = 4.0
"""Seconds from the first to the second and last text frame in `frugal`. Our choice: 4 calls a card, at most."""

LIVE_SHARE = 0.95
"""Share of the ceiling that text frames may use; the rest is for final ones. Our choice: nineteen of twenty."""

PAUSE, GATHER = 2.0, 0.3
"""Seconds without new text after which the next frame waits for so many seconds more: it is to show words, not one
letter. Our choice."""


class Frames(Enum):
    """How many frames an answer may cost. The organisation pays for each, up to a number a month."""

    SMOOTH = "smooth"
    BALANCED = "balanced"
    FRUGAL = "frugal"

    def interval(self, sent: int) -> float:
        """Seconds from the beginning of a card's latest text frame to its next, after `sent` of them.

        Infinity: none is to follow.
        """
        if sent == 0:
            return 0.0
        match self:
            case Frames.SMOOTH:
                return FLOOR
            case Frames.BALANCED:
                return min(FLOOR * GROWTH ** (sent - 1), LONGEST)
            case Frames.FRUGAL:
                return SECOND_FRAME if sent == 1 else math.inf


class Rank(IntEnum):
    """What goes first when there is not room for all."""

    FINAL = 0
    """What closes a card: somebody may be waiting for the answer to be complete."""
    NEW = 1
    """What puts a card into the chat, or makes it ready for text."""
    LIVE = 2
    """Text in the middle of an answer: the next frame will hold it anyway."""


@dataclass(slots=True, eq=False)
class Lane:
    """What is known of one card. The owner sets the first four fields, `Pacing` the others.

    For a card that it has found, the owner also says when it `began`.
    """

    rank: Rank | None = None
    """What the card wants next, or None."""
    path: str = ""
    """The API path of that call: each has a ceiling of its own."""
    since: float = 0.0
    """When it began to want it, for a text frame: when the text came that nobody has seen yet. Among equals, who has
    waited longest goes first."""
    not_before: float = 0.0
    """When a call that failed may be tried again."""
    busy: bool = False
    """One call at a time: frames carry no sequence number, so two could arrive in the wrong order."""
    began: float = -math.inf
    ended: float = -math.inf
    shows: bool = False
    """Whether the call under way, or the last one, is a text frame."""
    frames: int = 0
    """Text frames so far."""

    def earliest(self, frames: Frames, stretch: float) -> float:
        """When its next call may begin, as far as the card itself is concerned."""
        match self.rank:
            case None:
                return math.inf
            case Rank.LIVE:
                at = max(self.not_before, self._next_frame(frames, stretch), self.ended + SPACING)
                return at if not self.frames or self.since - self.began <= PAUSE else max(at, self.since + GATHER)
            case Rank.FINAL:
                return max(self.not_before, self.ended + SPACING)
            case Rank.NEW:
                return self.not_before

    def _next_frame(self, frames: Frames, stretch: float) -> float:
        if stretch == math.inf:
            return math.inf
        return self.began + frames.interval(self.frames) * stretch


class Pacing:
    """All cards of one app, and the calls they made lately."""

    def __init__(self, *, qps: int = CARD_QPS, frames: Frames = Frames.BALANCED) -> None:
        self.stretch = 1.0
        """How many times longer than usual the intervals between text frames are; infinity: no such frames at all."""
        self._qps = self._part = qps
        self._frames = frames
        self._lanes: dict[Lane, None] = {}  # a set that keeps its order
        self._ceilings: dict[str, Ceiling] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    def add(self, lane: Lane) -> None:
        """Take a card in."""
        self._lanes[lane] = None

    def remove(self, lane: Lane) -> None:
        """Forget a card. A call of it that is under way goes on and is counted."""
        self._lanes.pop(lane, None)

    def share(self, processes: int) -> None:
        """So many processes make calls for this app: each takes an equal part of the ceiling, and one call at least."""
        self._part = max(1, self._qps // processes)
        for ceiling in self._ceilings.values():
            ceiling.qps = self._part

    def next(self, now: float) -> Lane | float:
        """The card whose call is to begin now; or else when to ask again, if nothing else happens before."""
        again = math.inf
        best: tuple[Rank, float] | None = None
        chosen: Lane | None = None
        places: dict[tuple[str, bool], float] = {}  # when there is one: the same for many lanes
        for lane in self._lanes:
            rank = lane.rank
            if rank is None or lane.busy:
                continue
            kind = lane.path, rank is Rank.LIVE
            free_at = places.get(kind)
            if free_at is None:
                free_at = places[kind] = self._free_at(lane, now)
            at = free_at if free_at > now else lane.earliest(self._frames, self.stretch)
            if at > now:
                again = min(again, at)
            elif best is None or (rank, lane.since) < best:
                best, chosen = (rank, lane.since), lane
        return again if chosen is None else chosen

    def begin(self, lane: Lane, now: float) -> None:
        """The lane's call is being made."""
        lane.busy, lane.began, lane.shows = True, now, lane.rank is Rank.LIVE
        lane.frames += lane.shows
        self._ceiling(lane.path).begin()

    def end(self, lane: Lane, path: str, now: float) -> None:
        """The lane's call on `path` was answered, or given up."""
        lane.busy, lane.ended = False, now
        self._ceiling(path).end(now)

    def throttled(self, lane: Lane, path: str, now: float, pause: float) -> None:
        """The lane's call on `path`, which is to be ended yet, was one too many; none is wanted for `pause` seconds."""
        lane.frames -= lane.shows  # nobody saw it, nobody pays for it
        self._ceiling(path).refused(lane.began, now, pause)

    def _free_at(self, lane: Lane, now: float) -> float:
        return self._ceiling(lane.path).free_at(now, share=LIVE_SHARE if lane.rank is Rank.LIVE else 1.0)

    def _ceiling(self, path: str) -> Ceiling:
        if path not in self._ceilings:
            self._ceilings[path] = Ceiling(self._part)
        return self._ceilings[path]
