"""The configuration file: what overlays what, where secrets may be, and that every problem is told by its table."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.errors import SettingsError
from cardbot.reading import environment, variables
from cardbot.robots import Configuration, key_of, load, parse
from cardbot.settings import DifySettings, Settings

SECRETS = {"SALES_SECRET": "hunter1", "SALES_KEY": "app-hunter2", "HR_SECRET": "hunter3", "HR_KEY": "app-hunter4"}
ALONE = {"DINGTALK_CLIENT_ID": "dingalone", "DINGTALK_CLIENT_SECRET": "hunter5", "DIFY_API_KEY": "app-hunter6"}

SALES = """
[[robot]]
name = "sales"
client_id = "dingsales"
client_secret_env = "SALES_SECRET"
dify_api_key_env = "SALES_KEY"
"""
HR = SALES.replace("sales", "hr").replace("SALES", "HR")


def file(folder: Path, content: str) -> Path:
    path = folder / "cardbot.toml"
    path.write_text(content)
    return path


def read(folder: Path, content: str, **env: str) -> Configuration:
    return load(file(folder, content), {**SECRETS, **env})


def problems(folder: Path, content: str, **env: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(folder, content, **env)
    text = str(caught.value)
    assert "hunter" not in text
    return caught.value.problems


def one(folder: Path, content: str, **env: str) -> Settings:
    (robot,) = read(folder, content, **env).robots
    return robot.settings


# What is said where.


def test_each_table_is_a_robot_in_its_order(tmp_path: Path) -> None:
    robots = read(tmp_path, SALES + HR).robots
    assert [(robot.name, robot.settings.client_id) for robot in robots] == [("sales", "dingsales"), ("hr", "dinghr")]
    assert [robot.settings.client_secret.get_secret_value() for robot in robots] == ["hunter1", "hunter3"]
    assert [robot.settings.dify_api_key.get_secret_value() for robot in robots] == ["app-hunter2", "app-hunter4"]


def test_without_a_file_the_environment_names_one_robot() -> None:
    (robot,) = load(None, ALONE).robots
    assert (robot.name, robot.settings.client_secret.get_secret_value()) == ("dingalone", "hunter5")


def test_a_file_without_robots_leaves_the_one_of_the_environment(tmp_path: Path) -> None:
    settings = one(tmp_path, '[defaults]\nlanguage = "en"', **ALONE)
    assert (settings.client_id, settings.language) == ("dingalone", "en")


def test_a_table_goes_before_the_defaults_and_these_before_the_environment(tmp_path: Path) -> None:
    content = '[defaults]\nlanguage = "en"\nsession = "chat"' + SALES + 'session = "person"'
    settings = one(tmp_path, content, CARDBOT_LANGUAGE="zh", CARDBOT_SESSION="chat", CARDBOT_FRAMES="frugal")
    assert (settings.session, settings.language, settings.frames) == ("person", "en", "frugal")


def test_an_empty_text_takes_back_what_is_said_for_all(tmp_path: Path) -> None:
    content = '[defaults]\ncard_template_id = "a.schema"' + SALES + 'card_template_id = ""'
    assert one(tmp_path, content, DINGTALK_CARD_TEMPLATE_ID="b.schema").card_template_id == ""


def test_the_store_and_the_budget_are_those_of_the_environment(tmp_path: Path) -> None:
    robots = read(tmp_path, SALES + HR, CARDBOT_STORE="sqlite:///all.db", CARDBOT_MONTHLY_CALLS="4000").robots
    assert {(robot.settings.store, robot.settings.monthly_calls) for robot in robots} == {("sqlite:///all.db", 4000)}


def test_numbers_and_lists_are_written_as_such(tmp_path: Path) -> None:
    content = SALES + 'user_rate = 5\ndrain_seconds = 2.5\nallow_users = ["id1", "id2"]\nallow_chats = "cid1,cid2"'
    settings = one(tmp_path, content)
    assert (settings.user_rate, settings.drain_seconds) == (5, 2.5)
    assert settings.allow_users == {"id1", "id2"}
    assert settings.allow_chats == {"cid1", "cid2"}


def test_a_models_table_has_what_dify_needs(tmp_path: Path) -> None:
    content = '[defaults]\nlanguage = "en"\nsession = "chat"\n[[model]]\nname = "gpt"\ndify_api_key_env = "SALES_KEY"'
    found = read(tmp_path, content)
    assert found.robots == ()
    assert [(model.name, type(model.settings), model.settings.language) for model in found.models] == [
        ("gpt", DifySettings, "en")
    ]


def test_models_stand_beside_the_robot_of_the_environment(tmp_path: Path) -> None:
    found = read(tmp_path, '[[model]]\nname = "gpt"\ndify_api_key_env = "SALES_KEY"', **ALONE)
    assert [robot.name for robot in found.robots] == ["dingalone"]
    assert found.models[0].settings.dify_api_key.get_secret_value() == "app-hunter2"


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "cardbot.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SALES.encode())
    assert load(path, SECRETS).robots[0].name == "sales"


def test_every_setting_has_a_key_of_its_own() -> None:
    keys = [key_of(variable) for variable in variables(Settings)]
    assert len(set(keys)) == len(keys)
    assert {"client_id", "session", "dify_api_key", "dify_base_url", "dify_idle_seconds"} < set(keys)
    assert not any(key.endswith(("_env", "_file")) for key in keys)


def test_the_environment_goes_before_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SALES_SECRET=of the file\nHR_SECRET=of the file\nHR_KEY=of the file\n")
    monkeypatch.setenv("SALES_SECRET", "of the environment")
    monkeypatch.setenv("HR_SECRET", "")
    monkeypatch.delenv("HR_KEY", raising=False)
    found = environment(tmp_path / ".env")
    assert [found[name] for name in ["SALES_SECRET", "HR_SECRET", "HR_KEY"]] == [
        "of the environment",
        "of the file",
        "of the file",
    ]


# Secrets.


def test_a_secret_may_be_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "sales.secret").write_text("hunter7\n")
    content = SALES.replace('client_secret_env = "SALES_SECRET"', 'client_secret_file = "sales.secret"')
    assert one(tmp_path, content).client_secret.get_secret_value() == "hunter7"


def test_a_secret_in_the_file_itself_is_refused_without_repeating_it(tmp_path: Path) -> None:
    (problem,) = problems(
        tmp_path, SALES.replace("client_secret_env", "client_secret").replace("SALES_SECRET", "hunter8")
    )
    assert problem.startswith("robot sales: client_secret is a secret, which has no place in this file")
    assert "client_secret_env" in problem
    assert "client_secret_file" in problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('client_secret_env = "NO_SUCH"', "robot sales: client_secret_env names NO_SUCH, which is empty or not set."),
        ('client_secret_env = "hunter8"', "robot sales: client_secret_env names a variable that is empty or not set."),
        ('client_secret_file = "hunter8"', "robot sales: client_secret_file names a file that cannot be read"),
        ('client_secret_file = "."', "robot sales: client_secret_file names a file that cannot be read"),
        (r'client_secret_file = "\u0000"', "robot sales: client_secret_file names a file that cannot be read"),
        ('client_secret_file = "empty"', "robot sales: client_secret_file names a file that is empty."),
        ("", "robot sales: client_secret_env or client_secret_file is missing."),
        ("client_secret_env = []", "robot sales: client_secret_env must be a text"),
    ],
)
def test_a_secret_that_is_not_there_is_one_sentence(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (problem,) = problems(tmp_path, SALES.replace('client_secret_env = "SALES_SECRET"', line))
    assert problem.startswith(expected)


def test_a_secret_in_two_places_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sales.secret").write_text("hunter7\n")
    (problem,) = problems(tmp_path, SALES + 'client_secret_file = "sales.secret"')
    assert problem.startswith("robot sales: client_secret_file is said twice")


def test_a_robot_with_its_own_id_does_not_take_the_environments_secret(tmp_path: Path) -> None:
    content = '[[robot]]\nname = "sales"\nclient_id = "dingsales"\ndify_api_key_env = "SALES_KEY"'
    assert problems(tmp_path, content, **ALONE) == ["robot sales: client_secret_env or client_secret_file is missing."]


@pytest.mark.parametrize("above", ["", '[defaults]\ndify_api_key_env = "HR_KEY"\n'])
def test_the_key_of_one_dify_is_not_sent_to_another(tmp_path: Path, above: str) -> None:
    content = above + SALES.replace('dify_api_key_env = "SALES_KEY"', 'dify_base_url = "https://elsewhere.example/v1"')
    assert problems(tmp_path, content, **ALONE) == ["robot sales: dify_api_key_env or dify_api_key_file is missing."]


def test_secrets_are_in_no_representation(tmp_path: Path) -> None:
    assert "hunter" not in repr(read(tmp_path, SALES + HR))


# What is wrong.


def test_all_problems_are_told_at_once_by_their_tables(tmp_path: Path) -> None:
    content = (
        SALES.replace("SALES_KEY", "NO_KEY")
        + 'frames = "fast"'
        + HR.replace('client_id = "dinghr"', "")
        + "card_qps = 0\n[[model]]\nlangauge = 'en'"
    )
    assert problems(tmp_path, content) == [
        "robot sales: dify_api_key_env names NO_KEY, which is empty or not set.",
        "robot sales: frames must be 'smooth', 'balanced' or 'frugal'.",
        "robot hr: client_id is missing.",
        "robot hr: card_qps is wrong: Input should be greater than or equal to 1.",
        "model 1: name is missing.",
        "model 1: langauge is not a setting; did you mean language?",
        "model 1: dify_api_key_env or dify_api_key_file is missing.",
    ]


def test_what_is_wrong_for_all_is_told_once(tmp_path: Path) -> None:
    found = problems(tmp_path, '[defaults]\nsession = "group"' + SALES + HR, CARDBOT_STORE="cardbot.db")
    assert [problem.split(" must")[0].split(" is")[0] for problem in found] == ["CARDBOT_STORE", "defaults: session"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('sesion = "chat"', "robot sales: sesion is not a setting; did you mean session?"),
        ('CARDBOT_SESSION = "chat"', "robot sales: CARDBOT_SESSION is not a setting; did you mean session?"),
        ('DINGTALK_ROBOT_CODE = "x"', "robot sales: DINGTALK_ROBOT_CODE is not a setting; did you mean robot_code?"),
        ("colour = 1", "robot sales: colour is not a setting."),
        ('session_env = "X"', "robot sales: session_env is not a setting; did you mean session?"),
        ('store = "memory:"', "robot sales: store is one for all: set CARDBOT_STORE in the environment."),
        ("log_level = 1", "robot sales: log_level is one for all: set CARDBOT_LOG_LEVEL in the environment."),
        ("allow_users = []", "robot sales: allow_users must be a text, a number, a list of texts that is not empty,"),
        ('allow_users = ["a", 1]', "robot sales: allow_users must be a text, a number, a list of texts"),
        ("session = 2026-11-21", "robot sales: session must be a text, a number"),
        ("session = { a = 2026-11-21 }", "robot sales: session must hold texts and numbers only."),
        ('client_id = ""', "robot sales: client_id is missing."),
        ('name = ""', "robot 1: name is missing."),
        ("name = 7", "robot 1: name is missing."),
    ],
)
def test_a_wrong_line_is_one_sentence(tmp_path: Path, line: str, expected: str) -> None:
    key = line.partition(" ")[0]
    rest = [other for other in SALES.splitlines() if not other.startswith(f"{key} ")]
    (problem,) = problems(tmp_path, "\n".join([*rest, line]))
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[[robots]]", "robots is not a table of this file; did you mean robot?"),
        ('[robot]\nname = "sales"', "[robot] has to be written [[robot]], once for each robot."),
        ("defaults = 1", "defaults has to be a table."),
        ("robot = [1]", "robot has to be a table."),
        ("[defaults", "cardbot.toml is not written in TOML"),
        pytest.param(f"a = {'[' * 3000}{']' * 3000}", "cardbot.toml cannot be read: lists", id="lists in lists"),
        ("a = 1\na = 2", "cardbot.toml is not written in TOML"),
    ],
)
def test_a_file_of_another_form_is_explained(tmp_path: Path, content: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(tmp_path, content))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", "# 中文\n".encode("gbk")])
def test_a_file_in_another_encoding_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cardbot.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"cardbot\.toml cannot be read as UTF-8 text"):
        load(path, SECRETS)


def test_two_robots_of_one_name_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, SALES + SALES.replace("dingsales", "dinghr")) == [
        "robot sales: there are two of this name."
    ]


def test_two_robots_of_one_app_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, SALES + SALES.replace('"sales"', '"hr"')) == [
        "robot hr: client_id is that of robot sales already."
    ]


def test_a_robot_and_a_model_may_share_their_name(tmp_path: Path) -> None:
    found = read(tmp_path, SALES + '[[model]]\nname = "sales"\ndify_api_key_env = "SALES_KEY"')
    assert found.robots[0].name == found.models[0].name


def test_a_name_of_older_guides_is_explained() -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, {"DING_CLIENT_ID": "ding", "DINGTALK_CLIENT_SECRET": "hunter5", "DIFY_API_KEY": "app-hunter6"})
    assert caught.value.problems == [
        "DINGTALK_CLIENT_ID is missing. DING_CLIENT_ID is its name in older guides: rename it to DINGTALK_CLIENT_ID."
    ]


def test_a_default_is_not_used_where_an_older_name_says_otherwise(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, SALES, DIFY_URL="https://dify.example/v1")
    assert problem.startswith("robot sales: dify_base_url is missing. DIFY_URL is its name in older guides")


values = st.recursive(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.integers(-(2**60), 2**60) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([key_of(name) for name in variables(Settings)] + ["name", "x"]), values))
def test_any_table_is_read_or_refused(table: dict[str, object]) -> None:
    with suppress(SettingsError):
        parse({"robot": [table]}, SECRETS)
