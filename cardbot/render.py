"""Makes markdown that is still being written fit to be shown in a DingTalk card.

Documented: a frame with half a construct renders badly (open.dingtalk.com, AI card streaming, read 2026-11). So a frame
in the middle ends before what is half written, or after it with its closing marks. What flickers least decides:

- Bold, struck and code text is shown as such from its first letter on, with the closing marks added: held back, a whole
  phrase would arrive in one jump; shown bare, it would change its look when the marks arrive.
- Links, images, tags and table rows are held back until they are whole: half of them is noise that nobody can read.
- White space at the end is dropped, because it makes the card jump (seen: public connectors do the same).

What is held back is always an end of the text and bounded by the limits below; what stays open longer is plain text.
"""

import re
from dataclasses import dataclass

_OPEN_LIMIT = 200
"""Characters a `[`, a tag or a pair of marks may stay open in its line. Our choice: a sentence or two."""

_LONG_LIMIT = 1_000
"""Characters of a link's address or of a table row. Our choice: signed download links have several hundred."""

_HELD_LIMIT = 2_000
"""Characters held back in all. Our choice: twice the longest construct."""

_FENCE = re.compile(r"`{3,}|~{3,}")
_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t\r]*")
_DELIMITER_START = re.compile(r"[|:\- \t]*")
_PIPE = re.compile(r"\\.|(\|)")
# Bullets, numbers, rules and heading marks without their text: shown, they would be an empty list item or a headline.
_BARE_MARKS = re.compile(r"[ \t>]*(?:[-=*_+#:~`| \t]+|\d{1,2}[.)])?")
_INLINE = re.compile(r"\\.?|`+|\*+|_+|~+|!?\[|\]|<")
_TAG = re.compile(r"""</?[a-z](?:[^<>"']|"[^"<>]*"|'[^'<>]*')*>""", re.IGNORECASE)
# Only ASCII outside of quotes, so that "x<y 时…" does not wait for a `>`.
_TAG_START = re.compile(r"""</?(?:[a-z](?:[!#-&(-;=?-~ \t]|"[^"<>]*(?:"|\Z)|'[^'<>]*(?:'|\Z))*)?\Z""", re.I | re.A)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced code block that nothing closes."""

    start: int
    """Where its first line begins."""
    body: int
    """Where its code begins."""
    indent: str
    mark: str
    info: str

    @property
    def opener(self) -> str:
        return f"{self.indent}{self.mark}{self.info}\n"

    @property
    def closer(self) -> str:
        return self.indent + self.mark


def fences(text: str) -> tuple[int, Fence | None]:
    """Where the last closed code block ends (0 without one), and the block that is open at the end.

    Fences count at any indentation: inside lists they stand further in than at the top level.
    """
    plain, fence = 0, None
    for run in _FENCE.finditer(text):
        if run.start() and text[run.start() - 1] not in "\n \t":
            continue
        start = text.rfind("\n", 0, run.start()) + 1
        indent = text[start : run.start()]
        if indent.strip(" \t"):
            continue
        newline = text.find("\n", run.end())
        end = len(text) if newline < 0 else newline
        rest = text[run.end() : end].strip()
        if fence is None:
            if "`" not in rest or run[0][0] == "~":
                fence = Fence(start, min(end + 1, len(text)), indent, run[0], rest)
        elif not rest and run[0].startswith(fence.mark):
            plain, fence = end, None
    return plain, fence


def whole(markdown: str) -> str:
    """The text with an open code block closed, so that something can follow; nothing else is changed."""
    _, fence = fences(markdown)
    if fence is None:
        return markdown
    return markdown + ("" if markdown.endswith("\n") else "\n") + fence.closer


def partial(markdown: str) -> str:
    """A frame in the middle of an answer: whole markdown that the next frame continues.

    Measured: 0.1 ms for 18,000 characters (Python 3.11, 2026-11).
    """
    text = markdown.rstrip()
    plain, fence = fences(text)
    if fence is not None:
        code = text[fence.body :]
        last = code[code.rfind("\n") + 1 :].strip()
        if last and last in fence.mark and "\n" in text[fence.start :]:
            code = code[: code.rfind("\n") + 1]  # the closing fence, half typed
        code = code.rstrip()
        if code or fence.body - fence.start > _OPEN_LIMIT:
            return f"{text[: fence.body]}{code}".rstrip() + "\n" + fence.closer
        text = text[: fence.start].rstrip()  # an empty box says nothing, and its language may be half typed
    shown = text
    while len(shown) > plain:
        if len(text) - len(shown) > _HELD_LIMIT:
            return whole(markdown.rstrip())
        end = _unfinished_block(shown, plain)
        closers = ""
        if end == len(shown):
            line = max(shown.rfind("\n") + 1, plain)
            end, closers = _unfinished_inline(shown[line:]) if not _is_row(shown, plain) else (len(shown) - line, "")
            end += line
        if end == len(shown):
            return shown + closers
        shown = shown[:end].rstrip()
    return shown
