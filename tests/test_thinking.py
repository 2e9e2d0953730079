from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.thinking import ThinkingSplitter

# Seen: recorded from Dify 0.15.8 and 1.14.1 with a model that fills `reasoning_content` or writes the tags itself.
DETAILS = (
    '<details style="color:gray;background-color: #f8f8f8;padding: 8px;border-radius: 4px;" open> '
    "<summary> Thinking... </summary>"
)
FROM_0_15 = [
    DETAILS + "Let ",
    "me t",
    "hink",
    "。\n\n1. F",
    "irst <",
    "b>ta",
    "g</b",
    ">\n",
    "</details>Fake",
    " ans",
    "wer ",
]
FROM_1_14 = ["<thi", "nk>\n", "Let ", "me t", "hink", "。\n\n1. F", "irst <", "b>ta", "g</b", ">\n</", "thin", "k>\n\n"]

PIECES = [
    *("<think>", "<THINK a='1'>", "</think>", "</Think >", "<details>", "</details>", DETAILS, "<summary>", "Thinking"),
    *("```", "````", "`", "``", "~~~", "~", "<", "<b>", ">", "\n", "\n\n", "\r\n", " ", "\u3000", "a", "答案", "py"),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=16).map("".join)


def split(*deltas: str) -> ThinkingSplitter:
    splitter = ThinkingSplitter()
    for delta in deltas:
        splitter.feed(delta)
    splitter.close()
    return splitter


def outcome(splitter: ThinkingSplitter) -> tuple[str, str, bool]:
    return splitter.answer, splitter.reasoning, splitter.thinking


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)))))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


class TestWhateverTheText:
    @given(cut_texts())
    def test_the_result_does_not_depend_on_how_the_stream_was_cut(self, deltas: list[str]) -> None:
        assert outcome(split(*deltas)) == outcome(split("".join(deltas)))

    @given(cut_texts().filter(lambda deltas: "<" not in "".join(deltas)))
    def test_text_without_tags_is_shown_unchanged_at_once(self, deltas: list[str]) -> None:
        splitter = ThinkingSplitter()
        fed = ""
        for delta in deltas:
            splitter.feed(delta)
            fed += delta
            assert splitter.answer == fed

    @given(st.text())
    def test_text_without_tags_is_complete_in_the_end(self, text: str) -> None:
        assert split(text).answer == text

    @given(cut_texts())
    def test_what_was_shown_stays_or_is_withdrawn_once_as_thinking(self, deltas: list[str]) -> None:
        splitter = ThinkingSplitter()
        shown, withdrawn = "", 0
        steps: list[Callable[[], None]] = [*(partial(splitter.feed, delta) for delta in deltas), splitter.close]
        for step in steps:
            step()
            if not splitter.answer.startswith(shown):
                withdrawn += 1
                assert splitter.reasoning.startswith(shown.strip())
            shown = splitter.answer
        assert withdrawn <= 1


class TestRecordedStreams:
    def test_dify_0_15_details_are_thinking(self) -> None:
        splitter = split(*FROM_0_15)
        assert splitter.answer == "Fake answer "
        assert splitter.reasoning == "Let me think。\n\n1. First <b>tag</b>"

    def test_think_tags_split_between_tokens_are_thinking(self) -> None:
        splitter = split(*FROM_1_14, "Fake", " answer")
        assert splitter.answer == "Fake answer"
        assert splitter.reasoning == "Let me think。\n\n1. First <b>tag</b>"

    def test_a_separated_chatflow_still_writes_tags_between_other_text(self) -> None:
        assert (
            split("R<", "Let me", "> A<", "<thi", "nk>\nx", "\n</th", "ink>\n\nFake", ">").answer
            == "R<Let me> A<\n\nFake>"
        )


class TestBlocks:
    @pytest.mark.parametrize("opener", ["<think>", "<THINK>", '<think time="3s">', "<Think\nid=1>"])
    def test_a_think_tag_may_have_attributes_and_any_case(self, opener: str) -> None:
        assert outcome(split(f"{opener}why</tHink >so")) == ("so", "why", False)

    @pytest.mark.parametrize("text", ["<thinking>a</thinking>", "<think-tank>", "< think>", "<details>a</details>"])
    def test_other_tags_are_text(self, text: str) -> None:
        assert split(text).answer == text

    def test_details_with_another_summary_are_markdown(self) -> None:
        text = "<details><summary>More</summary>Thinking</details>"
        assert split(text).answer == text

    def test_several_blocks_are_all_taken_out(self) -> None:
        splitter = split("<think>one</think>\n\nA<think>two</think>B")
        assert outcome(splitter) == ("AB", "one\n\ntwo", False)

    def test_nested_blocks_end_with_the_outer_one(self) -> None:
        assert split(f"<think>a{DETAILS}b</details>c<think>d</think>e</think>f").answer == "f"

    def test_details_in_thinking_do_not_end_dify_0_15_thinking(self) -> None:
        assert split(f"{DETAILS}a<details>b</details>c</details>d").answer == "d"

    def test_a_closer_takes_what_was_left_open_inside_with_it(self) -> None:
        assert split("<think>the <details> tag</think>yes").answer == "yes"

    def test_a_closer_that_nobody_opened_inside_a_block_is_thinking(self) -> None:
        assert outcome(split("<think>a</details>b</think>c")) == ("c", "a</details>b", False)

    def test_thinking_lasts_from_the_opener_to_the_closer(self) -> None:
        splitter = ThinkingSplitter()
        seen = []
        for delta in ["<thi", "nk>", "x", "</thin", "k>", "y"]:
            splitter.feed(delta)
            seen.append(splitter.thinking)
        assert seen == [False, True, True, True, False, False]

    def test_an_empty_block_leaves_no_reasoning(self) -> None:
        assert outcome(split("<think>\n\n</think>\n\nHi")) == ("Hi", "", False)


