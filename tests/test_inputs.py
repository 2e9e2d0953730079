"""Values for an app's inputs: what a setting may say, and what a message makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.inputs import constants, fill, parse
from cardbot.messages import Chat, ChatKind, Incoming, Person

ADA = Person("u-1", "staff-1", "Ada {Lovelace}")


def message(sender: Person = ADA, title: str = "Engines") -> Incoming:
    chat = Chat("cid-1", ChatKind.GROUP, title)
    return Incoming("m-1", "robot", chat, sender, "text", "hello", None, 0.0)


def test_texts_name_what_is_known_of_the_message() -> None:
    template = parse('{"who": "{sender_name} ({sender_id})", "where": "{chat_title}/{chat_id}"}')
    assert fill(template, message()) == {"who": "Ada {Lovelace} (staff-1)", "where": "Engines/cid-1"}


def test_somebody_from_outside_has_another_id() -> None:
    outsider = Person("u-2", "", "Bob")
    assert fill(parse('{"id": "{sender_id}"}'), message(outsider)) == {"id": "u-2"}


def test_what_is_no_text_stays_what_it_is() -> None:
    values = {"n": 3, "x": 1.5, "yes": True, "none": None, "list": ["{sender_name}"], "object": {"a": "{b}"}}
    template = parse(json.dumps(values))
    assert fill(template, message()) == values
    assert constants(template) == values


def test_constants_are_those_that_name_nothing() -> None:
    template = parse('{"team": "blue {{1}}", "who": "{sender_name}"}')
    assert constants(template) == {"team": "blue {1}"}
    assert fill(template, message()) == {"team": "blue {1}", "who": "Ada {Lovelace}"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("blue", "must be a JSON object"),
        ("[1]", "must be a JSON object"),
        ('{"a": ', "must be a JSON object"),
        ("[" * 100_000, "must be a JSON object"),
        ('{"a": "{sender}"}', r"names \{sender\} in a: what can be named is \{sender_name\}, \{sender_id\}"),
        ('{"a": "{sender_name"}', "has a single brace in a"),
        ('{"a": "}"}', "has a single brace in a"),
        ('{"a": "{}"}', "has braces in a that name nothing"),
        ('{"a": "{0}"}', "has braces in a that name nothing"),
        ('{"a": "{sender_name.__class__}"}', "has braces in a that name nothing"),
        ('{"a": "{sender_name[0]}"}', "has braces in a that name nothing"),
        ('{"a": "{sender_name!r}"}', "has braces in a that name nothing"),
        ('{"a": "{sender_name:>99}"}', "has braces in a that name nothing"),
    ],
)
def test_what_is_wrong_is_said_in_a_few_words(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(value)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_whatever_is_accepted_can_be_filled_in(values: dict[str, object]) -> None:
    try:
        template = parse(json.dumps(values))
    except ValueError:
        return
    assert set(fill(template, message())) == set(values)
    assert set(constants(template)) <= set(values)
