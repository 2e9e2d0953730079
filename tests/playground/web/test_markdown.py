"""Markdown that a model, or whoever speaks through it, wrote."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.playground.web.markdown import TAGS, Renderer

html = Renderer({"http://127.0.0.1:4711"}).html


def test_tables_code_and_lists_become_elements() -> None:
    shown = html("| a | b |\n|---|--:|\n| 1 | 2 |\n\n```python\nx = 1\n```\n\n- one")
    assert '<th align="right">b</th>' in shown
    assert '<code class="language-python">x = 1' in shown
    assert "<li>one</li>" in shown


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        '![x](http://127.0.0.1:4711/a"onerror="alert(1))',
        "<iframe src=//evil.example></iframe>",
        '```"onmouseover=alert(1)\nx\n```',
        "<a href='JaVaScRiPt:alert(1)'>x</a>",
    ],
)
def test_nothing_in_a_text_runs(markdown: str) -> None:
    shown = html(markdown)
    tags = re.findall(r"<(/?)(\w+)([^>]*)>", shown)
    assert {name for _, name, _ in tags} <= TAGS
    assert not any(re.search(r"\son\w+=|script:|data:text|style=", attributes, re.I) for _, _, attributes in tags)


def test_markup_in_a_text_is_shown_as_it_is_written() -> None:
    assert html("a <b>bold</b> claim") == "<p>a &lt;b&gt;bold&lt;/b&gt; claim</p>\n"


def test_a_picture_of_this_server_is_shown() -> None:
    assert '<img src="http://127.0.0.1:4711/static/traffic.svg"' in html(
        "![a](http://127.0.0.1:4711/static/traffic.svg)"
    )


def test_a_picture_of_another_server_is_named_and_not_loaded() -> None:
    shown = html("![a chart](https://evil.example/?secret)")
    assert "<img" not in shown
    assert "a chart https://evil.example/?secret" in shown


def test_links_open_elsewhere_and_tell_nothing() -> None:
    assert 'target="_blank"' in html("[x](https://a.example)")
    assert 'rel="noopener noreferrer"' in html("[x](https://a.example)")


@given(st.text(alphabet="<>&\"'`*_[]()!|-#\n =:/javscriptonerx", max_size=80))
def test_any_text_gives_known_elements_only(text: str) -> None:
    assert set(re.findall(r"</?([a-zA-Z][\w-]*)", html(text))) <= TAGS
