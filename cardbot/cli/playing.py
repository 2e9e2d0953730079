"""`cardbot playground`: the robot in the browser, or one card in the terminal."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from cardbot.cli.options import DEFAULT_ENV_FILE, EnvFile, is_set, load
from cardbot.cli.terminal import check_question, first, run_async, say, stop

if TYPE_CHECKING:
    from cardbot.settings import DifySettings
    from cardbot.texts import Language


def playground(
    once: Annotated[
        str | None, typer.Option(help="Ask this one question here; the card's growth is printed as it happens.")
    ] = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0 takes a free one.")] = 0,
    record: Annotated[Path | None, typer.Option(help="Keep the run in this file.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Show a run that --record kept; nothing else is started.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Try the robot in the browser without any account; DIFY_API_KEY makes your own Dify app answer."""
    from cardbot.logs import set_up
    from cardbot.settings import DifySettings, LanguageSettings

    if once is not None:
        check_question(once)
        if record or replay:
            stop("--once goes without --record and --replay: these keep and show runs of the page.")
    if record and replay:
        stop("--record goes without --replay: one keeps a run, the other shows one.")
    set_up("ERROR")
    dify = load(DifySettings, env_file) if not replay and is_set("DIFY_API_KEY", env_file) else None
    speaks = not replay and is_set("CARDBOT_LANGUAGE", env_file)
    chosen = (dify or load(LanguageSettings, env_file)).language if speaks else None
    try:
        if once is not None:
            _play_once(once, dify, chosen)
        else:
            _play_page(dify, chosen, port=port, record=record, replay=replay, browser=browser)
    except ModuleNotFoundError as exc:
        stop(f"The playground needs the package {exc.name}: pip install '.[web]'.")


def _play_once(question: str, dify: "DifySettings | None", chosen: "Language | None") -> None:
    from cardbot.playground.once import Sight, ask_once
    from cardbot.playground.samples import language_of
    from cardbot.terminal import CardView

    stays: list[Sight] = []

    async def watch() -> None:
        with CardView(question, "your Dify app" if dify else "a scripted Dify") as view:
            stays.append(await ask_once(question, dify, chosen or language_of(question), view.show))
            view.end(stays[0])

    run_async(watch)
    if stays[0].state == "failed":
        raise typer.Exit(1)


def _play_page(
    dify: "DifySettings | None",
    chosen: "Language | None",
    *,
    port: int,
    record: Path | None,
    replay: Path | None,
    browser: bool,
) -> None:
    from cardbot.playground.web import BadPort, BadRecording, playground
    from cardbot.playground.web import replay as replay_of

    language = chosen or ("zh" if os.environ.get("LANG", "").startswith("zh") else "en")

    async def show() -> None:
        page_of = replay_of(replay, port=port) if replay else playground(dify, language, port=port, record_to=record)
        async with page_of as page:
            print(page, flush=True)
            say("The playground is at this address, on this machine only. Ctrl-C ends it.")
            if browser:
                await anyio.to_thread.run_sync(typer.launch, page)
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    return

    try:
        run_async(show)
    except* (BadPort, BadRecording) as group:
        stop(str(first(group)))
    except* OSError as group:
        stop(f"The playground has ended: {first(group).strerror}.")
