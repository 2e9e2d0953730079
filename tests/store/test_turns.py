"""The line within one process, and how a conversation's key is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.ports import ConversationKey
from cardbot.store.turns import Turns, text_of

KEY = ConversationKey(app="app-1", robot="robot", chat="cid+/==", person="王:小 明")


@pytest.mark.anyio
async def test_a_conversation_whose_turn_nobody_takes_is_not_remembered() -> None:
    turns = Turns()
    async with turns.turn(KEY):
        assert len(turns) == 1
    assert len(turns) == 0


parts = st.text(st.characters(), max_size=8)  # half surrogates included


@given(parts, parts, parts, parts)
def test_a_written_key_is_one_line_that_can_be_read_back(app: str, robot: str, chat: str, person: str) -> None:
    text = text_of(ConversationKey(app=app, robot=robot, chat=chat, person=person))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == [app, robot, chat, person]


def test_a_written_key_stays_the_same_over_releases() -> None:
    assert text_of(KEY) == r'["app-1","robot","cid+/==","\u738b:\u5c0f \u660e"]'
