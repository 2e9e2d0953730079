"""Scripts as deltas with moments, without a server."""

import pytest

from cardbot.playground.dify.script import Script, cues


def test_text_is_cut_into_chunks() -> None:
    assert [delta for _, delta in cues(Script(text="abcdefghij", chunk=4))] == ["abcd", "efgh", "ij"]


def test_given_deltas_are_kept_as_they_are() -> None:
    assert [delta for _, delta in cues(Script(text=["a", "", "long one", "c"]))] == ["a", "long one", "c"]


def test_moments_follow_the_characters_spoken_before() -> None:
    script = Script(text=["ab", "c", "defg"], cps=2.0, first=10.0)
    assert [at for at, _ in cues(script)] == [10.0, 11.0, 11.5]
    assert script.over == 13.5


def test_without_a_rate_everything_is_due_with_the_first_token() -> None:
    assert {at for at, _ in cues(Script(text="abcdefgh", first=1.0))} == {1.0}


def test_end_strikes_half_way_unless_told_otherwise() -> None:
    assert Script(text="abcdefgh", end="cut").told == "abcd"


@pytest.mark.parametrize("at", [0, 1, 5, 8, 99])
def test_end_strikes_after_the_given_number_of_characters(at: int) -> None:
    assert Script(text="abcdefgh", chunk=3, end="eof", at=at).told == "abcdefgh"[:at]


def test_a_normal_answer_is_told_whole_whatever_at_says() -> None:
    assert Script(text="abcdefgh", at=2).told == "abcdefgh"


def test_thinking_comes_first_with_its_tags_split() -> None:
    script = Script(text="42", think="hm", chunk=100)
    deltas = [delta for _, delta in cues(script)]
    assert "".join(deltas) == "<think>\nhm\n</think>\n\n42"
    assert not any("<think>" in delta or "</think>" in delta for delta in deltas)


def test_duration_is_that_of_the_whole_answer_even_if_cut() -> None:
    script = Script(text="abcdefgh", cps=4.0, end="cut")
    assert (script.over, script.duration) == (1.0, 2.0)
