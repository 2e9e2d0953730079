"""Several robots in one process, each between its own DingTalk app and Dify app: what fails in one stays there."""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL

import anyio
import httpx
import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import LogCapture
from structlog.typing import EventDict

from cardbot import fleet
from cardbot.bot import Bot
from cardbot.errors import InvalidCredentials, NoRobotRuns
from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.script import Script
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.platform.cards import State
from cardbot.playground.platform.faults import Reject
from cardbot.robots import Robot
from cardbot.settings import Settings
from cardbot.texts import EN
from tests.patience import SOON
from tests.test_bot import closed_port

pytestmark = pytest.mark.anyio

SECRET = "hunter2"


def robot(name: str, platform: Platform, dify: str, **more: str) -> Robot:
    values = {
        "DINGTALK_CLIENT_ID": f"ding{name}",
        "DINGTALK_CLIENT_SECRET": SECRET,
        "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
        "DINGTALK_OPENAPI_ENDPOINT": platform.url,
        "DIFY_API_KEY": f"app-{name}",
        "DIFY_BASE_URL": dify,
        "CARDBOT_STORE": "memory:",
        "CARDBOT_LANGUAGE": "en",
        "CARDBOT_DRAIN_SECONDS": "5",
        **more,
    }
    return Robot(name, Settings.of(values))


@asynccontextmanager
async def running(*robots: Robot) -> AsyncGenerator[anyio.Event]:
    """A fleet that runs inside the block, and has left at its end."""
    leave = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fleet.run, robots, leave)
        yield leave
        leave.set()


@asynccontextmanager
async def sides(secret: str = SECRET) -> AsyncGenerator[tuple[Platform, Platform, FakeDify, FakeDify]]:
    """DingTalk as the robots `sales` and `hr` see it, and the Dify app of each. `secret` is what `hr` needs."""
    async with (
        Platform(client_id="dingsales", client_secret=SECRET) as sales,
        Platform(client_id="dinghr", client_secret=secret) as hr,
        FakeDify(api_key="app-sales", linger=0) as sales_dify,
        FakeDify(api_key="app-hr", linger=0) as hr_dify,
    ):
        sales_dify.default = Script("We sell.", cps=200)
        hr_dify.default = Script("We hire.", cps=200)
        yield sales, hr, sales_dify, hr_dify


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """What is logged, with what its task has bound."""
    capture = LogCapture()
    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [merge_contextvars, capture]  # in place: loggers that exist already have this list
    yield capture.entries
    processors[:] = before


async def answered(platform: Platform, text: str) -> None:
    """Until the robot has brought a card with this text to its end."""
    await platform.wait_for(
        lambda: (State.DONE, text) in [(card.state, card.content) for card in platform.cards.values()]
    )


async def test_two_robots_answer_at_once_each_from_its_own_app() -> None:
    async with sides() as (sales, hr, sales_dify, hr_dify):
        async with running(robot("sales", sales, sales_dify.url), robot("hr", hr, hr_dify.url)):
            await sales.connected()
            await hr.connected()
            await sales.say("hello")
            await hr.say("hello")
            await answered(sales, "We sell.")
            await answered(hr, "We hire.")
        assert (len(sales.cards), len(hr.cards)) == (1, 1)
        assert sales.violations == hr.violations == []


async def test_each_line_of_the_log_names_its_robot(logs: list[EventDict]) -> None:
    async with (
        sides() as (sales, hr, sales_dify, hr_dify),
        running(robot("sales", sales, sales_dify.url), robot("hr", hr, hr_dify.url)),
    ):
        await sales.connected()
        await hr.connected()
        await hr.say("hello")
        await answered(hr, "We hire.")
    assert {line.get("robot") for line in logs} == {"sales", "hr"}
    assert [line["robot"] for line in logs if line["event"] == "message"] == ["hr"]
    assert sorted(line["robot"] for line in logs if line["event"] == "stream_connected") == ["hr", "sales"]


async def test_the_log_of_a_single_robot_does_not_name_it(logs: list[EventDict]) -> None:
    async with sides() as (sales, _, sales_dify, _), running(robot("sales", sales, sales_dify.url)):
        await sales.connected()
    assert logs
    assert not [line for line in logs if "robot" in line]


async def test_a_wrong_secret_stops_only_its_own_robot(logs: list[EventDict]) -> None:
    async with sides(secret="another") as (sales, hr, sales_dify, hr_dify):
        async with running(robot("hr", hr, hr_dify.url), robot("sales", sales, sales_dify.url)):
            await sales.connected()
            await sales.say("hello")
            await answered(sales, "We sell.")
        (failure,) = [line for line in logs if line["event"] == "robot_failed"]
        assert failure["robot"] == "hr"
        assert "DINGTALK_CLIENT_SECRET" in failure["error"]
        assert SECRET not in str(logs)


