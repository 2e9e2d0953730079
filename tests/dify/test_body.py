"""A question as a body, by what the app declares; and what the settings and the app do not agree on."""

from dataclasses import replace
from typing import Any

import pytest

from cardbot.dify.app import App, AppInput, app_of
from cardbot.dify.body import Form, body_of, missing, query_input
from cardbot.dify.concerns import concerns
from cardbot.dify.kinds import KINDS, kind_of
from cardbot.errors import FileNeeded, InputMissing, NoQuestionInput, QuestionTooLong
from cardbot.messages import FileKind, Question, Upload

WORKFLOW, COMPLETION, CHAT = KINDS["workflow"], KINDS["completion"], KINDS["chat"]
ASK = Question("hello", "ada")
PICTURES = tuple(Upload(f"f-{number}", FileKind.IMAGE) for number in (1, 2))
SENT = [{"type": "image", "transfer_method": "local_file", "upload_file_id": upload.id} for upload in PICTURES]
COLOUR = AppInput("c", "Colour", "select", options=("red",))


def text(name: str, *, required: bool = False, **more: Any) -> AppInput:
    return AppInput(name, name, "paragraph", required=required, **more)


def app(*inputs: AppInput, mode: str = "workflow", uploads: bool = False) -> App:
    return App("App", mode, "1.14.1", has_uploads=uploads, inputs=inputs)


# What was said before.

BEFORE = replace(ASK, before="User: hi")


@pytest.mark.parametrize(
    ("question", "query"),
    [
        (BEFORE, "User: hi\n\nhello"),
        (replace(BEFORE, conversation_id="c-1"), "hello"),
        (replace(BEFORE, system="Be brief."), "Be brief.\n\nUser: hi\n\nhello"),
    ],
)
def test_what_was_said_before_goes_along_where_a_conversation_begins(question: Question, query: str) -> None:
    assert body_of(question, CHAT, app(mode="chat"), Form())["query"] == query


def test_what_was_said_before_always_goes_along_where_there_are_no_conversations() -> None:
    question = replace(BEFORE, conversation_id="c-1")
    assert body_of(question, WORKFLOW, app(text("query")), Form())["inputs"] == {"query": "User: hi\n\nhello"}


def test_what_was_said_before_is_left_out_where_there_is_no_room() -> None:
    declared = app(text("query", max_length=7))
    assert body_of(BEFORE, WORKFLOW, declared, Form())["inputs"] == {"query": "hello"}
    with pytest.raises(QuestionTooLong):
        body_of(replace(BEFORE, query="hello you"), WORKFLOW, declared, Form())


# Which input takes the question.


@pytest.mark.parametrize(
    ("inputs", "wanted", "given", "chosen"),
    [
        ([text("query"), text("other", required=True)], "", (), "query"),
        ([text("a"), text("b", required=True)], "", (), "b"),
        ([text("a")], "", (), "a"),
        ([text("a"), text("b")], "b", (), "b"),
        ([text("a"), AppInput("n", "n", "number", required=True)], "", (), "a"),
        ([text("a", required=True), text("b", required=True)], "", ("a",), "b"),
        ([text("a"), text("system_prompt")], "", (), "a"),
        ([AppInput("n", "n", "select")], "n", (), "n"),
    ],
)
def test_the_question_goes_into(inputs: list[AppInput], wanted: str, given: tuple[str, ...], chosen: str) -> None:
    assert query_input(app(*inputs), WORKFLOW, given=given, wanted=wanted) == chosen


@pytest.mark.parametrize(
    ("inputs", "wanted", "words"),
    [
        ([], "", "declares no input that could take the question"),
        ([AppInput("n", "n", "number")], "", "declares no input that could take the question"),
        ([text("a"), text("b")], "", "set DIFY_QUERY_INPUT to one of a, b"),
        ([text("a", required=True), text("b", required=True)], "", "set DIFY_QUERY_INPUT to one of a, b"),
        ([text("a")], "gone", "DIFY_QUERY_INPUT is gone, an input that the app does not declare"),
    ],
)
def test_no_input_that_is_clearly_the_questions(inputs: list[AppInput], wanted: str, words: str) -> None:
    with pytest.raises(NoQuestionInput, match=words):
        query_input(app(*inputs), WORKFLOW, wanted=wanted)


