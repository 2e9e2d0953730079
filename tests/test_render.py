import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.render import partial, snippet, whole

PIECES = [
    *("**", "*", "_", "__", "~~", "~", "`", "``", "[", "]", "(", ")", "![", "](", "<", "<b", ">", "|", "-", "\\"),
    *("\n", "\n\n", "\r\n", " ", "    ", "a", "B2", "答案", "。", "1.", "#", '"', "| a | b |", "|---|---|", "x" * 90),
]
FENCES = ["```", "````", "```py", "~~~", "\n```\n", "\n~~~~\n", "\n  ```\n"]
prose = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=20).map("".join)
texts = st.lists(st.sampled_from([*PIECES, *FENCES]) | st.text(max_size=3), max_size=20).map("".join)


def open_fence(markdown: str) -> str:
    """What a code block that nothing closes was opened with: CommonMark 4.5, written line by line."""
    mark = ""
    for line in markdown.split("\n"):
        bare = line.strip(" \t\r")
        run = bare[: len(bare) - len(bare.lstrip(bare[0]))] if bare and bare[0] in "`~" else ""
        if not mark and len(run) >= 3 and (run[0] == "~" or "`" not in bare[len(run) :]):
            mark = run
        elif mark and bare == run and run.startswith(mark):
            mark = ""
    return mark


class TestWhole:
    @given(texts)
    def test_no_fence_stays_open(self, text: str) -> None:
        assert not open_fence(whole(text))

    @given(texts)
    def test_the_text_stays_in_front(self, text: str) -> None:
        assert whole(text).startswith(text)

    @given(texts.filter(lambda text: not open_fence(text)))
    def test_a_text_without_an_open_fence_is_unchanged(self, text: str) -> None:
        assert whole(text) == text

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("```py\nx = 1", "```py\nx = 1\n```"),
            ("```py\nx = 1\n", "```py\nx = 1\n```"),
            ("````\n```\n", "````\n```\n````"),
            ("~~~\n```", "~~~\n```\n~~~"),
            ("1. do\n   ```sh\n   ls", "1. do\n   ```sh\n   ls\n   ```"),
            ("- ```sh\n  ls", "- ```sh\n  ls\n  ```"),
            ("```", "```\n```"),
        ],
    )
    def test_the_closing_fence_fits_the_opening_one(self, text: str, expected: str) -> None:
        assert whole(text) == expected

    @pytest.mark.parametrize("text", ["a ```\nb", "```a```", "```a`b", "\\```", "``\nb"])
    def test_backticks_that_open_no_block_are_left_alone(self, text: str) -> None:
        assert whole(text) == text


class TestPartialWhateverTheText:
    @given(texts)
    def test_no_fence_stays_open(self, text: str) -> None:
        assert not open_fence(partial(text))

    @given(texts)
    def test_a_second_time_changes_nothing(self, text: str) -> None:
        assert partial(partial(text)) == partial(text)

    @given(texts)
    def test_nothing_ends_in_white_space(self, text: str) -> None:
        assert partial(text) == partial(text).rstrip()

    @given(prose.filter(lambda text: "```" not in text and "~~~" not in text))
    def test_without_fences_it_is_a_beginning_of_the_text_with_closing_marks(self, text: str) -> None:
        shown = partial(text)
        assert text.startswith(shown.rstrip("*_~`"))

    @given(prose)
    def test_a_settled_paragraph_is_shown_in_full(self, text: str) -> None:
        settled = text.replace("`", "").replace("~", "").rstrip()
        assert partial(f"{settled}\n\nEnd.") == f"{settled}\n\nEnd."

    @given(st.lists(st.sampled_from(["[", "![", "<b", "`a", "**a", "~~", "| a", "- ", "word ", "答案"]), max_size=800))
    def test_what_is_held_back_is_bounded(self, parts: list[str]) -> None:
        text = "".join(parts)
        assert len(text) - len(partial(text)) <= 3_000


