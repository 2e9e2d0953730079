"""What DingTalk's clients would act on is plain text in what they get; all else is what the model wrote."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cardbot.harmless import harmless
from cardbot.render import partial

SEND = "dtmd://dingtalkclient/sendMessage?content=%2Fapprove"
PAGE = "dingtalk://dingtalkclient/page/link?url=https%3A%2F%2Fexample.com&pc_slide=true"

LIVE = {
    "a link that speaks for the reader": f"[ok]({SEND})",
    "the same by itself": SEND,
    "in angle brackets": f"<{SEND}>",
    "as a reference": f"[ok][1]\n\n[1]: {SEND}",
    "behind an image": f"[![x](https://example.com/x.png)]({SEND})",
    "in HTML": f'<a href="{SEND}">ok</a>',
    "in capitals": f"[ok]({SEND.upper()})",
    "after Chinese": f"点{SEND}",
    "an escaped colon": f"[ok]({SEND.replace(':', chr(92) + ':')})",
    "escaped slashes": f"[ok]({SEND.replace('//', chr(92) + '/' + chr(92) + '/')})",
    "a letter by its number": f"[ok](&#100;{SEND[1:]})",
    "a letter by its hexadecimal number": f"[ok](&#X0064;{SEND[1:]})",
    "a colon by its name": f"[ok]({SEND.replace(':', '&colon;')})",
    "a colon by its number": f"[ok]({SEND.replace(':', '&#58;')})",
    "a slash by its name": f"[ok]({SEND.replace('//', '&sol;/')})",
    "an app of the client": "[ok](dingtalk://dingtalkclient/action/openapp?corpid=a&app_id=1)",
    "a page that is no web page": "[ok](dingtalk://dingtalkclient/page/link?url=dtmd%3A%2F%2Fx)",
    "a script": "[ok](javascript:alert(1))",
    "a script in angle brackets": "[ok](<javascript:alert(1)>)",
    "a script with a line end inside": '<a href="java\nscript:alert(1)">ok</a>',
    "a script with a named tab inside": "[ok](java&Tab;script:alert(1))",
    "a script of Visual Basic": "[ok]( vbscript:x)",
    "a mention": "<a atId=user0001>Li Lei</a>",
    "a mention of everybody": '<A ATID = "all">all</A>',
    "a mention behind another attribute": '<a href="https://example.com"atId=u>x</a>',
    "after an unfinished code span": f"`code [ok]({SEND})",
    "between two code spans over lines": f"`a\nb` [ok]({SEND}) `c`",
    "after an escaped backtick": f"\\` [ok]({SEND}) `",
    "behind a backtick in a tag": f'<i title="`"> [ok]({SEND}) `',
    "in a table behind a backtick": f"|`a|b|\n|-|-|\n|`|[ok]({SEND}) `|",
    "after a fence that an item of a list closes": f"- a\n  ```\n- b\n\n[ok]({SEND})",
    "after a fence in a quote": f"> ```\n[ok]({SEND})",
    "after a fence deep in a paragraph": f"text\n     ```\n[ok]({SEND})",
    "after a fence in a comment": f"<!--\n```\n-->\n\n[ok]({SEND})",
    "after a fence that closed": f"```\ncode\n```\n[ok]({SEND})",
    "with lone carriage returns": f"`a\r\r[ok]({SEND}) `",
}

TEXTS = {
    "prose": "DingTalk: a chat. JavaScript: a language. The javascript: scheme. atId is a name; x = 1: y.",
    "links": "[a](https://example.com/?a=1&b=2#c) <https://example.com> <a@example.com> [t](tel:+1) ![i](http://x/y)",
    "fonts": "<font color=common_blue1_color>blue</font> <font sizeToken=x colorTokenV2=y>small</font>",
    "a link of a web page that asks for atId": "https://example.com/?atId=1&x=2",
    "the client's way to open a web page": f"[handbook]({PAGE})",
    "a block of code": f'```html\n<a href="javascript:void(0)" atId=1>{SEND}</a>\n```\n',
    "an open block of code": f"~~~\n{SEND}",
    "a span of code": f"Write `{SEND}` or ``<a atId=`id`>``.",
    "an @all": "@all @所有人 <@all>",
    "entities": "&lt;b&gt; &amp; &#169; &#x4e2d;",
    "a regular expression": r"^(?:dtmd|dingtalk):\d+$",
}


@pytest.mark.parametrize("text", LIVE.values(), ids=LIVE)
def test_a_live_construct_loses_one_character_to_its_twin(text: str) -> None:
    changed = [(old, new) for old, new in zip(text, harmless(text), strict=True) if old != new]
    assert changed in ([(":", "：")], [("=", "＝")], [("&", "＆")])


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_all_else_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_each_of_many_constructs_is_seen() -> None:
    text = f"[a]({SEND}) and [b]({SEND})\n`{SEND}` {SEND} <a atId=u>x</a>"
    assert harmless(text).count("：") == 3
    assert harmless(text).count("＝") == 1
    assert f"`{SEND}`" in harmless(text)


# Whatever the text: read by another parser, nothing of it is live.

PIECES = [
    *LIVE.values(), *TEXTS.values(), SEND, PAGE,
    "[x](", ")", "<", ">", "<a ", "atId=u", '"', "'", "`", "``", "```", "~~~", "\n", "\n\n", "\r", "\t", "    ", "> ",
    "- ", "1. ", "|", "\\", "<!--", "-->", "<div>", "<pre>", "javascript:", "dtmd:", "//", "&#100;", "&colon;", "。",
]  # fmt: skip

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


ALIVE = re.compile(r"(java|vb)script:|dtmd:[/\\]|dingtalk:(?=[/\\])(?!//dingtalkclient/page/link\?)", re.IGNORECASE)


def dangers(text: str) -> list[str]:
    """What a reader by the book (CommonMark, with HTML and tables) would find alive."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    reader.validateLink = lambda url: True  # type: ignore[method-assign]  # it would hide scripts
    tokens = list(_flat(reader.parse(text)))
    addresses = [str(token.attrs.get("href", token.attrs.get("src", ""))) for token in tokens]
    tags = [token.content for token in tokens if token.type in ("html_inline", "html_block")]
    return [
        *(address for address in addresses if ALIVE.match(address)),
        *(tag for tag in tags if re.search(r"<a[\s/][^<>]*?\batid\s*=", tag, re.I | re.A)),
        *(tag for tag in tags if re.search(r"""(href|src)\s*=\s*["']?\s*(dtmd:/|javascript:)""", tag, re.I)),
    ]