class TestEnds:
    def test_a_possible_tag_is_held_back(self) -> None:
        splitter = ThinkingSplitter()
        splitter.feed("so <thin")
        assert splitter.answer == "so "

    def test_a_possible_tag_that_becomes_none_is_shown(self) -> None:
        splitter = ThinkingSplitter()
        splitter.feed("so <thin")
        splitter.feed("g")
        assert splitter.answer == "so <thing"

    def test_a_possible_tag_is_text_when_the_stream_ends(self) -> None:
        assert split("so <thin").answer == "so <thin"

    def test_a_tag_that_never_ends_is_not_held_back_for_ever(self) -> None:
        splitter = ThinkingSplitter()
        splitter.feed("<think " + "x" * 600)
        assert splitter.answer == "<think " + "x" * 600

    def test_an_unclosed_opener_keeps_its_content_as_reasoning(self) -> None:
        assert outcome(split("A<think>why")) == ("A", "why", True)

    def test_a_lone_closer_withdraws_the_answer_so_far(self) -> None:
        splitter = ThinkingSplitter()
        splitter.feed("Let me see.\n")
        assert splitter.answer == "Let me see.\n"
        splitter.feed("</think>\n\nYes.")
        assert outcome(splitter) == ("Yes.", "Let me see.", False)

    @pytest.mark.parametrize("first", ["<think>a</think>b", "a</think>b"])
    def test_a_closer_after_a_block_is_text(self, first: str) -> None:
        assert split(f"{first} </think> c").answer == "b </think> c"

    def test_white_space_between_thinking_and_answer_is_dropped(self) -> None:
        assert split("<think>a</think>", "\n", "\r\n ", "Yes\n").answer == "Yes\n"

    def test_white_space_after_thinking_inside_the_answer_stays(self) -> None:
        assert split("One\n<think>a</think>\nTwo").answer == "One\n\nTwo"


class TestCode:
    @pytest.mark.parametrize(
        "text",
        [
            "```\n<think>a</think>\n```\n",
            "~~~html\n</think>\n~~~",
            "1. list\n    ```\n    <think>\n    ```",
            "````\n```\n<think>\n````",
            "```\n<think>",
            "```\n\u3000```\n<think>",
            "Use `<think>` and `</think>`.",
            "Use `` `<think>` `` so.",
            "```<think>```",
        ],
    )
    def test_tags_in_code_are_text(self, text: str) -> None:
        assert split(*text).answer == text

    @pytest.mark.parametrize("code", ["```\nx\n```\n", "~~~\nx\n~~~~\n", "``x``", "a``` b\n", "it`s\n"])
    def test_tags_after_code_are_tags(self, code: str) -> None:
        assert split(*f"{code}<think>a</think>").answer == code

    def test_a_stray_backtick_does_not_hide_a_tag(self) -> None:
        assert split("it`s <think>a\n</think>b").answer == "it`s b"

    def test_a_possible_tag_after_a_backtick_waits_for_the_end_of_the_span(self) -> None:
        splitter = ThinkingSplitter()
        splitter.feed("use `a <think>")
        assert splitter.answer == "use `a "
        splitter.feed("`")
        splitter.feed(" so")
        assert splitter.answer == "use `a <think>` so"

    def test_a_backtick_does_not_hold_a_tag_for_ever(self) -> None:
        splitter = ThinkingSplitter()
        splitter.feed("`" + "x" * 2_000 + "<think>why")
        assert splitter.thinking

    def test_a_code_span_longer_than_the_wait_is_none_however_it_arrives(self) -> None:
        text = "`" + "x" * 1_500 + "<think>`"
        assert outcome(split(text)) == outcome(split(*text)) == ("`" + "x" * 1_500, "`", True)

    def test_thinking_may_quote_a_block(self) -> None:
        quoted = "```\n<think>\nx\n</think>\n```\nand `</think>`"
        assert outcome(split(f"<think>{quoted}\n</think>\nb")) == ("b", quoted, False)

    def test_thinking_ends_after_a_block_that_it_quotes_in_an_open_fence(self) -> None:
        assert split("<think>\n```\n<think>\nx\n</think>\n</think>\nAnswer").answer == "Answer"

    def test_a_fence_left_open_by_thinking_does_not_swallow_the_answer(self) -> None:
        assert (
            split("<think>\n```\ncode\n</think>\n\nAnswer\n```\n</think>\n```").answer == "Answer\n```\n</think>\n```"
        )