def test_a_completion_app_needs_no_input_for_the_question() -> None:
    assert body_of(ASK, COMPLETION, app(mode="completion"), Form()) == {"inputs": {}, "user": "ada", "query": "hello"}


# Files.


def test_files_of_a_conversation_are_the_messages_own() -> None:
    body = body_of(Question("hello", "ada", files=PICTURES), CHAT, app(mode="chat", uploads=True), Form())
    assert body["files"] == SENT


def test_files_of_a_conversation_without_uploads_go_into_a_declared_input() -> None:
    declared = app(AppInput("papers", "Papers", "file-list"), mode="chat")
    body = body_of(Question("hello", "ada", files=PICTURES), CHAT, declared, Form())
    assert (body["inputs"], "files" in body) == ({"papers": SENT}, False)


def test_files_of_a_workflow_go_into_the_input_and_into_its_own_ones_too() -> None:
    declared = app(text("query"), AppInput("papers", "Papers", "file-list"), uploads=True)
    body = body_of(Question("hello", "ada", files=PICTURES), WORKFLOW, declared, Form())
    assert (body["inputs"]["papers"], body["files"]) == (SENT, SENT)


def test_several_files_go_into_a_list_rather_than_into_the_first_place() -> None:
    places = (AppInput("one", "One", "file"), AppInput("many", "Many", "file-list"))
    declared = app(text("query"), *places)
    assert body_of(Question("hello", "ada", files=PICTURES), WORKFLOW, declared, Form())["inputs"]["many"] == SENT
    body = body_of(Question("hello", "ada", files=PICTURES[:1]), WORKFLOW, declared, Form())
    assert body["inputs"] == {"query": "hello", "one": SENT[0]}


# What the app requires.


@pytest.mark.parametrize("mode", ["workflow", "advanced-chat"])
def test_a_flow_is_not_asked_without_an_input_that_it_requires(mode: str) -> None:
    declared = app(text("query", required=True), text("name", required=True), mode=mode)
    with pytest.raises(InputMissing, match="name"):
        body_of(ASK, kind_of(mode), declared, Form({"query": "x"} if mode == "advanced-chat" else {}))
    body_of(ASK, kind_of(mode), declared, Form({"name": "Ada", "query": "x"}, query_input="query"))


def test_a_flow_that_requires_a_file_is_not_asked_without_one() -> None:
    declared = app(text("query"), AppInput("paper", "Paper", "file", required=True))
    with pytest.raises(FileNeeded):
        body_of(ASK, WORKFLOW, declared, Form())
    body = body_of(Question("hello", "ada", files=PICTURES[:1]), WORKFLOW, declared, Form())
    assert body["inputs"]["paper"] == SENT[0]


def test_a_conversation_that_goes_on_is_asked_for_nothing_again() -> None:
    declared = app(text("name", required=True), mode="advanced-chat")
    assert body_of(Question("hello", "ada", "c-1"), kind_of("advanced-chat"), declared, Form())["query"] == "hello"


# What the app says of itself.


def test_an_app_is_read_from_what_dify_says() -> None:
    """Recorded from Dify 1.14.1."""
    parameters = {
        "user_input_form": [
            {
                "text-input": {
                    "label": "Your name",
                    "variable": "name",
                    "required": True,
                    "max_length": 10,
                    "default": "",
                }
            },
            {"select": {"label": "Color", "variable": "color", "required": False, "options": ["red"], "default": ""}},
        ],
        "speech_to_text": {"enabled": True},
    }
    found = app_of({"name": "Chat", "mode": "chat"}, parameters, "1.14.1")
    assert (found.name, found.mode, found.version, found.listens) == ("Chat", "chat", "1.14.1", True)
    assert found.inputs == (
        AppInput("name", "Your name", "text-input", required=True, max_length=10),
        AppInput("color", "Color", "select", options=("red",)),
    )


