"""The configuration: every problem by name, older names, what is never shown, and that its three lists are equal."""

import re
from pathlib import Path

import pytest

from cardbot.errors import SettingsError
from cardbot.forms import AssistantNames
from cardbot.misspelt import PREFIXES, advice
from cardbot.reading import OLDER_NAMES, environment, variables
from cardbot.settings import DifySettings, ServeSettings, Settings

ROOT = Path(__file__).parent.parent
ALL = {**variables(ServeSettings), **variables(Settings)}
NEEDED = {"DINGTALK_CLIENT_ID": "dingtest", "DINGTALK_CLIENT_SECRET": "hunter2", "DIFY_API_KEY": "app-hunter3"}


@pytest.fixture(autouse=True)
def _an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*ALL, *OLDER_NAMES}:
        monkeypatch.delenv(name, raising=False)


def env_file(folder: Path, content: str | bytes = "", **values: str) -> Path:
    path = folder / ".env"
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    path.write_bytes((content if isinstance(content, bytes) else content.encode()) + lines.encode())
    return path


def problems(path: Path | None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(path)
    return caught.value.problems


def test_three_variables_are_enough(tmp_path: Path) -> None:
    settings = Settings.load(env_file(tmp_path, **NEEDED))
    assert (settings.client_id, settings.client_secret.get_secret_value()) == ("dingtest", "hunter2")
    assert settings.robot == "dingtest"
    assert settings.dify_base_url == "https://api.dify.ai/v1"


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINGTALK_CLIENT_ID", "dingother")
    assert Settings.load(env_file(tmp_path, **NEEDED)).client_id == "dingother"


def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINGTALK_CLIENT_ID", "")
    assert Settings.load(env_file(tmp_path, **NEEDED)).client_id == "dingtest"


def test_an_empty_variable_hides_a_value_of_the_file_from_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DINGTALK_CLIENT_ID", "")
    path = env_file(tmp_path, **NEEDED, DINGTALK_APP_KEY="dingold")
    assert environment(path)["DINGTALK_CLIENT_ID"] == Settings.load(path).client_id
    assert advice(path) == [
        "DINGTALK_APP_KEY is a name of older guides and does nothing: DINGTALK_CLIENT_ID is set, so remove it."
    ]


@pytest.mark.parametrize("empty", ["", "DINGTALK_CLIENT_ID=\n", "DINGTALK_CLIENT_ID\n"])
def test_what_is_empty_in_the_file_too_is_missing_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    monkeypatch.setenv("DINGTALK_CLIENT_ID", "")
    path = env_file(tmp_path, empty, DINGTALK_APP_KEY="dingold")
    assert "DINGTALK_CLIENT_ID" not in environment(path)
    assert advice(path) == [
        "DINGTALK_APP_KEY is a name of older guides and does nothing: set DINGTALK_CLIENT_ID instead."
    ]
    assert "DINGTALK_CLIENT_ID is missing" in problems(path)[0]


def test_a_file_that_does_not_exist_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    assert Settings.load(tmp_path / "nowhere").client_id == "dingtest"


def test_all_that_is_missing_is_named_at_once() -> None:
    assert sorted(problems(None)) == [
        "DIFY_API_KEY is missing.",
        "DINGTALK_CLIENT_ID is missing.",
        "DINGTALK_CLIENT_SECRET is missing.",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIFY_API_KEY", '" "'),
        ("DIFY_BASE_URL", "dify.example.com/v1"),
        ("DIFY_BASE_URL", "ftp://dify.example.com"),
        ("DIFY_BASE_URL", "http://dify.example.com:port/v1"),
        ("DIFY_BASE_URL", "http://dify.example.com:99999/v1"),
        ("DIFY_BASE_URL", "http://[::1/v1"),
        ("DIFY_BASE_URL", '"http://dify example.com/v1"'),
        ("DIFY_BASE_URL", "https://user:hunter2@dify.example.com/v1"),
        ("DIFY_BASE_URL", "https://dify.example.com/v1?key=hunter2"),
        ("DINGTALK_OPENAPI_ENDPOINT", "http://api.dingtalk.com"),
        ("CARDBOT_STORE", "cardbot.db"),
        ("CARDBOT_STORE", "postgres://user:hunter2@host/0"),
        ("CARDBOT_CARD_QPS", "0"),
        ("CARDBOT_CARD_QPS", "many"),
        ("CARDBOT_FRAMES", "fast"),
        ("CARDBOT_MONTHLY_CALLS", "-1"),
        ("CARDBOT_ALLOW_USERS", ","),
        ("CARDBOT_ALLOW_USERS", "hunter2 user2"),
        ("CARDBOT_ALLOW_USERS", "hunter2;user2"),
        ("CARDBOT_ALLOW_USERS", "hunter2、user2"),
        ("CARDBOT_ALLOW_CHATS", '["hunter2","hunter3"]'),
        ("CARDBOT_USER_RATE", "-1"),
        ("CARDBOT_USER_RATE", "0.5"),
        ("CARDBOT_USER_RATE", "1001"),
        ("CARDBOT_MAX_ANSWERS", "0"),
        ("CARDBOT_SESSION", "group"),
        ("CARDBOT_ASSISTANT", "yes"),
        ("CARDBOT_ASSISTANT", "hunter2=ask"),
        ("CARDBOT_ASSISTANT", "question="),
        ("CARDBOT_ASSISTANT", "question=ask,"),
        ("CARDBOT_ASSISTANT", "question=ask person=hunter2"),
        ("CARDBOT_ASSISTANT", "question=ask,question=hunter2"),
        ("CARDBOT_ASSISTANT", "on,question=hunter2"),
        ("CARDBOT_ASSISTANT", '{"question":"hunter2"}'),
        ("CARDBOT_DRAIN_SECONDS", "-1"),
        ("CARDBOT_DRAIN_SECONDS", "inf"),
        ("CARDBOT_DRAIN_SECONDS", "nan"),
        ("CARDBOT_DIFY_IDLE_SECONDS", "0"),
        ("CARDBOT_DIFY_IDLE_SECONDS", "inf"),
        ("DIFY_APP_MODE", "hunter2"),
        ("DIFY_INPUTS", "hunter2"),
        ("DIFY_INPUTS", '["hunter2"]'),
        ("DIFY_INPUTS", '{"name": "hunter2 {"}'),
        ("CARDBOT_LANGUAGE", "fr"),
        ("CARDBOT_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_told_by_name_and_not_repeated(tmp_path: Path, name: str, value: str) -> None:
    (problem,) = problems(env_file(tmp_path, **{**NEEDED, name: value}))
    assert problem.startswith(f"{name} ")
    assert "hunter2" not in problem


def test_inputs_of_the_app_are_json(tmp_path: Path) -> None:
    path = env_file(tmp_path, **NEEDED, DIFY_INPUTS='{"name": "{sender_name}", "count": 3}')
    assert Settings.load(path).dify_inputs == {"name": "{sender_name}", "count": 3}
    assert Settings.of({**NEEDED, "DIFY_INPUTS": {"count": 3}}).dify_inputs == {"count": 3}


def test_a_name_that_no_input_may_have_is_answered_with_those_that_it_may(tmp_path: Path) -> None:
    (problem,) = problems(env_file(tmp_path, **NEEDED, DIFY_INPUTS='{"name": "{sender}"}'))
    known = "{sender_name}, {sender_id}, {chat_title}, {chat_id}"
    assert problem == f"DIFY_INPUTS names {{sender}} in name: what can be named is {known}."


def test_problems_of_all_kinds_are_told_together(tmp_path: Path) -> None:
    path = env_file(tmp_path, DIFY_BASE_URL="nowhere", CARDBOT_STORE="cardbot.db", CARDBOT_CARD_QPS="many")
    assert {problem.split()[0] for problem in problems(path)} == {
        *NEEDED,
        "DIFY_BASE_URL",
        "CARDBOT_STORE",
        "CARDBOT_CARD_QPS",
    }


@pytest.mark.parametrize("content", ["# 中文\n".encode("gbk"), b"\xff\xfe\x00"])
def test_a_file_in_another_encoding_is_named(tmp_path: Path, content: bytes) -> None:
    path = env_file(tmp_path, content, **NEEDED)
    (problem,) = problems(path)
    assert str(path) in problem
    assert "UTF-8" in problem
    assert advice(path) == []


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert Settings.load(env_file(tmp_path, b"\xef\xbb\xbf", **NEEDED)).client_id == "dingtest"


@pytest.mark.parametrize(
    "given",
    [
        "https://dify.example.com/v1",
        "https://dify.example.com/v1/",
        "https://dify.example.com/v1/chat-messages",
        "https://dify.example.com/v1/completion-messages",
        "https://dify.example.com/v1/workflows/run/",
        "https://dify.example.com/v1/chat-messages/",
    ],
)
def test_the_address_of_dify_is_taken_as_people_paste_it(tmp_path: Path, given: str) -> None:
    settings = DifySettings.load(env_file(tmp_path, DIFY_API_KEY="app-1", DIFY_BASE_URL=given))
    assert settings.dify_base_url == "https://dify.example.com/v1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_for_this_machine(tmp_path: Path, host: str) -> None:
    path = env_file(tmp_path, **NEEDED, DINGTALK_OPENAPI_ENDPOINT=f"http://{host}:8000")
    assert Settings.load(path).openapi_endpoint == f"http://{host}:8000"


@pytest.mark.parametrize("store", ["memory:", "sqlite:///bot.db", "sqlite:////var/bot.db", "redis://host:6379/0"])
def test_each_form_of_store_is_taken(tmp_path: Path, store: str) -> None:
    assert Settings.load(env_file(tmp_path, **NEEDED, CARDBOT_STORE=store)).store == store


def test_the_default_store_is_a_file_in_the_users_state_folder(tmp_path: Path) -> None:
    store = Settings.load(env_file(tmp_path, **NEEDED)).store
    assert store.startswith("sqlite:///")
    assert Path(store.removeprefix("sqlite:///")).name == "cardbot.db"


def test_blanks_around_values_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, "DINGTALK_CARD_TEMPLATE_ID": "1.schema", "DINGTALK_ROBOT_CODE": "ding1"}.items():
        monkeypatch.setenv(name, f" {value}\n")
    settings = Settings.load()
    assert (settings.client_id, settings.card_template_id, settings.robot) == ("dingtest", "1.schema", "ding1")
    assert settings.client_secret.get_secret_value() == "hunter2"


@pytest.mark.parametrize("given", ["user1,manager42", " user1 ,\tmanager42 ,", "user1，manager42"])
def test_ids_have_commas_between_them_and_blanks_around(tmp_path: Path, given: str) -> None:
    settings = Settings.load(env_file(tmp_path, **NEEDED, CARDBOT_ALLOW_USERS=f'"{given}"'))
    assert settings.allow_users == {"user1", "manager42"}


def test_a_single_staff_id_of_digits_alone_is_taken_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, "CARDBOT_ALLOW_USERS": "0123456"}.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().allow_users == {"0123456"}


def test_ids_of_conversations_are_taken_as_they_stand(tmp_path: Path) -> None:
    path = env_file(tmp_path, **NEEDED, CARDBOT_ALLOW_CHATS="cidAb+c/dE==,cidab+c/dE==, $:LWCP_v1:$x=")
    assert Settings.load(path).allow_chats == {"cidAb+c/dE==", "cidab+c/dE==", "$:LWCP_v1:$x="}


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_list_of_ids_is_one_that_is_not_set(blank: str) -> None:
    assert Settings.of({**NEEDED, "CARDBOT_ALLOW_USERS": blank}).allow_users == frozenset()


def test_no_id_is_empty_however_the_list_is_given() -> None:
    """It would let in everybody outside the organisation, for they have no staff id."""
    with pytest.raises(SettingsError, match="CARDBOT_ALLOW_USERS is empty"):
        Settings.of({**NEEDED, "CARDBOT_ALLOW_USERS": ["user1", ""]})


def test_no_representation_shows_a_secret(tmp_path: Path) -> None:
    settings = Settings.load(env_file(tmp_path, **NEEDED, CARDBOT_STORE="redis://:hunter2@host/0"))
    assert "hunter" not in f"{settings!r} {settings!s}"


def test_an_error_of_the_values_shows_none_of_them() -> None:
    with pytest.raises(ValueError, match="CARDBOT_CARD_QPS") as caught:
        Settings.model_validate({"DINGTALK_CLIENT_SECRET": "hunter2", "CARDBOT_CARD_QPS": "hunter3"})
    assert "hunter" not in str(caught.value)


def test_an_assistant_that_is_on_has_the_usual_names() -> None:
    assert Settings.of({**NEEDED, "CARDBOT_ASSISTANT": " on "}).assistant == AssistantNames()


@pytest.mark.parametrize("given", ["question=ask,person=who", " question = ask ，person=who "])
def test_an_assistants_names_that_are_not_given_are_the_usual_ones(tmp_path: Path, given: str) -> None:
    names = Settings.load(env_file(tmp_path, **NEEDED, CARDBOT_ASSISTANT=f'"{given}"')).assistant
    assert names == AssistantNames(question="ask", person="who")
    assert (AssistantNames().webhook, AssistantNames().chat) == ("sessionWebhook", "openConversationId")


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_assistant_is_none(blank: str) -> None:
    assert Settings.of({**NEEDED, "CARDBOT_ASSISTANT": blank}).assistant is None


# Names of older guides, and slips of the pen.


@pytest.mark.parametrize(("old", "new"), [pair for pair in OLDER_NAMES.items() if pair[1]])
def test_an_older_name_is_answered_with_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    values = {name: value for name, value in NEEDED.items() if name != new}
    path = env_file(tmp_path, **values, **{old: "x"})
    (sentence,) = advice(path)
    assert old in sentence
    assert f"set {new} instead" in sentence
    if new in NEEDED:
        assert problems(path) == [f"{new} is missing. {old} is its name in older guides: rename it to {new}."]


def test_given_values_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDBOT_FRAMES", "bogus")
    monkeypatch.setenv("DINGTALK_CARD_CONTENT_KEY", "zzz")
    settings = Settings.of(NEEDED)
    assert (settings.frames, settings.card_content_key, settings.client_id) == ("balanced", "content", "dingtest")
    with pytest.raises(SettingsError, match="DIFY_API_KEY is missing"):
        Settings.of({})


def test_a_placeholder_is_not_taken_for_a_key(tmp_path: Path) -> None:
    assert problems(env_file(tmp_path, **{**NEEDED, "DIFY_API_KEY": "app-…"})) == [
        "DIFY_API_KEY holds a character that no key has; copy it whole."
    ]


def test_an_older_name_of_an_address_is_an_error_for_the_key_could_go_elsewhere(tmp_path: Path) -> None:
    assert problems(env_file(tmp_path, **NEEDED, DIFY_URL="http://10.0.0.7/v1")) == [
        "DIFY_BASE_URL is missing. DIFY_URL is its name in older guides: rename it to DIFY_BASE_URL."
    ]


def test_an_older_name_beside_the_new_one_is_to_be_removed(tmp_path: Path) -> None:
    (sentence,) = advice(env_file(tmp_path, **NEEDED, DINGTALK_APP_KEY="x"))
    assert sentence.endswith("DINGTALK_CLIENT_ID is set, so remove it.")


def test_a_variable_that_nothing_needs_any_more_is_to_be_removed(tmp_path: Path) -> None:
    (sentence,) = advice(env_file(tmp_path, **NEEDED, DINGTALK_AGENT_ID="1"))
    assert sentence == "DINGTALK_AGENT_ID is not needed any more: remove it."


def test_a_slip_of_the_pen_is_noticed(tmp_path: Path) -> None:
    (sentence,) = advice(env_file(tmp_path, **NEEDED, CARDBOT_CARDQPS="3"))
    assert sentence == "CARDBOT_CARDQPS is not a setting; did you mean CARDBOT_CARD_QPS?"


def test_a_variable_of_somebody_else_is_none_of_our_business(tmp_path: Path) -> None:
    assert advice(env_file(tmp_path, **NEEDED, HOME_SWEET_HOME="1")) == []


def test_a_variable_of_the_bot_is_no_slip_for_a_command_that_needs_less(tmp_path: Path) -> None:
    assert advice(env_file(tmp_path, **NEEDED)) == []


def test_every_name_ever_used_begins_as_ours_do() -> None:
    assert all(name.startswith(PREFIXES) for name in {*ALL, *OLDER_NAMES})


# The lists that people read.


def _defaults() -> dict[str, str]:
    """Each variable's default as people write it; empty where it is none or computed."""
    defaults = {}
    for name, field in ALL.items():
        value = None if field.is_required() or field.default_factory else field.default
        match value:
            case None | frozenset():
                defaults[name] = ""
            case float():
                defaults[name] = f"{value:g}"
            case tuple():
                defaults[name] = ", ".join(value)
            case _:
                defaults[name] = str(value)
    return defaults


def test_the_example_file_has_each_variable_with_its_description_and_default() -> None:
    found = re.findall(r"^# (.+)\n(# )?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    listed = {name: (description, default) for description, _, name, default in found}
    assert len(found) == len(listed)
    fields = ALL
    assert listed == {name: (fields[name].description, default) for name, default in _defaults().items()}
    assert {name for _, commented, name, _ in found if not commented} == set(NEEDED)


def _in_order_of(rows: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """The defaults as the table has them: it groups what belongs together."""
    names = [name for name, _, _ in rows]
    return sorted(_defaults().items(), key=lambda item: names.index(item[0]) if item[0] in names else len(names))


def test_the_readmes_table_has_each_variable_with_its_description_and_default() -> None:
    found = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    fields = ALL
    assert found == [
        (
            name,
            "required" if fields[name].is_required() else f"`{default}`" if default else "–",
            fields[name].description,
        )
        for name, default in _in_order_of(found)
    ]


def test_the_example_file_is_a_valid_one_once_the_three_values_are_filled_in(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    for name, value in NEEDED.items():
        example = example.replace(f"{name}=\n", f"{name}={value}\n")
    assert Settings.load(env_file(tmp_path, re.sub(r"^# (?=[A-Z_]+=)", "", example, flags=re.MULTILINE)))