class TestPartialCode:
    @pytest.mark.parametrize("code", ["x = 1", "`", "x = ``", "```\nx", "~~~"])
    def test_code_so_far_is_closed_with_the_fence_that_opened_it(self, code: str) -> None:
        assert partial(f"````py\n{code};") == f"````py\n{code};\n````"

    @pytest.mark.parametrize("typed", ["`", "``", " ``"])
    def test_a_half_typed_closing_fence_is_held_back(self, typed: str) -> None:
        assert partial(f"```py\nx = 1\n{typed}") == "```py\nx = 1\n```"

    @pytest.mark.parametrize("typed", ["`", "``", "```", "```p", "```py", "```py\n", "```py\n\n", "```py\n``"])
    def test_a_block_is_held_back_until_it_has_code(self, typed: str) -> None:
        assert partial(f"So:\n\n{typed}") == "So:"

    def test_a_closed_block_is_shown_as_it_is(self) -> None:
        assert partial("```py\n**x\n```\n") == "```py\n**x\n```"

    def test_marks_after_a_block_are_looked_at(self) -> None:
        assert partial("```py\nx\n```\nso **b") == "```py\nx\n```\nso **b**"

    def test_marks_in_code_are_code(self) -> None:
        assert partial("```\n**a [b") == "```\n**a [b\n```"


class TestPartialMarks:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("so **bo", "so **bo**"),
            ("so **bo*", "so **bo**"),
            ("so **bo**", "so **bo**"),
            ("这是**重点", "这是**重点**"),
            ("*it", "*it*"),
            ("***both", "***both***"),
            ("**a *b", "**a *b***"),
            ("~~st~", "~~st~~"),
            ("**a ~~b", "**a ~~b~~**"),
            ("__b", "__b__"),
            ("use `co", "use `co`"),
            ("use ``co`d", "use ``co`d``"),
            ("use ``co`", "use ``co``"),
            ("**use `co", "**use `co`**"),
            ("* item **b", "* item **b**"),
        ],
    )
    def test_bold_struck_and_code_text_gets_its_closing_marks(self, text: str, expected: str) -> None:
        assert partial(text) == expected

    @pytest.mark.parametrize("mark", ["*", "**", "~~", "`", "``", "_", "\\", " **"])
    def test_marks_without_text_are_held_back(self, mark: str) -> None:
        assert partial(f"so{mark}") == "so"

    @pytest.mark.parametrize(
        "text", ["2 * 3 * 4", "2*3", "snake_case", "a__b", "a `**b` c", r"\*a", "_private", "3~5", "好！"]
    )
    def test_marks_that_open_nothing_are_text(self, text: str) -> None:
        assert partial(text) == text

    def test_marks_of_an_earlier_line_are_text(self) -> None:
        assert partial("**a\nb") == "**a\nb"

    def test_a_mark_that_stays_open_for_long_is_text(self) -> None:
        text = "**" + "a" * 300
        assert partial(text) == text

    @pytest.mark.parametrize("marks", ["-", "* ", "##", "> ", "1.", "- [", "---", "=="])
    def test_a_line_of_bare_marks_is_held_back(self, marks: str) -> None:
        assert partial(f"Title\n{marks}") == "Title"

    def test_a_stream_of_bare_marks_is_not_held_back_for_ever(self) -> None:
        assert partial("-\n" * 100) == ("-\n" * 100).rstrip()


