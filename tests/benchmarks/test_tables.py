"""How figures look."""

import math

from benchmarks.pieces import Piece
from benchmarks.tables import Table, shares


def test_markdown_has_a_row_for_each_line_and_keeps_numbers_to_the_right() -> None:
    table = Table("Title", ("what", "seconds"), (("a", "1.0"), ("b", "2.0")), "A note.")
    assert table.markdown().splitlines() == [
        "**Title**",
        "",
        "| what | seconds |",
        "| --- | ---: |",
        "| a | 1.0 |",
        "| b | 2.0 |",
        "",
        "A note.",
    ]


def test_what_was_not_measured_is_a_dash_and_not_a_zero() -> None:
    row = shares([Piece("unknown", math.nan)], "asyncio").rows[0]
    assert row == ("unknown", "–", "–")


def test_shares_of_an_event_end_with_their_sum() -> None:
    table = shares([Piece("read", 60e-6), Piece("show", 40e-6)], "asyncio")
    assert table.rows == (("read", "60.0", "60"), ("show", "40.0", "40"), ("all", "100.0", "100"))
