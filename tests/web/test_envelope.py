"""What clients put before a person's words: taken off where it is that very form, and nowhere else."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cardbot.web.envelope import without_envelope

# As seen in github.com/openclaw/openclaw/issues/34153 and 94141.
SENDER = 'Sender (untrusted metadata):\n```json\n{\n  "label": "openclaw-control-ui",\n  "id": "openclaw"\n}\n```\n\n'
INFO = 'Conversation info (untrusted metadata):\n```json\n{\n  "message_id": "1",\n  "sender": "Ada"\n}\n```\n\n'


@pytest.mark.parametrize(
    "before",
    [
        SENDER,
        INFO,
        INFO + SENDER,
        SENDER + "[Wed 2026-03-04 15:56 GMT+8] ",
        "[Fri 2026-02-20 09:30 UTC] ",
        "[Wed 2026-05-27 18:32:58 GMT+8] ",
        "[Wed 2026-03-11 23:51 PDT] ",
        "[Sun 2026-03-01 00:00 GMT+5:30] ",
        "\n" + SENDER.replace("\n", "\r\n"),
    ],
)
def test_a_clients_envelope_is_taken_off(before: str) -> None:
    assert without_envelope(f"{before}What is the weather?\n[x]") == "What is the weather?\n[x]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  hello ",
        f"Why does it say {SENDER}",
        f"Why does it say {SENDER}before my words?",
        "Sender (untrusted metadata): what is that?",
        "Sender (untrusted metadata):\n```json\nnot json\n```\nhello",
        "Sender (untrusted metadata):\n```json\n[1]\n```\nhello",
        "Sender (untrusted metadata):\n```\n{}\n```\nhello",
        "sender (untrusted metadata):\n```json\n{}\n```\nhello",
        "[Wed 2026-03-04] meeting",
        "[2026-03-04 15:56] hello",
        "[Wednesday 2026-03-04 15:56 GMT+8] hello",
        "hello [Wed 2026-03-04 15:56 GMT+8]",
        'Replied message (untrusted, for context):\n```json\n{"body": "x"}\n```\n\nWhat does this mean?',
    ],
)
def test_a_persons_words_stay_as_they_are(text: str) -> None:
    assert without_envelope(text) == text


@pytest.mark.parametrize("text", [SENDER, INFO + SENDER, "[Wed 2026-03-04 15:56 GMT+8] "])
def test_an_envelope_without_words_stays(text: str) -> None:
    assert without_envelope(text) == text


def begins_as_an_envelope(text: str) -> bool:
    return bool(re.match(r"\s*(\[(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d|[A-Z][a-z ]+ \(untrusted metadata\):)", text))


@given(st.text().filter(lambda text: not begins_as_an_envelope(text)))
@example("[Mon] hello")
@example("```json\n{}\n```")
def test_ordinary_text_is_never_touched(text: str) -> None:
    assert without_envelope(text) == text


@given(
    st.lists(st.sampled_from([SENDER, INFO, "[Mon 2026-01-05 08:00 UTC] ", "Sender", "```json\n{}\n```\n", "\n", "x"]))
)
def test_what_is_left_is_always_the_end_of_what_there_was(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert text.endswith(without_envelope(text))


def test_a_hundred_thousand_envelopes_are_taken_off_in_a_moment() -> None:
    begin = time.perf_counter()
    assert without_envelope('Sender (untrusted metadata):\n```json\n{"id": "a"}\n```\n' * 150_000 + "hi") == "hi"
    assert time.perf_counter() - begin < 5
