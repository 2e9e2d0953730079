"""Which message a card, a question to Dify, or a plain reply belongs to. Pure.

Nothing on the wire says so: the platform knows a card by the bot's own id, Dify knows a user and a text. People, chat
and order tell them apart, well enough for a picture: a bot that answers one chat's messages out of order may be shown
with two of them exchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cardbot.texts import EN, ZH


@dataclass(slots=True, eq=False)
class _Asked:
    message: str
    chat: str
    user: str
    text: str
    cards: list[str] = field(default_factory=list)
    questions: int = 0
    unanswered: int = 0
    ended: bool = False
    elsewhere: bool = False
    replied: bool = False


class Threads:
    """The messages that went to the bot, oldest first."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []
        self._cards: dict[str, _Asked] = {}

    def ask(self, message: str, *, chat: str, user: str, text: str) -> None:
        """A message goes to the bot; `text` as Dify will be asked."""
        self._asked.append(_Asked(message, chat, user, text.strip()))

    def of_card(self, card: str, *, chat: str, user: str) -> str:
        """The message that a card answers: its first call names it, later ones find it again. "" for none."""
        if card not in self._cards:
            here = [asked for asked in self._asked if asked.chat == chat and user in ("", asked.user)]
            # A long answer goes on in a second card; so a message may have more than one.
            found = _first(here, lambda asked: not asked.cards and not asked.ended) or _last(here)
            if found is None:
                return ""
            found.cards.append(card)
            self._cards[card] = found
        return self._cards[card].message

    def of_question(self, *, user: str, text: str) -> str:
        """The message that Dify is asked about. `user` may be longer than the staff id, which is at its end.

        Before the message's own words may be those that it quotes; one that has none is asked about in the bot's.
        """
        mine = [asked for asked in self._asked if user.endswith(asked.user)]
        said = [asked for asked in mine if asked.text == text.strip()]
        quoting = [asked for asked in mine if asked.text and text.strip().endswith(f"\n\n{asked.text}")]
        silent = [asked for asked in mine if not asked.text and _is_the_bots(text)]
        found = next(
            (
                _first(each, lambda asked: not asked.questions) or _last(each)
                for each in (said, quoting, silent)
                if each
            ),
            None,
        )
        if found is None:
            return ""
        found.questions += 1
        found.unanswered += 1
        return found.message

    def of_rest(self, *, user: str) -> str:
        """The message whose answer Dify goes on with, after a form was handed in."""
        mine = [asked for asked in self._asked if user.endswith(asked.user) and asked.questions and not asked.ended]
        found = _last(mine)
        if found is None:
            return ""
        found.unanswered += 1
        return found.message

    def under_way(self, *, chat: str, user: str) -> list[str]:
        """The messages of a person that have no end yet."""
        return [asked.message for asked in self._asked if (asked.chat, asked.user, asked.ended) == (chat, user, False)]

    def answered(self, message: str) -> None:
        """Dify has answered a question about this message, or will not."""
        for asked in self._asked:
            if asked.message == message and asked.unanswered:
                asked.unanswered -= 1

    def of_reply(self, *, chat: str, users: tuple[str, ...]) -> str:
        """The message that a plain reply answers; it is its end."""
        here = [asked for asked in self._asked if (chat and asked.chat == chat) or (not chat and asked.user in users)]
        here.reverse()
        bare = [asked for asked in here if not asked.cards and not asked.ended and not asked.unanswered]
        waiting = [asked for asked in here if not asked.ended]
        found = (
            # What Dify has answered without a card to show it in can only come as a reply.
            _first(bare, lambda asked: asked.questions > 0)
            # What Dify was never asked about is answered at once, while earlier messages are still under way.
            or _first(bare, lambda asked: True)
            or _first(here, lambda asked: asked.elsewhere and not asked.replied)
            # A card that could not be closed.
            or _first(waiting, lambda asked: asked.questions > 0 and not asked.unanswered)
            or _first(waiting + here, lambda asked: True)
        )
        if found is None:
            return ""
        found.ended = found.replied = True
        return found.message

    def end(self, card: str, *, text: str) -> None:
        """The card has come to its end, with this text."""
        asked = self._cards.get(card)
        if asked is not None:
            asked.ended = True
            asked.elsewhere = asked.elsewhere or any(words.elsewhere in text for words in (ZH, EN))


def _first(candidates: list[_Asked], condition: Callable[[_Asked], bool]) -> _Asked | None:
    return next(filter(condition, candidates), None)


def _last(candidates: list[_Asked]) -> _Asked | None:
    return candidates[-1] if candidates else None


def _is_the_bots(question: str) -> bool:
    """Whether the question, or what follows a quote, is a sentence of the bot's own."""
    own = question.strip().rpartition("\n\n")[2]
    return any(own in (words.about_files, words.about_quote) for words in (ZH, EN))
