"""The commands. What they do is elsewhere; here is only how it looks in a terminal."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import anyio
import typer
from rich.console import Console
from rich.markup import escape

from cardbot import __version__
from cardbot.errors import (
    CardbotError,
    DifyError,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    DifyWrongApp,
    NoQuestionInput,
    SettingsError,
)

if TYPE_CHECKING:
    from cardbot.robots import Configuration
    from cardbot.settings import DifySettings, Values
    from cardbot.texts import Language

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
say = Console(stderr=True, highlight=False)
_T = TypeVar("_T")
_V = TypeVar("_V", bound="Values")
_E = TypeVar("_E", bound=Exception)

EnvFile = Annotated[
    Path, typer.Option("--env-file", help="Settings that are not in the environment; skipped if it does not exist.")
]
DEFAULT_ENV_FILE = Path(".env")
ConfigFile = Annotated[
    Path, typer.Option("--config", help="Several robots, each with its settings; skipped if it does not exist.")
]
DEFAULT_CONFIG = Path("cardbot.toml")


def main() -> None:
    """Run the command line."""
    app(prog_name="cardbot")


@app.callback(invoke_without_command=True)
def _cardbot(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Types the answers of a Dify app into DingTalk AI cards, as they are generated."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def run(env_file: EnvFile = DEFAULT_ENV_FILE, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Run the robot, or several, until SIGTERM or Ctrl-C; open cards are finished first."""
    from cardbot import fleet  # the official SDKs take a while to import
    from cardbot.collector import settle
    from cardbot.logs import set_up

    robots = _configuration(config, env_file).robots
    if not robots:
        _stop(f"{config} names models only: a robot is a table [[robot]] there, or in the environment.")
    set_up(robots[0].settings.log_level)
    settle()

    async def until_told() -> None:
        leave = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_on_signals, leave)
            await fleet.run(robots, leave)
            tasks.cancel_scope.cancel()

    _run(until_told)


async def _on_signals(leave: anyio.Event) -> None:
    """The first signal asks to leave; a second one means at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if leave.is_set():
                os._exit(128 + number)
            leave.set()


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Where to listen; without CARDBOT_API_KEYS, this machine only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free one.")] = 8000,
    env_file: EnvFile = DEFAULT_ENV_FILE,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Offer the Dify app as a model of an OpenAI-compatible API, until SIGTERM or Ctrl-C."""
    from cardbot.collector import settle
    from cardbot.logs import set_up
    from cardbot.settings import ServeSettings

    try:
        from cardbot.web import serve as served
    except ModuleNotFoundError as exc:
        _stop(f"The front needs the package {exc.name}: pip install 'cardbot[web]'.")
    settings = _load(ServeSettings, env_file)
    models = _models(settings.model, config, env_file)
    set_up(next(iter(models.values())).log_level)
    settle()

    async def until_told() -> None:
        leave = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_on_signals, leave)
            async with served(models, settings, host=host, port=port) as address:
                print(f"{address}/v1", flush=True)
                await leave.wait()
            tasks.cancel_scope.cancel()

    _run(until_told)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    robot: Annotated[str, typer.Option(help="Whose Dify app: a name in the configuration file.")] = "",
    env_file: EnvFile = DEFAULT_ENV_FILE,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Ask the configured Dify app one question; the answer is typed out here."""
    from cardbot.answer import Answer
    from cardbot.dify.client import DifyClient
    from cardbot.dify.concerns import concerns
    from cardbot.logs import set_up
    from cardbot.messages import Question
    from cardbot.texts import texts_in

    _check_question(question)
    settings = _dify_of(robot, config, env_file)
    set_up("WARNING")
    answer = Answer(texts_in(settings.language))

    async def type_out() -> None:
        shown = ""
        async with (
            DifyClient.of(settings) as dify,
            aclosing(dify.ask(Question(question, user="cardbot-ask", system=settings.dify_system_prompt))) as events,
        ):
            app = await dify.app()
            for concern in concerns(app, dify.form, template=settings.dify_inputs, system=settings.dify_system_prompt):
                if concern.fatal:
                    raise SettingsError([escape(concern.sentence)])
                _say(f"[yellow]note:[/] {escape(concern.sentence)}")
            async for event in events:
                answer.apply(event)
                shown = _type(shown, answer.text)
        answer.close()
        _type(shown, answer.text)
        print()

    try:
        _run(type_out, explain=partial(_explain_dify, settings.dify_base_url))
    finally:
        sys.stdout.flush()
    if answer.failed or not answer.text.strip():
        notice = answer.markdown.removeprefix(answer.text).strip()
        _stop(notice or "The answer is empty.")
    elif answer.markdown != answer.text:
        _say(answer.markdown.removeprefix(answer.text).strip())


@app.command()
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
    from cardbot.settings import DifySettings, is_set

    if once is not None:
        _check_question(once)
        if record or replay:
            _stop("--once goes without --record and --replay: these keep and show runs of the page.")
    set_up("ERROR")
    dify = _load(DifySettings, env_file) if is_set("DIFY_API_KEY", env_file) and not replay else None
    chosen = dify.language if dify and is_set("CARDBOT_LANGUAGE", env_file) else None
    try:
        if once is not None:
            _play_once(once, dify, chosen)
        else:
            _play_page(dify, chosen, port=port, record=record, replay=replay, browser=browser)
    except ModuleNotFoundError as exc:
        _stop(f"The playground needs the package {exc.name}: pip install 'cardbot[web]'.")


def _play_once(question: str, dify: "DifySettings | None", chosen: "Language | None") -> None:
    from cardbot.playground.once import Sight, ask_once
    from cardbot.playground.samples import language_of
    from cardbot.terminal import CardView

    stays: list[Sight] = []

    async def watch() -> None:
        with CardView(question, "your Dify app" if dify else "a scripted Dify") as view:
            stays.append(await ask_once(question, dify, chosen or language_of(question), view.show))
            view.end(stays[0])

    _run(watch)
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
            _say("The playground is at this address, on this machine only. Ctrl-C ends it.")
            if browser:
                await anyio.to_thread.run_sync(typer.launch, page)
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    return

    try:
        _run(show)
    except* (BadPort, BadRecording) as group:
        _stop(str(_first(group)))
    except* OSError as group:
        _stop(f"The playground has ended: {_first(group).strerror}.")


@app.command()
def usage(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Show how many of the organisation's calls this month's answers have cost, and will have at its end."""
    from cardbot.budget import month_at, projected, stretch
    from cardbot.ports import Usage
    from cardbot.settings import StoreSettings
    from cardbot.store import open_store

    settings = _load(StoreSettings, env_file)
    if settings.store == "memory:":
        _stop("CARDBOT_STORE is memory:, which ends with the bot: there is no count to show.")
    now = time.time()
    month = month_at(now)
    found: list[Usage] = []

    async def look() -> None:
        async with open_store(settings.store) as store:
            found.append(await store.usage(month.name))

    _run(look)
    calls, answers = found[0].calls, found[0].answers
    budget = settings.monthly_calls
    print(f"{month.name} (China time)")
    print(f"  calls so far        {calls:>9,}" + (f" of {budget:,}" if budget else ""))
    print(f"  answers in cards    {answers:>9,}")
    print(f"  calls per answer    {f'{calls / answers:.1f}' if answers else '–':>9}")
    print(f"  at the month's end  {projected(found[0], now):>9,}, if it goes on like this")
    if budget and budget - calls < 2:  # the least that a card takes
        print("The budget is spent: answers are plain replies until the next month.")
    elif budget and (times := stretch(calls, budget, now)) > 1:
        print(
            "To make the budget last, an answer has no text frames between its first and its last call."
            if times == math.inf
            else f"To make the budget last, cards are updated {times:.1f} times more rarely than CARDBOT_FRAMES says."
        )


