"""How a card that grows looks in a terminal: redrawn in place for people, a line a change in a log."""

from os.path import commonprefix
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from cardbot.playground.once import Sight

WIDTH = 88
"""Columns of a card. Our choice: a wide card's proportions."""

CLOSERS = 8
"""Characters at the end of a frame that the next one may take back: marks that close what is not finished yet, such
as a code block."""

STYLES = {"pending": "yellow", "writing": "cyan", "done": "green", "failed": "red", "reply": "magenta"}
SIGNS = {"pending": "◌", "writing": "●", "done": "✓", "failed": "✗", "reply": "↩"}


class CardView:
    """Shows what a person in the chat would see. Use as a context manager."""

    def __init__(self, question: str, answerer: str, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._question = question
        self._answerer = answerer
        self._shown = ""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._console.print(f"[bold]You → robot[/]  {self._question}", markup=True)
        self._console.print(f"[dim]a simulated DingTalk, the real bot, {self._answerer}[/]")
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=12, vertical_overflow="visible")
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def show(self, sight: Sight) -> None:
        """The card looks like this now."""
        if self._live:
            self._live.update(_card(sight))
            return
        kept = len(commonprefix([self._shown, sight.text]))  # noqa: RUF071 - characters are meant, not paths
        grew = len(self._shown) - kept <= CLOSERS
        new = (sight.text[kept:] if grew else f"(replaced) {sight.text}").strip()
        self._shown = sight.text
        line = f"{sight.seconds:6.2f} s  {SIGNS[sight.state]} {sight.state:<8}"
        first, *rest = new.split("\n") or [""]
        self._console.print(Text(f"{line} {first}".rstrip()))
        for more in rest:
            self._console.print(Text(f"{'':20} {more}".rstrip()))

    def end(self, sight: Sight) -> None:
        """The card stays like this."""
        if self._live:
            self._live.update(_card(sight))
        else:
            self._console.print(Text(f"{sight.seconds:6.2f} s  {_summary(sight)}"))


def _card(sight: Sight) -> RenderableType:
    style = STYLES[sight.state]
    body: RenderableType = Markdown(sight.text) if sight.text else Text("…", style="dim")
    title = f"{SIGNS[sight.state]} {sight.state}  {sight.seconds:.1f} s"
    return Group(Panel(body, title=title, title_align="left", border_style=style, width=WIDTH), Text(_summary(sight)))


def _summary(sight: Sight) -> str:
    return f"{len(sight.text)} characters, {sight.calls} card calls"
