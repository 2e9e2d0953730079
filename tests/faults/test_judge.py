"""The judge sees each way to break the promise."""

import pytest

from cardbot.playground.platform import State
from cardbot.texts import EN
from tests.faults.judge import Ends, Sight, failure, objections, part, parts, whole

TEXT = "It is sunny."
DONE, FAILED, WRITING = State.DONE, State.FAILED, State.WRITING


@pytest.mark.parametrize(
    ("sight", "ends"),
    [
        (Sight(((DONE, TEXT),)), whole(TEXT)),
        (Sight((), (TEXT,)), whole(TEXT)),
        (Sight(((DONE, EN.elsewhere),), (TEXT,)), whole(TEXT)),
        (Sight(((DONE, f"It is\n\n{EN.interrupted}"),)), part(TEXT, 6)),
        (Sight(((FAILED, EN.lost),)), parts(TEXT)),
        (Sight(((FAILED, EN.unavailable),)), failure(EN.unavailable)),
    ],
)
def test_a_kept_promise_is_not_objected_to(sight: Sight, ends: Ends) -> None:
    assert objections(sight, ends) == []


@pytest.mark.parametrize(
    ("sight", "objection"),
    [
        (Sight(), "lost"),
        (Sight(((DONE, EN.elsewhere),)), "lost"),
        (Sight(((DONE, TEXT), (DONE, TEXT))), "twice"),
        (Sight(((DONE, TEXT),), (TEXT,)), "twice"),
        (Sight((), (TEXT, TEXT)), "twice"),
        (Sight(((DONE, "It is"),)), "not what Dify said"),
        (Sight(((WRITING, TEXT),)), "spins"),
        (Sight(((WRITING, "It"),), (TEXT,)), "spins"),
        (Sight(((DONE, EN.elsewhere), (DONE, TEXT))), "points to"),
        (Sight(((FAILED, TEXT),)), "looks failed"),
    ],
)
def test_a_broken_promise_is_named(sight: Sight, objection: str) -> None:
    assert any(what.startswith(objection) or objection in what for what in objections(sight, whole(TEXT)))


def test_a_card_may_spin_only_beside_an_answer_and_where_nothing_can_close_it() -> None:
    assert objections(Sight(((WRITING, "It"),), (TEXT,)), whole(TEXT), may_spin=True) == []
    assert objections(Sight(((WRITING, "It"),)), whole(TEXT), may_spin=True) != []
