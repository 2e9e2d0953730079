"""The commands as people run them: in a process of their own."""

import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process

import cardbot as package
from cardbot import __version__
from cardbot.budget import month_at
from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.script import Script
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.platform.cards import State
from cardbot.playground.platform.faults import HangUp
from cardbot.store import open_store
from cardbot.store.sqlite import open_sqlite
from cardbot.texts import EN
from tests.desk import ELSEWHERE
from tests.faults.processes import START
from tests.patience import SOON

pytestmark = pytest.mark.anyio

QUIET = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(Path(package.__file__).parent.parent),  # the same code as here, wherever the command runs
    "NO_COLOR": "1",
    "COLUMNS": "120",
}


async def cardbot(*arguments: str, env: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    done = await anyio.run_process(
        [sys.executable, "-m", "cardbot", *arguments], env={**QUIET, **env}, cwd=folder, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def key_for(dify: FakeDify, key: str = "app-test") -> dict[str, str]:
    return {"DIFY_BASE_URL": dify.url, "DIFY_API_KEY": key, "CARDBOT_LANGUAGE": "en"}


async def test_version(tmp_path: Path) -> None:
    assert await cardbot("--version", env={}, folder=tmp_path) == (0, f"{__version__}\n", "")


async def test_help_names_the_commands(tmp_path: Path) -> None:
    code, out, _ = await cardbot("--help", env={}, folder=tmp_path)
    assert code == 0
    assert all(command in out for command in ("run", "ask", "send", "usage", "playground"))


async def test_ask_types_the_answer_out(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        dify.default = Script("It is sunny. 晴天", think="hm", cps=200)
        assert await cardbot("ask", "hello", env=key_for(dify), folder=tmp_path) == (0, "It is sunny. 晴天\n", "")


async def test_ask_shows_a_replaced_answer_on_a_line_of_its_own(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        dify.default = Script("It is sunny.", replace="Censored", cps=200)
        code, out, _ = await cardbot("ask", "hello", env=key_for(dify), folder=tmp_path)
    assert (code, out) == (0, "It is sunny.\nCensored\n")


async def test_settings_come_from_an_env_file_too(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in key_for(dify).items()))
        dify.default = Script("sunny")
        assert await cardbot("ask", "hello", env={}, folder=tmp_path) == (0, "sunny\n", "")


async def test_a_wrong_key_is_one_sentence(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        code, out, err = await cardbot("ask", "hello", env=key_for(dify, "app-wrong-key"), folder=tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("error: Set DIFY_API_KEY to the key on the app's page")
    assert err.count("\n") == 1
    assert "app-wrong-key" not in err


async def test_a_wrong_address_is_one_sentence(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        env = {**key_for(dify), "DIFY_BASE_URL": dify.url.removesuffix("/v1")}
        code, out, err = await cardbot("ask", "hello", env=env, folder=tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: Check DIFY_BASE_URL, which is {env['DIFY_BASE_URL']} and normally ends in /v1")
    assert err.count("\n") == 1


async def test_nobody_at_the_address_is_one_sentence(tmp_path: Path) -> None:
    env = {"DIFY_API_KEY": "app-test", "DIFY_BASE_URL": "http://127.0.0.1:9/v1"}
    code, _, err = await cardbot("ask", "hello", env=env, folder=tmp_path)
    assert code == 1
    assert err.startswith("error: Check DIFY_BASE_URL")
    assert err.count("\n") == 1


@pytest.mark.parametrize("app", ["workflow", "completion"])
async def test_an_app_that_is_not_of_the_named_kind_is_one_sentence(app: str, tmp_path: Path) -> None:
    async with FakeDify(app=app, api_key="app-test") as dify:  # type: ignore[arg-type]  # a literal by parametrisation
        code, out, err = await cardbot("ask", "hello", env={**key_for(dify), "DIFY_APP_MODE": "chat"}, folder=tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("error: Set DIFY_APP_MODE to the kind of the app")
    assert err.count("\n") == 1


async def test_a_workflow_is_asked_as_it_wants_to_be(tmp_path: Path) -> None:
    inputs: list[dict[str, Any]] = [
        {"paragraph": {"variable": "question"}},
        {"number": {"variable": "count", "required": True}},
    ]
    async with FakeDify(app="workflow", api_key="app-test", inputs=inputs) as dify:
        dify.default = lambda query: Script("", outputs={"verdict": f"{query}: fine", "score": 3})
        values = {"DIFY_INPUTS": '{"count": 2, "gone": 1}', "DIFY_OUTPUT": "verdict", "DIFY_SYSTEM_PROMPT": "Be brief."}
        code, out, err = await cardbot("ask", "hello", env={**key_for(dify), **values}, folder=tmp_path)
    assert (code, out) == (0, "Be brief.\n\nhello: fine\n")
    note = "note: DIFY_INPUTS has gone, which the app does not declare: Dify drops it. Its inputs: question, count."
    assert err == f"{note}\n"


async def test_a_required_input_without_a_value_is_one_sentence(tmp_path: Path) -> None:
    inputs = [{"text-input": {"variable": "name", "required": True}}]
    async with FakeDify(api_key="app-test", inputs=inputs) as dify:
        code, out, err = await cardbot("ask", "hello", env=key_for(dify), folder=tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("error: The app requires the input name, and nothing gives it a value: set DIFY_INPUTS")
    assert err.count("\n") == 1


async def test_a_workflow_without_an_input_for_the_question_is_one_sentence(tmp_path: Path) -> None:
    async with FakeDify(app="workflow", api_key="app-test") as dify:
        code, out, err = await cardbot("ask", "hello", env=key_for(dify), folder=tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("error: The app declares no input that could take the question: give it one")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["ask", " "], ["playground", "--once", ""]])
async def test_an_empty_question_is_not_asked(command: list[str], tmp_path: Path) -> None:
    assert await cardbot(*command, env={}, folder=tmp_path) == (1, "", "error: The question is empty.\n")


async def test_an_env_file_that_was_named_has_to_exist(tmp_path: Path) -> None:
    code, _, err = await cardbot("ask", "hello", "--env-file", "nowhere.env", env={}, folder=tmp_path)
    assert (code, err) == (1, "error: There is no file nowhere.env.\n")


async def test_the_playground_says_that_an_env_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("# 中文\n".encode("gbk"))
    code, out, err = await cardbot("playground", "--once", "hi", env={}, folder=tmp_path)
    assert (code, out) == (1, "")
    assert err == "error: .env cannot be read as UTF-8 text (UnicodeDecodeError).\n"


async def test_a_server_that_is_no_dify_is_one_sentence(tmp_path: Path) -> None:
    async with Platform() as platform:
        env = {"DIFY_API_KEY": "app-test", "DIFY_BASE_URL": f"{platform.url}/v1"}
        code, _, err = await cardbot("ask", "hello", env=env, folder=tmp_path)
    assert code == 1
    assert err.startswith("error: Check DIFY_BASE_URL")
    assert err.count("\n") == 1


async def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        dify.default = Script("It is sunny. " * 2000, cps=20000)
        line = f"{sys.executable} -m cardbot ask hello | head -c 20"
        done = await anyio.run_process(line, env={**QUIET, **key_for(dify)}, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr) == (b"It is sunny. It is s", b"")


async def test_an_answer_that_fails_shows_what_came_and_the_reason(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        dify.default = Script("It is sunny.", end="error", at=5, error="no credit")
        code, out, err = await cardbot("ask", "hello", env=key_for(dify), folder=tmp_path)
    assert (code, out) == (1, "It is\n")
    assert "no credit" in err


async def test_settings_that_are_missing_are_named_together(tmp_path: Path) -> None:
    code, _, err = await cardbot("run", env={"DINGTALK_APP_KEY": "ding1"}, folder=tmp_path)
    assert code == 1
    for name in ("DINGTALK_CLIENT_ID", "DINGTALK_CLIENT_SECRET", "DIFY_API_KEY"):
        assert f"error: {name} is missing" in err
    assert "rename it to DINGTALK_CLIENT_ID" in err


async def test_a_slip_of_the_pen_is_noted(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        dify.default = Script("sunny")
        env = {**key_for(dify), "CARDBOT_LANGAUGE": "en"}
        code, _, err = await cardbot("ask", "hello", env=env, folder=tmp_path)
    assert code == 0
    assert "CARDBOT_LANGAUGE is not a setting; did you mean CARDBOT_LANGUAGE?" in err


async def test_the_playground_prints_a_growing_card(tmp_path: Path) -> None:
    code, out, err = await cardbot("playground", "--once", "What is this?", env={}, folder=tmp_path)
    assert (code, err) == (0, "")
    assert out.index("pending") < out.index("writing") < out.index("done")
    assert out.count("writing") >= 3
    assert "You asked: What is this?" in out


@pytest.mark.parametrize(("language", "sentence"), [("zh", "直接向我提问即可"), ("en", "Just ask")])
async def test_the_playground_speaks_the_language_that_is_set(language: str, sentence: str, tmp_path: Path) -> None:
    env = {"CARDBOT_LANGUAGE": language}
    code, out, _ = await cardbot("playground", "--once", "/help", env=env, folder=tmp_path)
    assert code == 0
    assert sentence in out


async def test_the_playground_says_that_it_does_not_know_a_language(tmp_path: Path) -> None:
    code, _, err = await cardbot("playground", "--once", "hi", env={"CARDBOT_LANGUAGE": "fr"}, folder=tmp_path)
    assert (code, err.splitlines()[0]) == (1, "error: CARDBOT_LANGUAGE must be 'zh' or 'en'.")


async def test_the_playground_asks_the_configured_dify(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        dify.default = Script("It is sunny.")
        code, out, _ = await cardbot("playground", "--once", "hello", env=key_for(dify), folder=tmp_path)
    assert code == 0
    assert "done     It is sunny." in out


async def test_the_playground_shows_how_a_wrong_key_ends(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        code, out, _ = await cardbot("playground", "--once", "hello", env=key_for(dify, "app-wrong"), folder=tmp_path)
    assert code == 1
    assert EN.misconfigured in out


def run_settings(platform: Platform, dify: FakeDify, folder: Path) -> dict[str, str]:
    return {
        **key_for(dify),
        "DINGTALK_CLIENT_ID": "dingtest",
        "DINGTALK_CLIENT_SECRET": "secret",
        "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
        "DINGTALK_OPENAPI_ENDPOINT": platform.url,
        "CARDBOT_STORE": f"sqlite:///{folder / 'cardbot.db'}",
        "CARDBOT_DRAIN_SECONDS": "1",
    }


@asynccontextmanager
async def amid_an_answer(folder: Path) -> AsyncGenerator[tuple[Platform, Process]]:
    """`cardbot run`, while a long answer grows in its card."""
    command = [sys.executable, "-m", "cardbot", "run"]
    async with (
        Platform(client_id="dingtest", client_secret="secret") as platform,
        FakeDify(api_key="app-test", linger=0) as dify,
    ):
        dify.default = Script("It is sunny. " * 100, cps=100)
        environment = {**QUIET, **run_settings(platform, dify, folder)}
        async with await anyio.open_process(command, env=environment, cwd=folder) as process:
            await platform.connected()
            await platform.say("hello")
            await platform.wait_for(lambda: any(card.frames for card in platform.cards.values()))
            yield platform, process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_finishes_open_cards_and_exits_0_when_told_to(number: signal.Signals, tmp_path: Path) -> None:
    async with amid_an_answer(tmp_path) as (platform, process):
        process.send_signal(number)
        with anyio.fail_after(SOON):
            assert await process.wait() == 0
        (card,) = platform.cards.values()
        assert card.state is State.DONE
        assert card.content.startswith("It is sunny.")
        assert card.content != ELSEWHERE
        assert platform.violations == []


async def test_a_second_signal_means_at_once(tmp_path: Path) -> None:
    async with amid_an_answer(tmp_path) as (platform, process):
        process.send_signal(signal.SIGTERM)
        await platform.wait_for(lambda: not platform.connections)
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(SOON):
            assert await process.wait() == 128 + signal.SIGTERM


async def test_a_wrong_secret_ends_run_with_a_sentence(tmp_path: Path) -> None:
    async with (
        Platform(client_id="dingtest", client_secret="another") as platform,
        FakeDify(api_key="app-test", linger=0) as dify,
    ):
        code, _, err = await cardbot("run", env=run_settings(platform, dify, tmp_path), folder=tmp_path)
    assert code == 1
    assert "DINGTALK_CLIENT_SECRET" in err


def robot_with(store: str, **more: str) -> dict[str, str]:
    return {"CARDBOT_STORE": store, **more}


async def spend(path: Path, *, calls: int, answers: int) -> None:
    async with open_sqlite(path) as store:
        await store.spend(month_at(time.time()).name, calls=calls, answers=answers)


async def test_usage_shows_the_month(tmp_path: Path) -> None:
    await spend(tmp_path / "cardbot.db", calls=1234, answers=200)
    env = robot_with(f"sqlite:///{tmp_path}/cardbot.db", CARDBOT_MONTHLY_CALLS="50000")
    code, out, err = await cardbot("usage", env=env, folder=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:4] == [
        "  calls so far            1,234 of 50,000",
        "  answers in cards          200",
        "  calls per answer          6.2",
    ]
    assert "at the month's end" in out


async def test_usage_says_that_the_budget_is_spent(tmp_path: Path) -> None:
    await spend(tmp_path / "cardbot.db", calls=100, answers=20)
    env = robot_with(f"sqlite:///{tmp_path}/cardbot.db", CARDBOT_MONTHLY_CALLS="100")
    _, out, _ = await cardbot("usage", env=env, folder=tmp_path)
    assert out.splitlines()[-1] == "The budget is spent: answers are plain replies until the next month."


async def test_usage_of_a_new_store_is_nothing(tmp_path: Path) -> None:
    code, out, _ = await cardbot("usage", env=robot_with(f"sqlite:///{tmp_path}/new.db"), folder=tmp_path)
    assert code == 0
    assert out.splitlines()[1] == "  calls so far                0"


async def test_usage_of_a_store_that_ends_with_the_bot_is_no_use(tmp_path: Path) -> None:
    code, _, err = await cardbot("usage", env=robot_with("memory:"), folder=tmp_path)
    assert code == 1
    assert "memory:" in err


def sender_for(platform: Platform) -> dict[str, str]:
    return {
        "DINGTALK_CLIENT_ID": "dingtest",
        "DINGTALK_CLIENT_SECRET": "secret",
        "DINGTALK_OPENAPI_ENDPOINT": platform.url,
        "CARDBOT_STORE": "memory:",  # or it would be counted in the state folder of whoever runs the tests
    }


async def test_send_needs_no_dify_and_tells_that_all_were_reached(tmp_path: Path) -> None:
    async with Platform() as platform:
        platform.users.update({"user0001", "user0002"})
        platform.groups.add("cidTEAM==")
        to = ("--user", "user0001,user0002", "--user", "user0001", "--chat", "cidTEAM==")
        code, out, err = await cardbot("send", *to, "**Lunch** is ready", env=sender_for(platform), folder=tmp_path)
        assert (code, err) == (0, "3 of 3 reached.\n")
        assert [line.split() for line in out.splitlines()] == [
            ["user", "user0001", "delivered"],
            ["user", "user0002", "delivered"],
            ["chat", "cidTEAM==", "delivered"],
        ]
        assert {(reply.title, reply.text) for reply in platform.replies} == {("Lunch is ready", "**Lunch** is ready")}


async def test_send_exits_1_when_one_was_not_reached(tmp_path: Path) -> None:
    async with Platform() as platform:
        platform.users.add("user0001")
        to = ("--user", "user0001", "--user", "stranger")
        code, out, err = await cardbot("send", *to, "hi", env=sender_for(platform), folder=tmp_path)
    assert (code, err) == (1, "1 of 2 reached.\n")
    assert [line.split() for line in out.splitlines()] == [
        ["user", "user0001", "delivered"],
        ["user", "stranger", "invalid"],
    ]


async def test_send_reads_the_text_from_standard_input(tmp_path: Path) -> None:
    async with Platform() as platform:
        platform.users.add("user0001")
        done = await anyio.run_process(
            [sys.executable, "-m", "cardbot", "send", "--user", "user0001", "--title", "News", "-"],
            input="- 你好\n".encode(),
            env={**QUIET, **sender_for(platform)},
            cwd=tmp_path,
        )
        assert done.returncode == 0
        assert [(reply.title, reply.text) for reply in platform.replies] == [("News", "- 你好\n")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hi"], "name at least one recipient"),
        (["--user", " , ", "hi"], "name at least one recipient"),
        (["--user", "user0001", " "], "the text is empty"),
        (["--user", "user0001"], "Missing argument"),
    ],
)
async def test_send_exits_2_when_it_is_used_wrongly(arguments: list[str], says: str, tmp_path: Path) -> None:
    code, out, err = await cardbot("send", *arguments, env={}, folder=tmp_path)
    assert (code, out) == (2, "")
    assert says in err


async def test_send_asks_for_the_settings_of_dingtalk_alone(tmp_path: Path) -> None:
    code, _, err = await cardbot("send", "--user", "user0001", "hi", env={}, folder=tmp_path)
    assert code == 1
    assert "DINGTALK_CLIENT_ID is missing" in err
    assert "DIFY" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
async def test_send_that_is_interrupted_tells_who_has_the_message(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    async with Platform() as platform:
        people = [f"user{number:04}" for number in range(60)]
        platform.users.update(people)
        endpoint = "POST /v1.0/robot/oToMessages/batchSend"
        platform.faults.add(endpoint, HangUp(), when=lambda body: people[20] in body["userIds"])
        async with await anyio.open_process(
            [sys.executable, "-m", "cardbot", "send", "--user", ",".join(people), "hi"],
            env={**QUIET, **sender_for(platform)},
            cwd=tmp_path,
        ) as process:
            await platform.wait_for(lambda: sum(call.path in endpoint for call in platform.calls) == 2)
            process.send_signal(number)
            assert process.stdout is not None
            out = b"".join([chunk async for chunk in process.stdout]).decode()
            assert await process.wait() == code
        outcomes = [line.split(maxsplit=2)[2].partition("  ")[0].strip() for line in out.splitlines()]
        assert outcomes == ["delivered"] * 20 + ["unknown"] * 20 + ["not sent"] * 20
        assert len(platform.replies) == 1


async def test_send_tells_what_became_of_ids_that_the_output_has_no_letters_for(tmp_path: Path) -> None:
    async with Platform() as platform:
        platform.users.add("李雷")
        env = {**sender_for(platform), "PYTHONIOENCODING": "ascii"}
        code, out, err = await cardbot("send", "--user", "李雷", "hi", env=env, folder=tmp_path)
    assert (code, err) == (0, "1 of 1 reached.\n")
    assert out.split() == ["user", r"\u674e\u96f7", "delivered"]


async def test_what_is_sent_is_counted_beside_a_running_bot_and_other_sends(shared_store: str, tmp_path: Path) -> None:
    store = robot_with(shared_store)
    async with Platform(monthly=1000) as platform, FakeDify(api_key="app-test") as dify:
        people = [f"user{number:04}" for number in range(50)]
        platform.users.update(people)
        async with await anyio.open_process(
            [sys.executable, "-m", "cardbot", "run"],
            env={**QUIET, **run_settings(platform, dify, tmp_path), **store},
            cwd=tmp_path,
        ) as bot:
            await platform.wait_for(lambda: platform.connections, timeout=START)
            await platform.say("hello")
            await platform.wait_for(
                lambda: [card for card in platform.cards.values() if card.state is State.DONE], timeout=START
            )
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    command = ("send", "--user", ",".join(people), "hi")
                    tasks.start_soon(partial(cardbot, *command, env={**sender_for(platform), **store}, folder=tmp_path))
            bot.terminate()
            assert await bot.wait() == 0
        assert len(platform.replies) == 2 * 3
        assert platform.calls_left is not None
        async with open_store(shared_store) as kept:
            usage = await kept.usage(month_at(time.time()).name)
        assert (usage.calls, usage.answers) == (1000 - platform.calls_left, 1)


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("sqlite:///no.folder/cardbot.db", "no.folder"),
        ("redis://127.0.0.1:1/0", "127.0.0.1:1"),
        ("somewhere", "CARDBOT_STORE must be"),
    ],
)
async def test_a_store_that_cannot_be_opened_keeps_no_message_from_being_sent(
    store: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "no.folder").touch()
    async with Platform() as platform:
        platform.users.add("user0001")
        env = {**sender_for(platform), **robot_with(store)}
        code, out, err = await cardbot("send", "--user", "user0001", "Fire!", env=env, folder=tmp_path)
        assert [reply.text for reply in platform.replies] == ["Fire!"]
    assert (code, out.split()) == (0, ["user", "user0001", "delivered"])
    warning, reached = err.splitlines()
    assert says in warning
    assert reached == "1 of 1 reached."


async def test_with_the_budget_spent_a_message_is_sent_and_counted(tmp_path: Path) -> None:
    await spend(tmp_path / "cardbot.db", calls=100, answers=20)
    env = robot_with(f"sqlite:///{tmp_path}/cardbot.db", CARDBOT_MONTHLY_CALLS="100")
    async with Platform() as platform:
        platform.users.add("user0001")
        code, _, err = await cardbot(
            "send", "--user", "user0001", "hi", env={**sender_for(platform), **env}, folder=tmp_path
        )
    assert (code, err) == (0, "1 of 1 reached.\n")
    _, out, _ = await cardbot("usage", env=env, folder=tmp_path)
    assert out.splitlines()[1] == "  calls so far              101 of 100"


async def test_a_run_is_recorded_or_shown_but_not_both(tmp_path: Path) -> None:
    code, out, err = await cardbot(
        "playground", "--no-browser", "--record", "a.jsonl", "--replay", "b.jsonl", env={}, folder=tmp_path
    )
    assert (code, out) == (1, "")
    assert err == "error: --record goes without --replay: one keeps a run, the other shows one.\n"


async def test_a_slip_of_the_pen_in_an_address_sends_no_key_elsewhere(tmp_path: Path) -> None:
    code, out, err = await cardbot(
        "ask", "hi", env={"DIFY_API_KEY": "app-test", "DIFY_BASEURL": "http://127.0.0.1:9/v1"}, folder=tmp_path
    )
    assert (code, out) == (1, "")
    assert "error: DIFY_BASEURL is not a setting: rename it to DIFY_BASE_URL.\n" in err


async def test_a_robot_needs_a_file_that_names_it(tmp_path: Path) -> None:
    for command in (("ask", "hi"), ("send", "hi", "--user", "u")):
        code, _, err = await cardbot(*command, "--robot", "hr", env={}, folder=tmp_path)
        assert (code, err) == (1, "error: There is no cardbot.toml, so there is no robot hr.\n")
