"""`cardbot serve` as people run it: in a process of its own."""

import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

import cardbot
from cardbot.playground.dify import FakeDify, Script
from tests.patience import SOON
from tests.web.stand import talking, until, user

pytestmark = pytest.mark.anyio

TEXT = "It is sunny. "


QUIET = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(Path(cardbot.__file__).parent.parent),  # the same code as here, wherever the command runs
    "NO_COLOR": "1",
    "COLUMNS": "200",
}


def environment(dify: FakeDify, folder: Path, **more: str) -> dict[str, str]:
    return {
        **QUIET,
        "DIFY_BASE_URL": dify.url,
        "DIFY_API_KEY": "app-test",
        "CARDBOT_STORE": f"sqlite:///{folder / 'cardbot.db'}",
        **more,
    }


@asynccontextmanager
async def running(env: Mapping[str, str], *options: str) -> AsyncGenerator[tuple[Process, openai.AsyncOpenAI]]:
    """The command, taking requests, and a client that asks it."""
    command = [sys.executable, "-m", "cardbot", "serve", "--port", "0", *options]
    async with await anyio.open_process(command, env=env, cwd=Path(env["CARDBOT_STORE"][10:]).parent) as process:
        try:
            assert process.stdout
            with anyio.fail_after(SOON):
                address = (await TextReceiveStream(process.stdout).receive()).strip()
            async with talking(address.removesuffix("/v1"), key="key-1") as (client, _):
                yield process, client
        finally:
            if process.returncode is None:
                process.kill()


async def refused(env: Mapping[str, str], folder: Path, *options: str) -> str:
    """What is said by a command that does not start."""
    command = [sys.executable, "-m", "cardbot", "serve", *options]
    done = await anyio.run_process(command, env=env, cwd=folder, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    return done.stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_answer_under_way_is_finished_and_the_exit_is_0(number: signal.Signals, tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test", linger=0) as dify:
        dify.default = Script(TEXT * 10, cps=100)
        async with running(environment(dify, tmp_path)) as (process, client):
            stream = await client.chat.completions.create(model="dify", messages=[user("hi")], stream=True)
            text = ""
            await anext(aiter(stream))
            process.send_signal(number)
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
            with anyio.fail_after(SOON):
                assert await process.wait() == 0
    assert text == TEXT * 10


async def test_an_answer_that_takes_too_long_is_ended_and_the_exit_is_0(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test", linger=0) as dify:
        dify.default = Script(TEXT * 1000, cps=50)
        env = environment(dify, tmp_path, CARDBOT_DRAIN_SECONDS="0.3")
        async with running(env) as (process, client):
            stream = await client.chat.completions.create(model="dify", messages=[user("hi")], stream=True)
            await anext(aiter(stream))
            process.send_signal(signal.SIGTERM)
            with pytest.raises(openai.APIError, match="being stopped"):
                async for _ in stream:
                    pass
            with anyio.fail_after(SOON):
                assert await process.wait() == 0
        await until(lambda: [request for request in dify.requests if request.path.endswith("/stop")])


async def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test", linger=0) as dify:
        env = environment(dify, tmp_path, CARDBOT_DRAIN_SECONDS="0", CARDBOT_API_KEYS="key-1", CARDBOT_MODEL="house")
        for question in ("one", "two"):
            async with running(env) as (process, client):
                await client.chat.completions.create(model="house", messages=[user(question)], user="ada")
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        (conversation,) = dify.conversations.values()
    assert [message.query for message in conversation.messages] == ["one", "two"]


async def test_without_keys_it_does_not_listen_for_others(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        said = await refused(environment(dify, tmp_path), tmp_path, "--host", "0.0.0.0")
    assert said == (
        "error: CARDBOT_API_KEYS is missing: without keys only this machine is answered, and --host 0.0.0.0 is open to"
        " others.\n"
    )


async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test") as dify:
        port = dify.url.removesuffix("/v1").rpartition(":")[2]
        said = await refused(environment(dify, tmp_path), tmp_path, "--port", port)
    assert said == (
        f"error: 127.0.0.1 port {port} cannot be used: Address already in use. --port 0 takes a free one.\n"
    )


async def test_a_key_that_cannot_be_sent_is_not_taken_nor_repeated(tmp_path: Path) -> None:
    said = await refused({**QUIET, "CARDBOT_API_KEYS": "密钥"}, tmp_path)
    assert "CARDBOT_API_KEYS holds a character that no key has" in said
    assert "密钥" not in said


async def test_the_system_prompt_of_the_settings_goes_before_that_of_the_caller(tmp_path: Path) -> None:
    async with FakeDify(api_key="app-test", linger=0) as dify:
        env = environment(dify, tmp_path, DIFY_SYSTEM_PROMPT="Be polite.")
        async with running(env) as (_, client):
            brief: Any = {"role": "system", "content": "Be brief."}
            await client.chat.completions.create(model="dify", messages=[brief, user("hi")])
        asked = [request.body or {} for request in dify.requests if request.path.endswith("/chat-messages")]
    assert [body["query"] for body in asked] == ["Be polite.\n\nBe brief.\n\nhi"]


async def test_an_input_that_nothing_fills_is_reported_at_the_start(tmp_path: Path) -> None:
    form = [{"text-input": {"variable": "city", "label": "City", "required": True}}]
    async with (
        FakeDify(api_key="app-test", inputs=form) as dify,
        running(environment(dify, tmp_path)) as (process, _),
    ):
        assert process.stderr
        said = ""
        with anyio.fail_after(SOON):
            while "dify_input_missing" not in said:
                said += (await process.stderr.receive()).decode()
    assert "requires the input city" in said