@pytest.mark.parametrize(
    ("parameters", "its_own"),
    [
        ({"file_upload": {"enabled": True}}, True),
        ({"file_upload": {"enabled": False, "image": {"enabled": True}}}, False),
        ({"file_upload": {"image": {"enabled": True}}}, True),  # before 0.15
        ({"user_input_form": [{"file": {"variable": "paper"}}]}, False),
        ({}, False),
    ],
)
def test_a_question_has_files_of_its_own_where_uploads_are_on(parameters: dict[str, Any], its_own: bool) -> None:
    found = app_of({}, parameters, "")
    assert found.has_uploads is its_own


@pytest.mark.parametrize("form", [None, {}, [None], [{"text-input": 5}], [{"text-input": {}}], ["x"]])
def test_a_strange_form_has_no_inputs(form: object) -> None:
    assert app_of({}, {"user_input_form": form}, "").inputs == ()


@pytest.mark.parametrize("mode", ["", "chat", "mode-of-tomorrow"])
def test_an_app_that_names_no_known_kind_is_asked_as_a_chat_app(mode: str) -> None:
    assert kind_of(mode) == CHAT


# What does not agree.


def told(found: App, form: Form | None = None, **given: Any) -> list[tuple[str, bool]]:
    template = given.pop("template", {})
    said = concerns(found, form or Form(template), template=template, **given)
    return [(concern.event, concern.fatal) for concern in said]


def test_an_app_that_needs_nothing_is_of_no_concern() -> None:
    assert told(app(text("query", required=True))) == []
    assert told(app(mode="chat"), system="Be brief.") == []


def test_required_inputs_that_nothing_fills_are_named() -> None:
    required = [text("query", required=True), text("name", required=True), text("size", required=True, default="L")]
    file = AppInput("picture", "Picture", "file", required=True)
    assert missing(app(*required, file), Form(), WORKFLOW) == ("name",)
    assert missing(app(*required), Form({"name": "x"}), WORKFLOW) == ()
    assert missing(app(*required), Form(), WORKFLOW, filled=["name"]) == ()
    (concern,) = concerns(app(*required), Form(), template={})
    assert (concern.event, concern.fatal) == ("dify_input_missing", True)
    assert 'DIFY_INPUTS, such as {"name": "…"}' in concern.sentence


@pytest.mark.parametrize(
    ("found", "template", "expected"),
    [
        (app(text("query")), {"gone": "x"}, [("dify_input_unknown", False)]),
        (app(text("query"), text("n")), {"n": 5}, [("dify_input_unfit", True)]),
        (
            app(text("query"), COLOUR),
            {"c": "blue"},
            [("dify_input_unfit", True)],
        ),
        (app(text("query"), COLOUR), {"c": "red"}, []),
        (app(), {}, [("dify_no_question_input", True)]),
        (app(mode="channel"), {}, [("dify_app_unknown", False)]),
    ],
)
def test_what_does_not_agree_is_told(found: App, template: dict[str, object], expected: list[tuple[str, bool]]) -> None:
    assert told(found, template=template) == expected


def test_null_is_no_value() -> None:
    found = app(text("query", required=True), text("name", required=True), text("note"))
    assert told(found, template={"name": None, "note": None}) == [("dify_input_missing", True)]


def test_a_choice_that_differs_from_message_to_message_is_not_judged() -> None:
    found = app(text("query"), COLOUR)
    assert told(found, Form(), template={"c": "{chat_title}"}) == []


def test_a_system_prompt_that_is_too_long_for_its_input_is_told() -> None:
    found = app(text("query"), text("system_prompt", max_length=3))
    assert told(found, system="Be brief.") == [("dify_input_cut", False)]
