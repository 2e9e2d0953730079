"""Who is answered, in numbers: no clock."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.admission import MINUTE, PEOPLE, Admission, Admitted, NotAllowed, TooFast, TooOld, Verdict
from cardbot.messages import Chat, ChatKind, Incoming
from tests.values import GROUP, direct

NOW = 1_795_000_000.0
NOBODY: frozenset[str] = frozenset()


def admission(*, users: frozenset[str] = NOBODY, chats: frozenset[str] = NOBODY, rate: int = 0) -> Admission:
    return Admission(allow_users=users, allow_chats=chats, rate=rate)


def from_person(sender_id: str, *, staff_id: str = "", robot: str = "dingrobot", created_at: float = 0.0) -> Incoming:
    message = direct(robot_code=robot, created_at=created_at)
    return replace(message, sender=replace(message.sender, id=sender_id, staff_id=staff_id))


def in_chat(chat_id: str, *, staff_id: str = "") -> Incoming:
    return replace(from_person("$:LWCP_v1:$1", staff_id=staff_id), chat=Chat(chat_id, ChatKind.GROUP))


# The lists.


def test_without_lists_everybody_is_answered_everywhere() -> None:
    assert admission().decide(in_chat("cid=="), NOW) == Admitted()


@pytest.mark.parametrize(
    ("staff_id", "chat", "verdict"),
    [
        ("boss", "cidA==", Admitted()),
        ("boss", "cidB==", Admitted()),
        ("guest", "cidA==", Admitted()),
        ("guest", "cidB==", NotAllowed()),
    ],
)
def test_the_people_of_the_one_list_and_the_chats_of_the_other_are_answered(
    staff_id: str, chat: str, verdict: Verdict
) -> None:
    gate = admission(users=frozenset({"boss"}), chats=frozenset({"cidA=="}))
    assert gate.decide(in_chat(chat, staff_id=staff_id), NOW) == verdict


def test_a_list_of_people_alone_shuts_out_all_others_in_every_chat() -> None:
    gate = admission(users=frozenset({"boss"}))
    assert gate.decide(in_chat("cidA==", staff_id="guest"), NOW) == NotAllowed()
    assert gate.decide(in_chat("cidA==", staff_id="boss"), NOW) == Admitted()


def test_a_list_of_chats_alone_shuts_out_all_other_chats_direct_ones_too() -> None:
    gate = admission(chats=frozenset({GROUP.chat.id}))
    assert gate.decide(replace(GROUP, created_at=NOW), NOW) == Admitted()
    assert gate.decide(direct(created_at=NOW), NOW) == NotAllowed()


def test_the_id_of_a_conversation_is_case_sensitive() -> None:
    assert admission(chats=frozenset({"cidAb=="})).decide(in_chat("cidaB=="), NOW) == NotAllowed()


def test_a_person_without_staff_id_is_not_on_a_list_of_people() -> None:
    gate = admission(users=frozenset({"boss", "$:LWCP_v1:$1"}))
    assert gate.decide(from_person("$:LWCP_v1:$1", staff_id=""), NOW) == NotAllowed()


# The rate.


def test_the_message_beyond_the_rate_is_refused_with_the_seconds_to_wait() -> None:
    gate = admission(rate=2)
    assert [gate.decide(from_person("a"), NOW + second) for second in (0, 10, 20.5)] == [
        Admitted(),
        Admitted(),
        TooFast(seconds=40),
    ]


def test_the_minute_slides() -> None:
    gate = admission(rate=2)
    seconds = (0, 30, 59.9, 60, 61, 90)
    verdicts = [gate.decide(from_person("a"), NOW + second) for second in seconds]
    assert [verdict == Admitted() for verdict in verdicts] == [True, True, False, True, False, True]


def test_a_refused_message_does_not_count() -> None:
    gate = admission(rate=1)
    gate.decide(from_person("a"), NOW)
    for second in range(1, 60):
        assert gate.decide(from_person("a"), NOW + second) == TooFast(60 - second)
    assert gate.decide(from_person("a"), NOW + 60) == Admitted()


def test_neither_a_message_that_is_not_allowed_nor_an_old_one_counts() -> None:
    gate = admission(chats=frozenset({"cidA=="}), rate=1)
    assert gate.decide(in_chat("cidB=="), NOW) == NotAllowed()
    assert isinstance(gate.decide(replace(in_chat("cidA=="), created_at=1.0), NOW), TooOld)
    assert gate.decide(in_chat("cidA=="), NOW) == Admitted()


def test_each_person_has_a_minute_of_their_own() -> None:
    gate = admission(rate=1)
    gate.decide(from_person("a"), NOW)
    assert gate.decide(from_person("b"), NOW) == Admitted()


def test_each_robot_counts_for_itself() -> None:
    gate = admission(rate=1)
    gate.decide(from_person("a", robot="one"), NOW)
    assert gate.decide(from_person("a", robot="two"), NOW) == Admitted()


def test_a_person_is_counted_across_chats() -> None:
    gate = admission(rate=1)
    gate.decide(in_chat("cidA=="), NOW)
    assert gate.decide(in_chat("cidB=="), NOW) == TooFast(60)


def test_a_rate_of_zero_sets_no_bound() -> None:
    gate = admission(rate=0)
    assert {gate.decide(from_person("a"), NOW) for _ in range(100)} == {Admitted()}


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    gate = admission(rate=1)
    gate.decide(from_person("a"), NOW)
    assert gate.decide(from_person("a"), NOW - 3600) == Admitted()


def test_someone_who_goes_on_writing_is_not_forgotten_for_a_crowd() -> None:
    gate = admission(rate=1)
    gate.decide(from_person("a"), NOW)
    for number in range(PEOPLE + 10):
        gate.decide(from_person(str(number)), NOW)
        if number % 1000 == 0:
            assert gate.decide(from_person("a"), NOW) == TooFast(60)
    assert gate.decide(from_person("a"), NOW) == TooFast(60)


def test_above_the_bound_of_people_the_one_silent_for_longest_is_forgotten() -> None:
    gate = admission(rate=1)
    for number in range(PEOPLE + 1):
        gate.decide(from_person(str(number)), NOW)
    assert gate.decide(from_person("1"), NOW) == TooFast(60)
    assert gate.decide(from_person("0"), NOW) == Admitted()


@given(
    rate=st.integers(1, 4),
    steps=st.lists(st.integers(0, 60 * 8).map(lambda eighths: eighths / 8), min_size=1, max_size=40),
)
def test_no_minute_holds_more_than_the_rate_and_whoever_waits_as_told_is_admitted(
    rate: int, steps: list[float]
) -> None:
    gate, now = admission(rate=rate), NOW
    admitted: list[float] = []
    for step in steps:
        now += step
        verdict = gate.decide(from_person("a"), now)
        if isinstance(verdict, TooFast):
            assert 1 <= verdict.seconds <= 60
            now += verdict.seconds
            assert gate.decide(from_person("a"), now) == Admitted()
        admitted.append(now)
        assert sum(now - sent < MINUTE for sent in admitted) <= rate


# The age.


def test_a_message_older_than_half_an_hour_is_not_answered() -> None:
    assert admission().decide(from_person("a", created_at=NOW - 1801), NOW) == TooOld(1801)
    assert admission().decide(from_person("a", created_at=NOW - 1800), NOW) == Admitted()


def test_of_a_message_that_is_too_old_nothing_else_is_said() -> None:
    gate = admission(users=frozenset({"boss"}), rate=1)
    assert gate.decide(from_person("a", created_at=NOW - 3600), NOW) == TooOld(3600)


@pytest.mark.parametrize("created_at", [0.0, -1.0, math.nan])
def test_a_message_without_its_time_was_written_now(created_at: float) -> None:
    assert admission().decide(from_person("a", created_at=created_at), NOW) == Admitted()


@pytest.mark.parametrize("ahead", [1.0, 1e9, math.inf])
def test_a_message_from_the_future_was_written_now(ahead: float) -> None:
    assert admission().decide(from_person("a", created_at=NOW + ahead), NOW) == Admitted()
