"""The figures of a round that is written by hand: ten characters a second, two at a time, for ten seconds."""

import math
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.load import Load
from benchmarks.meter import Cost
from benchmarks.outcome import Outcome

LOAD = Load(1, characters=100, speed=10.0, piece=2, first=1.0)
NO_COST: dict[str, Any] = {"clock": [[0.0, 0.0], [1.0, 0.0]], "rss": 0.0, "lag_p50": 0.0, "lag_p99": 0.0}


def outcome(load: Load = LOAD, **changes: Any) -> Outcome:
    answer = {
        "question": "question 000",
        "asked": 99.0,
        "begun": 100.0,
        "frames": [[102.0, 10], [106.0, 50], [111.5, 100]],
        "finished": [111.5],
        "flaw": "",
    } | changes
    seen = {
        "answers": [answer],
        "calls": 4,
        "frames": 3,
        "rejected": 0,
        "violations": 0,
        "objections": [],
        "world": NO_COST,
    }
    return Outcome.of("somebody", load, seen, Cost.read(NO_COST))


def test_time_to_first_text_counts_from_the_message() -> None:
    assert outcome().first_text == (3.0, 3.0)


def test_time_after_the_first_token_counts_from_when_dify_was_to_speak() -> None:
    assert outcome().first_text_after_token == (1.0, 1.0)


def test_a_frame_without_text_is_not_the_first_text() -> None:
    assert outcome(frames=[[101.5, 0], [104.0, 20]]).first_text == (5.0, 5.0)


def test_final_delay_counts_from_the_last_character() -> None:
    assert outcome().final_delay == (0.5, 0.5)


def test_an_answer_without_a_final_frame_has_no_final_delay() -> None:
    assert math.isnan(outcome(finished=[]).final_delay[0])


def test_staleness_ends_when_dify_does() -> None:
    produced = 2 * sum(range(1, 51)) * 0.2 / 10  # fifty steps of two characters, 0.2 s each
    shown = (4 * 10 + 5 * 50) / 10
    assert outcome().stale == pytest.approx(produced - shown)


def test_an_answer_that_never_shows_anything_is_as_stale_as_what_was_written() -> None:
    assert outcome(frames=[], finished=[]).stale == pytest.approx(2 * sum(range(1, 51)) * 0.2 / 10)


def test_a_question_that_dify_never_got_is_not_complete_and_leaves_the_times_alone() -> None:
    found = outcome(begun=None, frames=[], finished=[], flaw="0 cards")
    assert found.complete == 0
    assert math.isnan(found.stale)


def test_the_bound_of_a_longer_answer_is_less_strict() -> None:
    longer = replace(LOAD, characters=10_000)
    assert outcome().strict_bound < outcome(longer).strict_bound < outcome().bound


def test_half_a_quota_doubles_the_interval_of_the_bound() -> None:
    alone, shared = replace(LOAD, answers=200), replace(LOAD, answers=200, burn=10.0)
    latency = LOAD.speed * 0.12
    assert outcome(shared).bound - latency == pytest.approx(2 * (outcome(alone).bound - latency))
