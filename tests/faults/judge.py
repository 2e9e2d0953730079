"""What a person sees at the end, and what is wrong with it. Pure, but for reading the simulated platform."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import Platform, State
from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.incoming import direct_conversation
from cardbot.playground.platform.ledger import Reply
from cardbot.texts import EN

ENDED = (State.DONE, State.FAILED)

Ends = Mapping[str, State]
"""The texts that may stay at the end of an answer, each with the state of a card that shows it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person sees who has asked one question."""

    cards: tuple[tuple[State, str], ...] = ()
    """State and text of each card in the chat."""
    replies: tuple[str, ...] = ()
    """Plain replies."""

    @property
    def answers(self) -> list[str]:
        """What looks like an answer that is there to stay."""
        return [text for state, text in self.cards if state in ENDED and text != EN.elsewhere] + list(self.replies)

    @property
    def spinning(self) -> list[str]:
        """Texts of cards that still look as if something were to come."""
        return [text for state, text in self.cards if state not in ENDED]

    @property
    def settled(self) -> bool:
        """Whether there is an answer, and nothing that spins."""
        return bool(self.answers) and not self.spinning

    @property
    def way(self) -> str:
        """How the answer came: `card`, `reply`, `card and reply`, or `nothing`."""
        in_card = any(state in ENDED and text != EN.elsewhere for state, text in self.cards)
        return " and ".join(["card"] * in_card + ["reply"] * bool(self.replies)) or "nothing"


def objections(sight: Sight, ends: Ends, *, may_spin: bool = False) -> list[str]:
    """What is wrong with what a person sees; nothing if the promise was kept.

    `may_spin`: DingTalk takes no call at all any more, so a card that is there already cannot be closed.
    """
    found = []
    if not sight.answers:
        found.append("lost: no answer is to be seen")
    if len(sight.answers) > 1:
        found.append(f"twice: {sight.answers}")
    found += [f"not what Dify said: {text!r}" for text in sight.answers if text not in ends]
    found += [f"spins for ever: {text!r}" for text in sight.spinning if not may_spin]
    if any(text == EN.elsewhere for _, text in sight.cards) and not sight.replies:
        found.append("a card points to a plain reply that is not there")
    for state, text in sight.cards:
        if state in ENDED and text in ends and state is not ends[text]:
            found.append(f"looks {state} instead of {ends[text]}: {text!r}")
    return found


def sights(platform: Platform, users: Iterable[str]) -> dict[str, Sight]:
    """What each of these people sees in the direct chat with the robot."""
    cards: dict[str, list[Card]] = {user: [] for user in users}
    replies: dict[str, list[Reply]] = {user: [] for user in cards}
    chats = {direct_conversation(user): user for user in cards}
    for card in platform.cards.values():
        if card.delivered and (user := owner(card)) in cards:
            cards[user].append(card)
    for reply in platform.replies:
        for user in reply.users or (chats.get(reply.conversation, ""),):
            if user in replies:
                replies[user].append(reply)
    return {
        user: Sight(
            tuple((card.state, card.content) for card in cards[user]), tuple(reply.text for reply in replies[user])
        )
        for user in cards
    }


def questions(dify: FakeDify) -> list[tuple[str, float]]:
    """What Dify was asked, and when by the clock of its event loop."""
    asked = [(one.body, one.body.get("inputs"), one.time) for one in dify.requests if one.body]
    texts = [
        (body.get("query") or (isinstance(inputs, dict) and inputs.get("query")), at) for body, inputs, at in asked
    ]
    return [(text, at) for text, at in texts if text]


def owner(card: Card) -> str:
    """Whose direct chat it is in."""
    return card.space.rpartition(".")[2]


# What may stay at the end.


def whole(text: str) -> Ends:
    """All that Dify said."""
    return {text: State.DONE}


def part(text: str, at: int) -> Ends:
    """What Dify said until it broke off, and a line that says so."""
    told = text[:at].rstrip()
    return {f"{told}\n\n{EN.interrupted}": State.DONE} if told else {EN.lost: State.FAILED}


def parts(text: str) -> Ends:
    """Any beginning of what Dify said, where nobody can tell how much of it arrived."""
    return {end: state for at in range(len(text) + 1) for end, state in part(text, at).items()}


def failure(sentence: str, told: str = "") -> Ends:
    """A sentence about what went wrong, after what had been said by then."""
    return {f"{told.rstrip()}\n\n{sentence}" if told else sentence: State.FAILED}