async def test_a_robot_whose_dify_is_away_says_so_while_the_other_answers() -> None:
    async with sides() as (sales, hr, _, hr_dify):
        away = f"http://127.0.0.1:{closed_port()}/v1"
        async with running(robot("sales", sales, away), robot("hr", hr, hr_dify.url)):
            await sales.connected()
            await hr.connected()
            await sales.say("hello")
            await hr.say("hello")
            await answered(hr, "We hire.")
            await sales.wait_for(lambda: [card.state for card in sales.cards.values()] == [State.FAILED])
        (card,) = sales.cards.values()
        assert card.content == EN.unavailable


async def test_a_robot_that_crashes_leaves_the_other_alone(
    monkeypatch: pytest.MonkeyPatch, logs: list[EventDict]
) -> None:
    run = Bot.run

    async def crash(bot: Bot, leave: anyio.Event) -> None:
        if bot._settings.client_id == "dinghr":
            raise RuntimeError("a bug")
        await run(bot, leave)

    monkeypatch.setattr(Bot, "run", crash)
    async with (
        sides() as (sales, hr, sales_dify, hr_dify),
        running(robot("hr", hr, hr_dify.url), robot("sales", sales, sales_dify.url)),
    ):
        await sales.connected()
        await sales.say("hello")
        await answered(sales, "We sell.")
    (failure,) = [line for line in logs if line["event"] == "robot_failed"]
    assert (failure["robot"], failure["exc_info"]) == ("hr", True)


async def test_a_robot_that_has_failed_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardbot.fleet.AGAIN_AFTER", 0.05)
    async with sides() as (sales, hr, sales_dify, hr_dify):
        hr.faults.add("POST /v1.0/gateway/connections/open", Reject(400, "invalidClientIdOrSecret"), times=2)
        async with running(robot("hr", hr, hr_dify.url), robot("sales", sales, sales_dify.url)):
            await hr.connected()
            await hr.say("hello")
            await answered(hr, "We hire.")


async def test_when_no_robot_can_start_the_end_says_why_for_each(tmp_path: Path) -> None:
    async with sides(secret="another") as (sales, hr, sales_dify, hr_dify):
        store = f"sqlite:///{tmp_path}"  # a folder
        robots = [robot("sales", sales, sales_dify.url, CARDBOT_STORE=store), robot("hr", hr, hr_dify.url)]
        with anyio.fail_after(SOON), pytest.raises(NoRobotRuns) as caught:
            await fleet.run(robots, anyio.Event())
    assert list(caught.value.reasons) == ["sales", "hr"]
    first, second = str(caught.value).splitlines()
    assert first.startswith("robot sales: the store ")
    assert second.startswith("robot hr: ")
    assert "DINGTALK_CLIENT_SECRET" in second
    assert SECRET not in str(caught.value)


async def test_the_only_robots_refusal_is_raised_as_it_is() -> None:
    async with sides(secret="another") as (_, hr, _, hr_dify):
        with anyio.fail_after(SOON), pytest.raises(InvalidCredentials):
            await fleet.run([robot("hr", hr, hr_dify.url)], anyio.Event())


async def test_who_is_told_to_leave_does_not_wait_for_a_robot_that_has_failed() -> None:
    async with sides(secret="another") as (sales, hr, sales_dify, hr_dify):
        with anyio.fail_after(SOON):
            async with running(robot("hr", hr, hr_dify.url), robot("sales", sales, sales_dify.url)):
                await sales.connected()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_robots_on_one_store_do_not_take_each_other_for_replicas(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    shares: list[int] = []
    monkeypatch.setattr("cardbot.dingtalk.cards.CardWriter.share", lambda _, processes: shares.append(processes))
    store = f"sqlite:///{tmp_path}/cardbot.db" if kind == "sqlite" else request.getfixturevalue("redis_url")
    async with sides() as (sales, hr, sales_dify, hr_dify):
        robots = [
            robot("sales", sales, sales_dify.url, CARDBOT_STORE=store),
            robot("hr", hr, hr_dify.url, CARDBOT_STORE=store),
        ]
        async with running(*robots):
            await sales.connected()
            await hr.connected()
    assert shares == [1, 1]


CONFIGURATION = """
[defaults]
card_template_id = "{template}"
language = "en"
drain_seconds = 10

[[robot]]
name = "sales"
client_id = "dingsales"
client_secret_env = "SALES_SECRET"
openapi_endpoint = "{sales}"
dify_api_key_env = "SALES_KEY"
dify_base_url = "{sales_dify}"

[[robot]]
name = "hr"
client_id = "dinghr"
client_secret_file = "hr.secret"
openapi_endpoint = "{hr}"
dify_api_key_env = "HR_KEY"
dify_base_url = "{hr_dify}"
"""


def environment(folder: Path, platforms: tuple[Platform, Platform, FakeDify, FakeDify]) -> dict[str, str]:
    """Write the file, and return what is not in it."""
    names = dict(zip(("sales", "hr", "sales_dify", "hr_dify"), (side.url for side in platforms), strict=True))
    (folder / "cardbot.toml").write_text(CONFIGURATION.format(template=TEMPLATE_ID, **names))
    (folder / "hr.secret").write_text(SECRET + "\n")
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NO_COLOR": "1",
        "COLUMNS": "120",
        "SALES_SECRET": SECRET,
        "SALES_KEY": "app-sales",
        "HR_KEY": "app-hr",
        "CARDBOT_STORE": f"sqlite:///{folder}/cardbot.db",
    }


