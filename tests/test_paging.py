from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.paging import pages, pieces
from cardbot.render import fences

Cut = Callable[[str, int], list[str]]
CUTS = pytest.mark.parametrize(("cut", "size"), [(pages, len), (pieces, lambda text: len(text.encode()))])

WORDS = ["a", "bb", "字", "é", "word ", "e\u0301", "👨‍👩‍👧", "。", " ", "    ", "\n", "\n\n", "\r\n", "- "]
BLOCKS = ["```", "```py\n", "\n```\n", "~~~\n", "`", "\nx = 1\n", "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n"]
prose = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=80).map("".join).filter(lambda t: "|" not in t)
texts = st.lists(st.sampled_from([*WORDS, *BLOCKS]), max_size=80).map("".join)
limits = st.integers(30, 120)


def squeezed(text: str) -> str:
    return "".join(text.split())


@CUTS
class TestWhateverTheText:
    @given(text=texts, limit=limits)
    def test_no_page_is_over_the_limit(self, cut: Cut, size: Callable[[str], int], text: str, limit: int) -> None:
        assert max(map(size, cut(text, limit))) <= limit

    @given(text=texts)
    def test_a_text_that_fits_is_one_page_unchanged(self, cut: Cut, size: Callable[[str], int], text: str) -> None:
        assert cut(text, max(1, size(text))) == [text]

    @given(text=texts, more=texts, limit=limits)
    def test_pages_before_the_last_stay_as_the_text_grows(
        self, cut: Cut, size: Callable[[str], int], text: str, more: str, limit: int
    ) -> None:
        before = cut(text, limit)[:-1]
        assert cut(text + more, limit)[: len(before)] == before

    @given(text=texts, limit=limits)
    def test_no_page_before_the_last_leaves_a_fence_open(
        self, cut: Cut, size: Callable[[str], int], text: str, limit: int
    ) -> None:
        assert not [page for page in cut(text, limit)[:-1] if fences(page)[1]]

    @given(text=prose.filter(lambda text: "```" not in text and "~~~" not in text), limit=limits)
    def test_only_white_space_is_lost(self, cut: Cut, size: Callable[[str], int], text: str, limit: int) -> None:
        assert squeezed("".join(cut(text, limit))) == squeezed(text)

    def test_the_smallest_limits_still_end(self, cut: Cut, size: Callable[[str], int]) -> None:
        assert squeezed("".join(cut("```py\nab字\n```", 1))) == "```pyab字```"


class TestWhereAPageEnds:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("one two\nthree\n\nfour five\nsix seven", ["one two\nthree", "four five\nsix seven"]),
            ("one two three\nfour five six", ["one two three", "four five six"]),
            ("One two three. Four five six", ["One two three.", "Four five six"]),
            ("一二三四五六七八九十。一二三四五六七八九十", ["一二三四五六七八九十。", "一二三四五六七八九十"]),
            ("one two three four five", ["one two three four", "five"]),
            ("x" * 25, ["x" * 20, "x" * 5]),
        ],
    )
    def test_the_best_break_in_the_second_half_is_taken(self, text: str, expected: list[str]) -> None:
        assert pages(text, 20) == expected

    def test_a_break_in_the_first_half_is_not_worth_a_short_page(self) -> None:
        assert pages("one\n\n" + "x" * 30, 20)[0] == "one\n\n" + "x" * 15

    def test_a_combining_character_stays_with_its_letter(self) -> None:
        assert pages("x" * 19 + "e\u0301" + "x" * 5, 20) == ["x" * 19, "e\u0301" + "x" * 5]

    def test_bytes_do_not_cut_a_character(self) -> None:
        assert pieces("字" * 10, 20) == ["字" * 6, "字" * 4]

    def test_white_space_alone_makes_no_page(self) -> None:
        assert pages("x" * 20 + "\n\n\n", 20) == ["x" * 20]

    def test_an_empty_text_is_one_empty_page(self) -> None:
        assert pages("", 20) == pieces("", 20) == [""]

    def test_an_indented_line_keeps_its_indent(self) -> None:
        assert pages("- one two three\n    - four five", 20)[1] == "    - four five"


class TestCodeAndTables:
    def test_a_code_block_is_closed_and_opened_again_with_its_language(self) -> None:
        lines = [f"line_{i} = {i}" for i in range(20)]
        cut = pages("```python\n" + "\n".join(lines) + "\n```", 100)
        assert len(cut) > 2
        assert all(page.startswith("```python\n") and page.endswith("\n```") for page in cut)
        assert [line for page in cut for line in page.split("\n")[1:-1]] == lines

    def test_a_code_block_late_in_a_page_moves_to_the_next_one(self) -> None:
        code = "```py\n" + "x = 1\n" * 8 + "```"
        assert pages("word " * 12 + f"\n{code}", 100)[1] == code

    def test_a_language_too_long_to_repeat_is_left_out(self) -> None:
        assert pages(f"```{'p' * 40}\n" + "x = 1\n" * 20 + "```", 100)[1].startswith("```\nx = 1\n")

    def test_a_table_repeats_its_head(self) -> None:
        head, rows = "| a | b |\n|---|---|\n", [f"| {i} | {i} |" for i in range(20)]
        cut = pages(head + "\n".join(rows), 100)
        assert len(cut) > 2
        assert all(page.startswith(head) for page in cut)
        assert [row for page in cut for row in page.split("\n")[2:]] == rows

    def test_a_table_late_in_a_page_moves_to_the_next_one(self) -> None:
        table = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 5
        assert pages("word " * 12 + f"\n{table}", 100)[1] == table

    def test_a_table_that_ends_at_the_boundary_is_not_repeated(self) -> None:
        table = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 6
        assert pages(f"{table}\n" + "word " * 15, 90)[1].startswith("word")
