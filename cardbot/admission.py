"""Which messages are answered: whose, where, how often, and how old they may be. Pure; all times are Unix seconds.

Whoever is named in the one list is answered everywhere, and in a chat that is named in the other everybody is
answered: so an administrator allows some people, and some groups for all who are in them.
"""

import math
from dataclasses import dataclass

from cachetools import LRUCache

from cardbot.messages import Incoming

TOO_OLD = 30 * 60.0
"""Seconds after which a message is not answered any more. Our choice: whoever has waited for half an hour has asked
again or found it elsewhere, and after an outage all of that comes at once; a redelivery is late by a minute or so
(reported for several clients; the documents promise nothing)."""

MINUTE = 60.0
"""Seconds over which the messages of a person are counted: those before this moment, not those of a clock's minute."""

PEOPLE = 10_000
"""People whose last minute is known. Our choice: more than write to one robot within a minute; measured: 13 MB when
each has sent 20 messages. Above it the one who has not written for longest begins anew."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The message is to be answered."""


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """Neither its sender nor its chat is on a list."""


@dataclass(frozen=True, slots=True)
class TooFast:
    """Its sender has written as often as one may within a minute."""

    seconds: int
    """Until the sender's next message is admitted; 1 to 60."""


@dataclass(frozen=True, slots=True)
class TooOld:
    """It comes so late that an answer would surprise: to be dropped without a word."""

    seconds: float
    """Since it was written."""


Verdict = Admitted | NotAllowed | TooFast | TooOld


class Admission:
    """Decides on each new message, and remembers what each person has sent within the last minute.

    Each process counts for itself: with two replicas, a person may send up to twice as much.

    Args:
        allow_users: staff ids of people who are answered everywhere. People without one, such as those outside the
            organisation, can only be allowed by their chat.
        allow_chats: ids of the conversations in which everybody is answered. Both empty: everybody is, everywhere.
        rate: messages that a person may send to one robot in any 60 s; 0 sets no bound.
    """

    def __init__(self, *, allow_users: frozenset[str], allow_chats: frozenset[str], rate: int) -> None:
        self._allow_users = allow_users
        self._allow_chats = allow_chats
        self._rate = rate
        self._recent: LRUCache[tuple[str, str], tuple[float, ...]] = LRUCache(PEOPLE)

    def decide(self, incoming: Incoming, now: float) -> Verdict:
        """What becomes of this message. To be asked once a message, for one that is admitted counts."""
        age = now - incoming.created_at if incoming.created_at > 0 else 0.0  # 0: DingTalk did not say
        if age > TOO_OLD:
            return TooOld(age)
        if not self._is_allowed(incoming):
            return NotAllowed()
        return self._count(incoming, now) if self._rate else Admitted()

    def _is_allowed(self, incoming: Incoming) -> bool:
        if not self._allow_users and not self._allow_chats:
            return True
        return incoming.sender.staff_id in self._allow_users or incoming.chat.id in self._allow_chats

    def _count(self, incoming: Incoming, now: float) -> Admitted | TooFast:
        person = (incoming.robot_code, incoming.sender.id)
        # What lies ahead of now was counted before the clock was set back; it would count for longer than a minute.
        recent = tuple(sent for sent in self._recent.get(person, ()) if 0 <= now - sent < MINUTE)
        if len(recent) >= self._rate:
            return TooFast(math.ceil(recent[0] + MINUTE - now))
        self._recent[person] = (*recent, now)
        return Admitted()
