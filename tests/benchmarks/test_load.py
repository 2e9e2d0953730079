"""What a round asks for."""

from benchmarks.load import Load


def test_an_answer_has_exactly_the_characters_asked_for() -> None:
    for characters in (60, 1800, 2401):
        assert len(Load(1, characters=characters).answer_to("question 007")) == characters


def test_answers_to_different_questions_differ() -> None:
    load = Load(2)
    assert load.answer_to("question 000") != load.answer_to("question 001")


def test_a_rest_shorter_than_a_piece_is_an_event_too() -> None:
    assert Load(1, characters=13, piece=6).events == 3


def test_the_default_is_ten_events_a_second_for_half_a_minute() -> None:
    load = Load(1)
    assert load.seconds == 30.0
    assert load.events / load.seconds == 10.0
