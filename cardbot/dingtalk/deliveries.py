"""Whom a message of our own account has reached, one by one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Kind = Literal["user", "chat"]


class Outcome(StrEnum):
    """What became of a message to one recipient."""

    DELIVERED = "delivered"
    """DingTalk took it, all of its parts, and named nothing against it."""
    INVALID = "invalid"
    """There is no such person in the organisation, or no such group with the robot in it."""
    FLOW_CONTROLLED = "flow-controlled"
    """Too many messages to this person, also after a while. Nothing was sent."""
    FILTERED = "filtered"
    """DingTalk keeps the message from this person."""
    REFUSED = "refused"
    """DingTalk refused the call. Nothing was sent."""
    NOT_SENT = "not sent"
    """DingTalk could not be reached. Nothing was sent."""
    UNKNOWN = "unknown"
    """The call was made and no answer came: perhaps it is there. It is not sent again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient's outcome. For a text of several parts it is that of the first that was not delivered."""

    kind: Kind
    id: str
    """Staff id or open conversation id."""
    outcome: Outcome
    why: str = ""
    """A sentence, where there is more to say."""
    parts: int = 0
    """Messages that did arrive."""

    @property
    def reached(self) -> bool:
        """Whether the whole text did."""
        return self.outcome is Outcome.DELIVERED


@dataclass(frozen=True, slots=True)
class Report:
    """Each recipient once: the people, then the groups, as they were given."""

    deliveries: tuple[Delivery, ...]
    parts: int = 1
    """Messages that the text takes."""

    @property
    def reached(self) -> int:
        """How many have the whole text."""
        return sum(delivery.reached for delivery in self.deliveries)

    @property
    def complete(self) -> bool:
        """Whether all have."""
        return self.reached == len(self.deliveries)


def distinct(ids: Iterable[str]) -> list[str]:
    """The ids in their order, each once, without blanks around them."""
    return list(dict.fromkeys(stripped for id_ in ids if (stripped := id_.strip())))


def table(deliveries: Sequence[Delivery]) -> Iterator[str]:
    """A line for each recipient, in columns; nothing is cut, so that ids can be copied."""
    id_width = max((len(delivery.id) for delivery in deliveries), default=0)
    outcome_width = max(map(len, Outcome))
    for delivery in deliveries:
        partly = delivery.parts and not delivery.reached
        begun = f"Of its messages, {delivery.parts} arrived. " if partly else ""
        columns = (delivery.kind, f"{delivery.id:<{id_width}}", f"{delivery.outcome:<{outcome_width}}")
        yield f"{'  '.join(columns)}  {begun}{delivery.why}".rstrip()
