"""Decoding server-sent events. Examples of the specification stand here as written there."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.sse import Decoder, ServerSentEvent


def decode(*chunks: bytes, line_limit: int = 1000) -> list[ServerSentEvent]:
    decoder = Decoder(line_limit=line_limit)
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def data(*chunks: bytes) -> list[str]:
    return [event.data for event in decode(*chunks)]


# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation


def test_specification_example_three_data_lines() -> None:
    assert data(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]


def test_specification_example_comments_and_ids() -> None:
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert decode(stream) == [
        ServerSentEvent("first event", id="1"),
        ServerSentEvent("second event"),
        ServerSentEvent(" third event"),
    ]


def test_specification_example_empty_data_and_an_unterminated_tail() -> None:
    assert data(b"data\n\ndata\ndata\n\ndata:") == ["", "\n"]


def test_specification_example_the_space_after_the_colon_is_optional() -> None:
    assert data(b"data:test\n\ndata: test\n\n") == ["test", "test"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_with_lf_or_crlf(end: bytes) -> None:
    assert data(b"data: a" + end + end + b"data: b" + end + end) == ["a", "b"]


def test_crlf_cut_between_cr_and_lf_is_one_line_end() -> None:
    assert data(b"data: a\r", b"\n\r", b"\n") == ["a"]


def test_one_byte_order_mark_at_the_start_is_dropped() -> None:
    assert data(b"\xef\xbb", b"\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n") == ["a", "\ufeffb"]


def test_unicode_line_separators_inside_json_survive() -> None:
    text = '{"answer":"one\u2028two\u2029three\u0085four"}'
    assert data(f"data: {text}\n\n".encode()) == [text]


def test_a_character_cut_between_its_bytes_is_whole_again() -> None:
    raw = "data: 中😀\n\n".encode()
    assert data(*(raw[i : i + 1] for i in range(len(raw)))) == ["中😀"]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert data(b"data: a\xffb\n\n") == ["a\ufffdb"]


def test_ping_without_data_gives_no_event() -> None:
    """Dify's ping is exactly these bytes (seen: recorded from Dify 0.15.8 and 1.14.1)."""
    assert data(b"event: ping\n\ndata: {}\n\n") == ["{}"]


def test_event_name_holds_for_one_event() -> None:
    assert [e.event for e in decode(b"event: add\ndata: 1\n\ndata: 2\n\n")] == ["add", "message"]


def test_id_stays_until_it_is_changed() -> None:
    assert [e.id for e in decode(b"id: 7-0\ndata: 1\n\ndata: 2\n\n")] == ["7-0", "7-0"]


def test_an_id_with_nul_is_ignored() -> None:
    assert [e.id for e in decode(b"id: a\0\ndata: 1\n\n")] == [""]


def test_retry_and_unknown_fields_are_ignored() -> None:
    assert data(b"retry: 10\nfoo: bar\ndata: 1\n\n") == ["1"]


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_an_oversized_line_is_skipped_and_the_next_event_arrives(size: int) -> None:
    raw = b"data: " + b"x" * 5000 + b"\n\ndata: next\n\n"
    decoder = Decoder(line_limit=1000)
    events = [event for i in range(0, len(raw), size) for event in decoder.feed(raw[i : i + size])]
    assert [event.data for event in events] == ["next"]
    assert decoder.skipped == 1


def test_an_oversized_line_is_not_kept_in_memory() -> None:
    decoder = Decoder(line_limit=1000)
    for _ in range(100):
        decoder.feed(b"x" * 1000)
    assert sum(map(len, decoder._parts)) <= 1000


@given(
    lines=st.lists(
        st.sampled_from([b"data: a", b"data", b":c", b"event: ping", b"id: 1", b"", b"\r", "data: 中\r".encode()])
    ),
    cuts=st.lists(st.integers(0, 200)),
)
def test_decoding_does_not_depend_on_chunk_boundaries(lines: list[bytes], cuts: list[int]) -> None:
    raw = b"\n".join(lines) + b"\n\n"
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    assert decode(*(raw[a:b] for a, b in pairwise(edges))) == decode(raw)


@given(st.lists(st.binary()))
def test_any_bytes_give_events_and_no_error(chunks: list[bytes]) -> None:
    decode(*chunks, line_limit=20)


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=200)))
def test_what_is_encoded_is_decoded_again(texts: list[str]) -> None:
    assert data(*(f"data: {text}\n\n".encode() for text in texts)) == texts