def _flat(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *_flat(token.children or []))]


@pytest.mark.parametrize("name", ["a link that speaks for the reader", "a script", "a mention", "a colon by its name"])
def test_the_reader_by_the_book_finds_what_is_alive(name: str) -> None:
    assert dangers(LIVE[name])


@settings(max_examples=400, deadline=None)
@given(texts)
@example(f"`[ok]({SEND})")
def test_nothing_is_alive_in_what_is_shown(text: str) -> None:
    assert dangers(harmless(text)) == []


@settings(max_examples=200, deadline=None)
@given(texts, st.data())
def test_no_beginning_of_an_answer_shows_anything_alive(text: str, data: st.DataObject) -> None:
    begun = text[: data.draw(st.integers(0, len(text)))]
    assert dangers(harmless(begun)) == []
    assert dangers(harmless(partial(begun))) == []


@settings(deadline=None)
@given(texts)
def test_the_length_stays_and_a_second_time_changes_nothing(text: str) -> None:
    once = harmless(text)
    assert len(once) == len(text)
    assert harmless(once) == once


@settings(deadline=None)
@given(st.text())
def test_text_without_a_suspicious_word_stays_as_it_is(text: str) -> None:
    if not re.search(r"dtmd|dingtalk|script|atid|&", re.sub(r"[\t\r\n]", "", text), re.I):
        assert harmless(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "`" * 100_000 + "dtmd:/",
        "` `` ``` ```` " * 10_000 + "dtmd:/",
        "](" + " " * 100_000 + "dtmd:/",
        "<a " + "atid " * 30_000 + "dtmd:/",
        "&#0" * 50_000 + "dtmd:/",
        "&#" + "0" * 100_000 + "dtmd:/",
        "d" * 100_000 + "dtmd:/",
        "java&Tab;" * 20_000 + "dtmd:/",
        "j\n" * 50_000 + "dtmd:/",
        "= " * 50_000 + "=" + " " * 50_000 + "dtmd:/",
        "<" * 100_000 + "dtmd:/",
        f"{SEND} " * 3_000,
        "dingtalk://dingtalkclient/page/link?" + "a=b&" * 30_000,
        "```\n" * 30_000 + "dtmd:/",
        "\\`" * 50_000 + "dtmd:/",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_costs_little(text: str) -> None:
    began = time.process_time()
    harmless(text)
    assert time.process_time() - began < 2
