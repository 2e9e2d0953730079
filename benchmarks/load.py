"""What a round asks for: how many answers, how long, how fast. Pure."""

from dataclasses import dataclass

LATENCY = 0.12
"""Seconds each call to the simulated DingTalk takes. Our choice: what a real one takes from within China."""

QPS = 20
"""Calls per second and path. Documented: DingTalk's throttling page, standard edition, read 2026-11."""

FLOOR = 0.8
"""Seconds from one frame of a card to its next that no schedule may go below. Seen: what the official connector
came to, since faster updates of one card are refused at times."""

_PROSE = (
    "流式输出的难处不在于快，而在于**公平**：二十次调用要分给五十张卡片，谁也不能一直等。"
    "每一帧都带着到目前为止的全文，所以晚到的那一帧总是比早到的更有用，旧的那一帧可以直接丢掉。\n\n"
    "Nobody reads at sixty characters a second, but everybody notices a card that stands still. "
)
"""Two languages, paragraphs and emphasis, as a model writes them."""


@dataclass(frozen=True, slots=True)
class Load:
    """Simultaneous answers, each to another person.

    Args:
        answers: How many.
        characters: Of each answer.
        speed: Characters per second that Dify writes.
        piece: Characters per event of Dify's stream.
        first: Seconds from the question to Dify's first token. Our choice: a quick model.
        spread: Seconds over which the questions arrive, evenly.
        burn: Calls per second to the streaming path that another program of the same app makes.
    """

    answers: int
    characters: int = 1800
    speed: float = 60.0
    piece: int = 6
    first: float = 1.0
    spread: float = 1.0
    burn: float = 0.0

    @property
    def events(self) -> int:
        """Pieces of text in one answer."""
        return -(-self.characters // self.piece)

    @property
    def seconds(self) -> float:
        """How long Dify speaks in one answer."""
        return self.characters / self.speed

    def answer_to(self, question: str) -> str:
        """The text of one answer; each is different, so that none can pass for another."""
        head = f"{question}: "
        prose = _PROSE * (self.characters // len(_PROSE) + 1)
        return (head + prose)[: self.characters - 1] + "。"
