"""What the scripted Dify of the playground says of what it was given."""

import pytest

from cardbot.playground.dify import Script
from cardbot.playground.dify.files import Upload
from cardbot.playground.samples import about_files, heard, recorded, sample_answer
from cardbot.playground.web import questions
from cardbot.texts import EN, ZH


def upload(name: str, size: int, media_type: str = "") -> Upload:
    return Upload(id=name, user="u", name=name, media_type=media_type, content=bytes(size))


def test_one_picture_is_named_with_its_size() -> None:
    text = about_files(EN.about_files, [upload("a.png", 12_345)]).whole
    assert text.startswith("I was given 1 image, 12 kB.")
    assert "| `a.png` | image | 12 kB |" in text


def test_files_of_several_kinds_are_counted_by_kind() -> None:
    text = about_files("look", [upload("a.png", 400), upload("b.pdf", 1_100), upload("c.jpg", 0)]).whole
    assert text.startswith("I was given 2 images, 1 document, 1.5 kB.")


def test_the_answer_about_files_is_in_the_language_of_the_question() -> None:
    assert about_files(ZH.about_files, [upload("a.png", 2_500_000)]).whole.startswith("我收到了 1 张图片，2.5 MB。")


def test_a_name_cannot_leave_its_cell() -> None:
    assert "| `a/b.png` |" in about_files("look", [upload("a`|b.png", 1)]).whole


def test_what_was_recorded_is_heard() -> None:
    assert heard(recorded("今天天气怎么样？")) == "今天天气怎么样？"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_ready_question_has_an_answer_of_its_own(language: str) -> None:
    for ready in questions.listed():
        script = questions.answer(ready["question"][language], page="http://here")
        assert isinstance(script, Script)
        assert script.whole not in ("", sample_answer(ready["question"][language]).whole)
        assert not any(place in script.whole for place in (questions.PICTURE, questions.NUMBERS))


def test_the_answer_to_a_question_with_a_quote_is_about_the_question() -> None:
    text = sample_answer("Quoted message:\n\n> 第一\n>\n> 第二\n\nand this?").whole
    assert text.startswith("## You asked: and this?\n\nWhat you quoted went to Dify too: 6 characters.\n\n")
    assert "第一" not in text


def test_a_quote_without_a_question_is_the_question() -> None:
    assert sample_answer("> only this").whole.startswith("## You asked: > only this\n")