class TestPartialLinksAndTags:
    @pytest.mark.parametrize(
        "half", ["[", "[te", "[te]", "[te](", "[te](http://a/(b)", "![", "![a](", "[**te", "[![a](b)", "[" + "`a`"]
    )
    def test_a_half_link_or_image_is_held_back(self, half: str) -> None:
        assert partial(f"See {half}") == "See"

    @pytest.mark.parametrize("text", ["[te](http://a/(b))", "![a](b)", "a[0] b", "- [ ] do", "[1]。", r"\[te"])
    def test_whole_links_and_plain_brackets_are_shown(self, text: str) -> None:
        assert partial(text) == text

    @pytest.mark.parametrize("text", ["[" + "a" * 300, "[a](" + "b" * 1_100, "[a\nb", "<a " + "b" * 300])
    def test_what_stays_open_for_long_is_text(self, text: str) -> None:
        assert partial(text) == text

    @pytest.mark.parametrize("half", ["<", "</", "<fo", '<font color="re', "<https://a.example/", "</fo"])
    def test_a_half_tag_is_held_back(self, half: str) -> None:
        assert partial(f"See {half}") == "See"

    @pytest.mark.parametrize("text", ["a < b", "x<y 时成立", "<b>a", "1 <2", "<https://a.example/>"])
    def test_whole_tags_and_plain_signs_are_shown(self, text: str) -> None:
        assert partial(text) == text

    def test_text_before_the_link_keeps_its_closing_marks(self) -> None:
        assert partial("**see [te") == "**see**"


class TestPartialTables:
    HEAD = "| a | b |\n|---|---|"

    @pytest.mark.parametrize("end", range(1, len(HEAD)))
    def test_a_table_is_held_back_until_its_second_line_is_whole(self, end: int) -> None:
        assert partial(f"So:\n\n{self.HEAD[:end]}") == "So:"

    @pytest.mark.parametrize("row", ["|", "| 1", "| 1 |", "| 1 | 2"])
    def test_a_row_is_held_back_until_it_is_whole(self, row: str) -> None:
        assert partial(f"{self.HEAD}\n| 0 | 0 |\n{row}") == f"{self.HEAD}\n| 0 | 0 |"

    @pytest.mark.parametrize("row", ["", "\n| 1 | 2 |", "\n| [x | **y |", "\n| a\\|b | c |\n"])
    def test_whole_rows_are_shown_without_closing_marks(self, row: str) -> None:
        assert partial(f"{self.HEAD}{row}") == f"{self.HEAD}{row}".rstrip()

    def test_an_escaped_pipe_ends_no_cell(self) -> None:
        assert partial(f"{self.HEAD}\n| 1 \\| | 2") == self.HEAD

    @pytest.mark.parametrize("text", ["a | b", "run `ls | wc` now", "| a\n| b\n| c"])
    def test_pipes_without_a_table_are_text(self, text: str) -> None:
        assert partial(text) == text

    def test_text_below_a_table_is_text(self) -> None:
        assert partial(f"{self.HEAD}\nDone **b") == f"{self.HEAD}\nDone **b**"


class TestSnippet:
    @pytest.mark.parametrize(
        ("markdown", "words"),
        [
            ("# Title\n\nHello **w** [link](http://x/(y)) ![pic](u)", "Title Hello w link pic"),
            ("| a | b |\n|---|---|\n| 1 | 2 |", "a b 1 2"),
            ("```py\nprint(1)\n```", "print(1)"),
            ("- [ ] do `x`\n> ~~no~~ *yes*", "do x no yes"),
            ("1. one\n2. two\n\n---", "one two"),
            ("snake_case, 2*3, a < b", "snake_case, 2*3, a < b"),
            ("<font color=red>hi</font> <https://a.example>", "hi https://a.example"),
            (r"a\*b", "a*b"),
            ("**", ""),
            ("", ""),
        ],
    )
    def test_markup_is_gone_and_words_stay(self, markdown: str, words: str) -> None:
        assert snippet(markdown) == words

    def test_a_long_text_is_cut_with_an_ellipsis(self) -> None:
        assert snippet("word " * 20, 12) == "word word w…"

    @given(texts, st.integers(1, 40))
    def test_it_is_one_line_within_the_limit(self, text: str, limit: int) -> None:
        words = snippet(text, limit)
        assert len(words) <= limit
        assert words == " ".join(words.split())