@app.command()
def send(
    markdown: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    user: Annotated[
        list[str] | None, typer.Option(help="Staff ids of people, with commas between them. May be repeated.")
    ] = None,
    chat: Annotated[
        list[str] | None, typer.Option(help="Open conversation id of a group with the robot in it. May be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="What the list of chats shows; otherwise the text's start.")] = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
) -> None:
    """Send a message to people and groups; a line for each tells what became of it. Exits 1 unless all were reached."""
    from cardbot.dingtalk.deliveries import Delivery, Outcome, Report, distinct, table
    from cardbot.dingtalk.outbox import Sender
    from cardbot.logs import set_up
    from cardbot.settings import DingTalkSettings

    users = distinct(id_ for ids in user or () for id_ in ids.split(","))
    chats = distinct(chat or ())
    if not users and not chats:
        raise typer.BadParameter("name at least one recipient, with --user or --chat.")
    text = _standard_input() if markdown == "-" else markdown
    if not text.strip():
        raise typer.BadParameter("the text is empty.")
    settings = _load(DingTalkSettings, env_file)
    set_up("WARNING")
    settled: dict[tuple[str, str], Delivery] = {}

    async def deliver() -> None:
        async with Sender(settings) as sender:
            await sender.send(
                text,
                users=users,
                chats=chats,
                title=title,
                settled=lambda delivery: settled.update({(delivery.kind, delivery.id): delivery}),
            )

    try:
        _run(deliver)
    finally:  # after Ctrl-C too: whoever sends it again has to know who has it
        recipients = [("user", id_) for id_ in users] + [("chat", id_) for id_ in chats]
        report = Report(tuple(settled[key] for key in recipients if key in settled))
        _print(table(report.deliveries))
        _say(f"{report.reached} of {len(recipients)} reached.")
        if any(delivery.outcome is Outcome.UNKNOWN for delivery in report.deliveries):
            _say("Unknown: it may have arrived, so it was not sent again.")
    if not report.complete:
        raise typer.Exit(1)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise typer.BadParameter("standard input is not UTF-8 text.") from None


def _type(shown: str, text: str) -> str:
    """Write what is new. A text that was replaced begins again on a line of its own."""
    if not text.startswith(shown):
        sys.stdout.write("\n")
        shown = ""
    sys.stdout.write(text[len(shown) :])
    sys.stdout.flush()
    return text


def _check_question(question: str) -> None:
    if not question.strip():
        _stop("The question is empty.")


def _dify_of(robot: str, config: Path, env_file: Path) -> "DifySettings":
    """How to ask the Dify app of the robot or model with this name, or of the only one."""
    from cardbot.settings import DifySettings

    if not robot and config == DEFAULT_CONFIG and not config.exists():
        return _load(DifySettings, env_file)
    found = _configuration(config, env_file)
    apps: dict[str, DifySettings] = {model.name: model.settings for model in found.models}
    apps |= {one.name: one.settings for one in found.robots}
    name = robot or (next(iter(apps)) if len(apps) == 1 else "")
    if name not in apps:
        _stop(f"Say whose Dify app, with --robot and one of these: {', '.join(apps)}.")
    return apps[name]


def _models(name: str, config: Path, env_file: Path) -> "dict[str, DifySettings]":
    """The models of the configuration file, or the environment's Dify app under this name."""
    from cardbot.settings import DifySettings

    found = _configuration(config, env_file).models if config.exists() else ()
    return {model.name: model.settings for model in found} or {name: _load(DifySettings, env_file)}


def _configuration(config: Path, env_file: Path) -> "Configuration":
    """The robots and models of the configuration file, or the environment's one robot."""
    from cardbot.robots import load
    from cardbot.settings import Settings, environment

    if config != DEFAULT_CONFIG and not config.exists():
        _stop(f"There is no file {config}.")
    path = config if config.exists() else None
    return _checked(lambda: load(path, environment(env_file)), Settings, env_file)


def _load(kind: "type[_V]", env_file: Path) -> "_V":
    """The settings, or the end of the program with a line for each problem."""
    return _checked(lambda: kind.load(env_file), kind, env_file)


def _checked(load: Callable[[], _T], kind: "type[Values]", env_file: Path) -> _T:
    if env_file != DEFAULT_ENV_FILE and not env_file.exists():
        _stop(f"There is no file {env_file}.")
    problems: list[str] = []
    settings: _T | None = None
    try:
        settings = load()
    except SettingsError as exc:
        problems = exc.problems
    for sentence in kind.advice(env_file):
        name, _, _ = sentence.partition(" ")
        if not any(name in problem for problem in problems):
            _say(f"[yellow]note:[/] {sentence}")
    for problem in problems:
        _say(f"[red]error:[/] {escape(problem)}")
    if settings is None:
        _say("All settings are listed in .env.example and in the README.")
        raise typer.Exit(1)
    return settings


def _say(line: str) -> None:
    say.print(line, soft_wrap=True)


def _run(main: Callable[[], object], *, explain: Callable[[DifyError], str] | None = None) -> None:
    try:
        anyio.run(main)  # type: ignore[arg-type]  # anyio's own type wants the awaitable spelled out
    except* CardbotError as group:
        error = _first(group)
        _stop(explain(error) if explain and isinstance(error, DifyError) else str(error))
    except* KeyboardInterrupt:
        raise typer.Exit(130) from None
    except* BrokenPipeError:
        _reader_left()


def _print(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_left()


def _reader_left() -> NoReturn:
    """Whoever read the output has seen enough, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(1) from None


def _first(group: BaseExceptionGroup[_E]) -> _E:
    """What went wrong; task groups wrap it once each."""
    error: _E | BaseExceptionGroup[_E] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _explain_dify(base_url: str, error: DifyError) -> str:
    """One sentence that says what to change."""
    match error:
        case DifyUnauthorized():
            return (
                "Set DIFY_API_KEY to the key on the app's page, under API Access: Dify does not accept the present one"
                f" ({error.status} {error.code}: {error.detail.rstrip('.')})."
            )
        case NoQuestionInput():
            return str(error)
        case DifyWrongApp(code="not_chat_app" | "not_workflow_app"):
            return (
                "Set DIFY_APP_MODE to the kind of the app, such as workflow or completion: the one that is set, or that"
                f" Dify before 1.4 does not tell, is not its kind ({error.status} {error.code})."
            )
        case DifyWrongApp():
            return (
                "Publish the app, or set DIFY_API_KEY to the key of one that is published: the present one cannot be"
                f" asked ({error.status} {error.code})."
            )
        case DifyUnreachable():
            return f"Check DIFY_BASE_URL, which is {base_url} and normally ends in /v1: {error}"
        case DifyRejected(status=404 | 405):
            return f"Check DIFY_BASE_URL, which is {base_url}: no Dify app answers there ({error})"
        case _:
            return str(error)


def _stop(sentence: str) -> NoReturn:
    _say(f"[red]error:[/] {escape(sentence)}")
    raise typer.Exit(1)
