"""Which message a card, a question or a reply belongs to."""

from cardbot.playground.web.threads import Threads
from cardbot.texts import EN

GROUP = "cidGROUP=="


def threads() -> Threads:
    here = Threads()
    here.ask("m1", chat=GROUP, user="user0001", text="one")
    here.ask("m2", chat=GROUP, user="user0002", text=" two")
    here.ask("m3", chat=GROUP, user="user0001", text="three")
    return here


def test_cards_go_to_the_people_they_are_for_in_order() -> None:
    here = threads()
    assert here.of_card("c2", chat=GROUP, user="user0002") == "m2"
    assert here.of_card("c1", chat=GROUP, user="user0001") == "m1"
    assert here.of_card("c3", chat=GROUP, user="user0001") == "m3"


def test_later_calls_find_a_card_by_its_id() -> None:
    here = threads()
    here.of_card("c1", chat=GROUP, user="user0001")
    assert here.of_card("c1", chat="", user="") == "m1"


def test_a_second_card_continues_the_last_answer() -> None:
    here = Threads()
    here.ask("m1", chat=GROUP, user="user0001", text="one")
    assert [here.of_card(card, chat=GROUP, user="user0001") for card in ("c1", "c2")] == ["m1", "m1"]


def test_questions_are_found_by_who_asks_and_what() -> None:
    here = threads()
    assert here.of_question(user="dingtalk:corp:user0002", text="two") == "m2"
    assert here.of_question(user="dingtalk:corp:user0001", text="three") == "m3"
    assert here.of_question(user="dingtalk:corp:user0009", text="three") == ""


def test_a_question_is_found_behind_what_it_quotes() -> None:
    here = threads()
    here.ask("picture", chat=GROUP, user="user0001", text="")
    assert here.of_question(user="user0001", text=EN.quoted.format(quote="> one") + "\n\nthree") == "m3"


def test_a_message_without_words_is_found_by_the_bots_own() -> None:
    here = threads()
    here.ask("picture", chat=GROUP, user="user0001", text="")
    assert here.of_question(user="user0001", text=EN.about_files) == "picture"
    assert here.of_question(user="user0001", text="four") == ""


def test_the_rest_after_a_form_belongs_to_the_question() -> None:
    here = threads()
    assert here.of_rest(user="dingtalk:corp:user0001") == ""
    here.of_question(user="user0001", text="one")
    assert here.of_rest(user="dingtalk:corp:user0001") == "m1"


def test_a_message_is_under_way_until_its_card_ends() -> None:
    here = threads()
    here.of_card("c1", chat=GROUP, user="user0001")
    assert here.under_way(chat=GROUP, user="user0001") == ["m1", "m3"]
    here.end("c1", text="All of it.")
    assert here.under_way(chat=GROUP, user="user0001") == ["m3"]


def test_a_reply_is_not_for_a_message_that_dify_still_answers() -> None:
    here = threads()
    here.of_question(user="user0001", text="one")
    assert here.of_reply(chat=GROUP, users=()) == "m3"
    here.answered("m1")
    assert here.of_reply(chat=GROUP, users=()) == "m1"


def test_a_reply_that_comes_at_once_passes_messages_that_are_under_way() -> None:
    here = Threads()
    here.ask("long", chat=GROUP, user="user0001", text="one")
    here.of_card("c1", chat=GROUP, user="user0001")
    here.of_question(user="user0001", text="one")
    here.ask("table", chat=GROUP, user="user0001", text="two")
    here.ask("file", chat=GROUP, user="user0001", text="")
    assert here.of_reply(chat=GROUP, users=()) == "file"
    assert here.of_card("c2", chat=GROUP, user="user0001") == "table"


def test_a_reply_that_a_card_pointed_to_belongs_to_that_card() -> None:
    here = Threads()
    for number in (1, 2):
        here.ask(f"m{number}", chat=GROUP, user="user0001", text=f"{number}")
        here.of_card(f"c{number}", chat=GROUP, user="user0001")
    here.end("c1", text=f"Up to here.\n\n{EN.elsewhere}")
    here.end("c2", text="All of it.")
    assert here.of_reply(chat=GROUP, users=()) == "m1"


def test_a_reply_after_the_end_of_all_cards_goes_to_the_last_message() -> None:
    here = Threads()
    here.ask("m1", chat=GROUP, user="user0001", text="one")
    here.of_card("c1", chat=GROUP, user="user0001")
    here.end("c1", text="All of it.")
    assert here.of_reply(chat=GROUP, users=()) == "m1"


def test_nothing_is_found_where_nobody_asked() -> None:
    here = Threads()
    assert here.of_card("c", chat=GROUP, user="") == ""
    assert here.of_reply(chat=GROUP, users=()) == ""