async def test_sigterm_lets_all_robots_finish_their_answers(tmp_path: Path) -> None:
    async with sides() as world:
        sales, hr, sales_dify, hr_dify = world
        sales_dify.default = Script("We sell. " * 30, cps=100)
        hr_dify.default = Script("We hire. " * 30, cps=100)
        env = await anyio.to_thread.run_sync(environment, tmp_path, world)
        command = [sys.executable, "-m", "cardbot", "run"]
        async with await anyio.open_process(command, env=env, cwd=tmp_path, stderr=DEVNULL) as process:
            await sales.connected()
            await hr.connected()
            await sales.say("hello")
            await hr.say("hello")
            for platform in (sales, hr):
                await platform.wait_for(lambda platform=platform: any(card.frames for card in platform.cards.values()))  # type: ignore[misc]  # a default argument binds the loop's variable
            process.send_signal(signal.SIGTERM)
            with anyio.fail_after(SOON):
                assert await process.wait() == 0
        assert [card.content for card in sales.cards.values()] == ["We sell. " * 30]
        assert [card.content for card in hr.cards.values()] == ["We hire. " * 30]
        assert sales.violations == hr.violations == []


async def cardbot(*arguments: str, env: dict[str, str], folder: Path) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "cardbot", *arguments]
    done = await anyio.run_process(command, env=env, cwd=folder, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_run_ends_with_1_when_no_robot_can_start(tmp_path: Path) -> None:
    async with sides(secret="another") as world:
        env = await anyio.to_thread.run_sync(environment, tmp_path, world)
        code, _, err = await cardbot("run", env={**env, "SALES_SECRET": "wrong"}, folder=tmp_path)
    assert code == 1
    assert "error: robot sales: " in err
    assert "\nrobot hr: " in err


async def test_problems_of_the_file_are_told_as_those_of_the_environment(tmp_path: Path) -> None:
    await anyio.Path(tmp_path, "robots.toml").write_text('[robot]\nname = "[red]"\n[[model]]\nlanguage = "fr"')
    code, _, err = await cardbot(
        "run", "--config", "robots.toml", env={"PYTHONPATH": os.pathsep.join(sys.path)}, folder=tmp_path
    )
    assert code == 1
    assert "error: [robot] has to be written [[robot]], once for each robot.\n" in err
    assert "error: model 1: name is missing.\n" in err


async def test_a_file_that_was_named_has_to_exist(tmp_path: Path) -> None:
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    code, _, err = await cardbot("run", "--config", "nowhere.toml", env=env, folder=tmp_path)
    assert (code, err) == (1, "error: There is no file nowhere.toml.\n")


async def test_ask_asks_the_dify_app_of_the_robot_that_is_named(tmp_path: Path) -> None:
    async with sides() as world:
        env = await anyio.to_thread.run_sync(environment, tmp_path, world)
        assert await cardbot("ask", "hello", "--robot", "hr", env=env, folder=tmp_path) == (0, "We hire.\n", "")
        code, _, err = await cardbot("ask", "hello", env=env, folder=tmp_path)
    assert (code, err) == (1, "error: Say whose Dify app, with --robot and one of these: sales, hr.\n")


async def test_send_writes_as_the_robot_that_is_named(tmp_path: Path) -> None:
    async with sides() as world:
        _, hr, _, _ = world
        hr.users.add("user0001")
        env = await anyio.to_thread.run_sync(environment, tmp_path, world)
        code, out, err = await cardbot("send", "--robot", "hr", "--user", "user0001", "hi", env=env, folder=tmp_path)
        assert (code, err) == (0, "1 of 1 reached.\n")
        assert "delivered" in out
        assert [reply.text for reply in hr.replies] == ["hi"]
        code, _, err = await cardbot("send", "--user", "user0001", "hi", env=env, folder=tmp_path)
    assert (code, err) == (1, "error: Say as which robot, with --robot and one of these: sales, hr.\n")


async def test_serve_offers_the_robots_dify_apps_where_the_file_names_no_models(tmp_path: Path) -> None:
    async with sides() as world:
        env = await anyio.to_thread.run_sync(environment, tmp_path, world)
        command = [sys.executable, "-m", "cardbot", "serve", "--port", "0"]
        async with await anyio.open_process(command, env=env, cwd=tmp_path, stderr=DEVNULL) as process:
            assert process.stdout is not None
            address = (await process.stdout.receive()).decode().strip()
            async with httpx.AsyncClient() as client:
                models = (await client.get(f"{address}/models")).json()
            process.send_signal(signal.SIGTERM)
            with anyio.fail_after(SOON):
                assert await process.wait() == 0
    assert [model["id"] for model in models["data"]] == ["sales", "hr"]
