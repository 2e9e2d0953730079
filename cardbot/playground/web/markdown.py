"""Turns an answer's markdown into HTML that is safe to show, whoever wrote it."""

import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt

CACHED = 256
"""Texts whose HTML is kept. Our choice: each frame of a card is shown to every open page, and again after a reload."""

# fmt: off
TAGS = frozenset([
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol", "p",
    "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
])
# fmt: on
"""What a card of DingTalk can show. seen: templates exported from the card platform; the rest goes, its text stays."""

_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "code": {"class"},
    "ol": {"start"},
    "td": {"align"},
    "th": {"align"},
}
_LANGUAGE = re.compile(r"language-[\w+#.-]{1,30}")
_ALIGNMENT = re.compile(r"text-align:(left|center|right)")

# HTML in the text is shown as text. The library checks the schemes of links itself; the sanitiser does it again.
_parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])


class Renderer:
    """Renders for one page. Pictures come from `origins` ("https://dify.example") only; others become links."""

    def __init__(self, origins: Collection[str] = ()) -> None:
        self._origins = frozenset(origins)
        self.html = lru_cache(maxsize=CACHED)(self._html)

    def _html(self, markdown: str) -> str:
        tokens = _parser.parse(markdown)
        for token in tokens:
            # Table cells are aligned by a `style`, which the page's policy forbids; cards show `align` as well.
            if found := _ALIGNMENT.fullmatch(str(token.attrGet("style") or "")):
                token.attrs = {"align": found[1]}
            for child in token.children or []:
                source = str(child.attrGet("src") or "")
                if child.type == "image" and not self._may_load(source):
                    child.type, child.tag, child.content = "text", "", f"🖼 {child.content or ''} {source}".strip()
        return nh3.clean(
            _parser.renderer.render(tokens, _parser.options, {}),
            tags=set(TAGS),
            attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
            attribute_filter=_allowed,
            url_schemes={"http", "https", "mailto", "data"},
            link_rel="noopener noreferrer",
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )

    def _may_load(self, source: str) -> bool:
        try:
            parts = urlsplit(source)
        except ValueError:
            return False
        return source.startswith("data:image/") or f"{parts.scheme}://{parts.netloc}" in self._origins


def _allowed(tag: str, attribute: str, value: str) -> str | None:
    match tag, attribute:
        case "code", "class":
            return value if _LANGUAGE.fullmatch(value) else None
        case "a", "href" if value.startswith("data:"):
            return None
        case _:
            return value
