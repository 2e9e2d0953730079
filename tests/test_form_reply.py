"""A form is filled in by buttons and by words."""

import time
from dataclasses import replace

import pytest

from cardbot.errors import StoreError
from cardbot.events import FormRequested
from cardbot.form_reply import FormReply, kept_of, waiting_in
from cardbot.ports import Button
from cardbot.texts import EN
from cardbot.words import Word

ACTIONS = ({"id": "yes", "title": "Send", "button_style": "primary"}, {"id": "no", "title": "Drop"})


def form(*fields: str, actions: tuple[dict[str, str], ...] = ACTIONS, content: str = "Send it?") -> FormReply:
    inputs = tuple({"type": "paragraph", "output_variable_name": name} for name in fields)
    return FormReply(FormRequested("Approve", content, inputs, actions, "token"), EN)


def test_each_action_is_a_button_in_its_colour() -> None:
    yes, no = form().buttons
    assert yes == Button("form:yes", "Send", "blue", yes.mark)
    assert no == Button("form:no", "Drop", "gray", yes.mark)


def test_a_button_chooses_its_action() -> None:
    reply = form()
    reply.press("form:no")
    assert (reply.action, reply.title) == ("no", "Drop")


def test_a_second_press_on_the_form_before_chooses_nothing() -> None:
    before = FormReply(FormRequested("Approve", "Send it?", (), ACTIONS, "token-of-the-form-before"), EN)
    reply = form()
    reply.press(f"form:yes{before.buttons[0].mark}")
    assert reply.action == ""
    reply.press(f"form:yes{reply.buttons[0].mark}")
    assert reply.action == "yes"


def test_the_mark_of_a_button_does_not_tell_the_token_of_the_form() -> None:
    assert "token" not in form().buttons[0].mark


@pytest.mark.parametrize("action", ["yes", "form:maybe", "stop", ""])
def test_a_button_of_something_else_chooses_nothing(action: str) -> None:
    reply = form()
    reply.press(action)
    assert reply.action == ""


@pytest.mark.parametrize("text", ["Send", " send ", "yes", "YES"])
def test_an_action_is_chosen_by_its_name(text: str) -> None:
    reply = form("note")
    reply.type("by noon")
    reply.type(text)
    assert (reply.action, reply.values) == ("yes", {"note": "by noon"})


def test_fields_are_filled_in_the_order_of_the_form() -> None:
    reply = form("to", "note")
    reply.type("Bob")
    reply.type("by noon\nor later")
    assert reply.values == {"to": "Bob", "note": "by noon\nor later"}


def test_fields_may_be_named_one_a_line() -> None:
    reply = form("to", "note")
    reply.type("note: by noon\nto： Bob")
    assert reply.values == {"to": "Bob", "note": "by noon"}


def test_a_text_with_a_colon_is_a_value_like_any_other() -> None:
    reply = form("note")
    reply.type("time: noon")
    assert reply.values == {"note": "time: noon"}


def test_what_is_typed_when_all_is_filled_in_corrects_the_last_field() -> None:
    reply = form("to", "note")
    for text in ("Bob", "noon", "midnight"):
        reply.type(text)
    assert reply.values == {"to": "Bob", "note": "midnight"}


def test_an_action_counts_only_when_nothing_is_missing() -> None:
    reply = form("note")
    reply.press("form:yes")
    assert reply.action == ""
    reply.type("by noon")
    assert reply.action == "yes"


def test_the_only_action_is_taken_when_the_last_field_is_there() -> None:
    reply = form("note", actions=({"id": "go", "title": "Go on"},))
    reply.type("by noon")
    assert reply.action == "go"


def test_a_default_is_a_value() -> None:
    field = {"type": "paragraph", "output_variable_name": "note", "default": {"type": "constant", "value": "none"}}
    reply = FormReply(FormRequested("", "", (field,), ACTIONS, "token"), EN)
    reply.press("form:yes")
    assert (reply.action, reply.values) == ("yes", {"note": "none"})


def test_a_form_that_is_shown_again_begins_with_what_was_filled_in() -> None:
    reply = form("to", "note")
    reply.type("to: Bob\nnote:")
    again = FormReply(reply.form, EN)
    assert again.values == {"to": "Bob", "note": ""}
    assert again.action == ""
    again.press("form:yes")
    assert again.action == "yes"


def test_why_a_form_is_shown_again_is_said_until_somebody_answers() -> None:
    pressed, typed = (FormReply(replace(form("note").form, remark="Once more, please."), EN) for _ in range(2))
    assert pressed.markdown.split("\n\n")[-2] == pressed.form.remark == "Once more, please."
    pressed.press("form:yes")
    typed.type("by noon")
    for reply in (pressed, typed):
        assert "Once more" not in reply.markdown + reply.form.remark


def test_the_form_says_what_is_missing_and_what_there_is_to_choose() -> None:
    reply = form("note", content="Send it with {{#$output.note#}}?")
    assert reply.markdown == (
        f"Send it with **[note]**?\n\n{EN.fill_in.format(fields='note')}\n\n{EN.choose.format(actions='Send / Drop')}"
    )
    reply.type("a smile")
    assert reply.markdown == (
        "Send it with a smile?\n\n"
        f"{EN.filled_in.format(fields='note: a smile')}\n\n{EN.choose.format(actions='Send / Drop')}"
    )


def test_a_form_of_odd_shapes_is_shown_all_the_same() -> None:
    odd = FormRequested("", "Read this.", ({"type": "file"}, {"output_variable_name": 7}), ({"title": 3},), "token")
    assert "Read this." in FormReply(odd, EN).markdown


def test_a_long_gap_in_what_is_typed_costs_no_time() -> None:
    filled = form("note")
    began = time.process_time()
    filled.type("note: x\n" + " " * 20_000 + "x")
    assert time.process_time() - began < 2


ADA = "ada"


@pytest.mark.parametrize(
    ("word", "now", "fits"),
    [
        (Word(ADA, text="send"), 10, True),
        (Word(ADA, text="No"), 10, True),
        (Word(ADA, text="What?"), 10, False),
        (Word("bob", text="send"), 10, False),
        (Word(ADA, text="send"), 100, False),
        (Word(ADA, text=""), 10, False),
    ],
)
def test_what_fits_a_form_without_fields(word: Word, now: float, *, fits: bool) -> None:
    (wanted,) = waiting_in(kept_of([form().wanted(ADA, until=100, reply_id="r-1")]))
    assert wanted.fits(word, now) is fits


@pytest.mark.parametrize("kept", ["nonsense", '{"person": "ada"}', '[{"person": "ada"}]', "[1]"])
def test_what_another_version_has_kept_of_a_form_is_an_error_of_the_store(kept: str) -> None:
    with pytest.raises(StoreError):
        waiting_in(kept)


def test_any_text_fits_a_form_with_fields() -> None:
    assert form("note").wanted(ADA, until=100, reply_id="r-1").fits(Word(ADA, text="What?"), 10)
