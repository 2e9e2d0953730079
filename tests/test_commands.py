"""Which messages are commands, and which are questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.commands import NEW_WORDS, Command, command_in


@pytest.mark.parametrize("text", ["/new", " /NEW ", "新会话", "清除", "Reset"])
def test_any_of_the_words_begins_a_new_conversation(text: str) -> None:
    assert command_in(text, NEW_WORDS) is Command.NEW


@pytest.mark.parametrize("text", ["/new york", "reset my password", "/newer", "新会话是什么", "", "/"])
def test_a_word_with_more_around_it_is_a_question(text: str) -> None:
    assert command_in(text, NEW_WORDS) is Command.NONE


def test_other_words_may_be_chosen_in_place_of_ours() -> None:
    assert command_in("Neu", ["neu"]) is Command.NEW
    assert command_in("/new", ["neu"]) is Command.NONE


def test_help_and_stop_are_commands() -> None:
    assert (command_in("/help", ()), command_in("/Stop ", ())) == (Command.HELP, Command.STOP)


@given(st.text(min_size=1).map(lambda text: "/" + text))
def test_other_text_behind_a_slash_goes_to_dify(text: str) -> None:
    known = {"/new", "/help", "/stop"}
    assert (command_in(text, NEW_WORDS) is Command.NONE) == (text.strip().casefold() not in known)
