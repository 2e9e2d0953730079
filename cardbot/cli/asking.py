"""`cardbot ask`: one question, whose answer is typed out."""

import sys
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cardbot.cli.options import DEFAULT_CONFIG, DEFAULT_ENV_FILE, ConfigFile, EnvFile, settings_of
from cardbot.cli.terminal import check_question, run_async, say, stop
from cardbot.errors import (
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
    from cardbot.settings import DifySettings


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

    check_question(question)
    settings = _dify_of(robot, config, env_file)
    set_up("WARNING")
    answer = Answer(texts_in(settings.language), base=settings.dify_base_url)

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
                say(f"[yellow]note:[/] {escape(concern.sentence)}")
            async for event in events:
                answer.apply(event)
                shown = _type(shown, answer.text)
        answer.close()
        _type(shown, answer.text)
        print()

    try:
        run_async(type_out, explain=partial(explain_dify, settings.dify_base_url))
    finally:
        sys.stdout.flush()
    if answer.failed or not answer.text.strip():
        notice = answer.markdown.removeprefix(answer.text).strip()
        stop(notice or "The answer is empty.")
    elif answer.markdown != answer.text:
        say(answer.markdown.removeprefix(answer.text).strip())


def _type(shown: str, text: str) -> str:
    """Write what is new. A text that was replaced begins again on a line of its own."""
    if not text.startswith(shown):
        sys.stdout.write("\n")
        shown = ""
    sys.stdout.write(text[len(shown) :])
    sys.stdout.flush()
    return text


def _dify_of(robot: str, config: Path, env_file: Path) -> "DifySettings":
    """How to ask the Dify app of the robot or model with this name, or of the only one."""
    from cardbot.settings import DifySettings

    def apps(found: "Configuration") -> "dict[str, DifySettings]":
        models: dict[str, DifySettings] = {model.name: model.settings for model in found.models}
        return models | {one.name: one.settings for one in found.robots}

    return settings_of(robot, DifySettings, apps, what="whose Dify app", config=config, env_file=env_file)


def explain_dify(base_url: str, error: DifyError) -> str:
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
            usual = "" if base_url.endswith("/v1") else " and normally ends in /v1"
            return f"Check DIFY_BASE_URL, which is {base_url}{usual}: {error}"
        case DifyRejected(status=404 | 405):
            return f"Check DIFY_BASE_URL, which is {base_url}: no Dify app answers there ({error})"
        case _:
            return str(error)
