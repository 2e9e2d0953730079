"""The configuration: read once, from the environment and an env file; every problem is reported, by variable name."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_state_path
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
)

from cardbot.commands import NEW_WORDS
from cardbot.errors import SettingsError
from cardbot.forms import (
    Assistant,
    DifyAddress,
    Ids,
    Keys,
    OptionalText,
    SafeAddress,
    Seconds,
    Secret,
    StoreAddress,
    Text,
    Words,
)
from cardbot.inputs import Inputs
from cardbot.texts import Language

OLDER_NAMES: Mapping[str, str] = {
    "DINGTALK_APP_KEY": "DINGTALK_CLIENT_ID",
    "DINGTALK_APP_SECRET": "DINGTALK_CLIENT_SECRET",
    "DING_CLIENT_ID": "DINGTALK_CLIENT_ID",
    "DING_CLIENT_SECRET": "DINGTALK_CLIENT_SECRET",
    "DIFY_URL": "DIFY_BASE_URL",
    "DINGTALK_AGENT_ID": "",
}
"""Variables of older guides, and what they are called now; an empty name is one that nothing needs any more."""

PREFIXES = ("CARDBOT_", "DINGTALK_", "DING_CLIENT_", "DIFY_")
"""A variable that begins like this and is not known is most likely a slip of the pen."""

PUBLIC_TEMPLATE = "public"
"""Value of `DINGTALK_CARD_TEMPLATE_ID` for DingTalk's shared template: a first try needs no template of one's own."""


def _default_store() -> str:
    return f"sqlite:///{user_state_path('cardbot', appauthor=False) / 'cardbot.db'}"


class Values(BaseSettings):
    """How settings are read; what they are, the classes below say."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    @classmethod
    def load(cls, env_file: Path | None = None) -> Self:
        """From the environment, and an env file for what is not in the environment.

        Raises `SettingsError` with a sentence for each problem.
        """
        try:
            settings = cls(_env_file=env_file, _env_file_encoding="utf-8")
            _refuse_older_names(_present(cls, env_file), settings)
            return settings
        except ValidationError as exc:
            raise SettingsError(_problems(exc, _present(cls, env_file))) from None
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError([_unreadable(env_file, exc)]) from None

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """From these values alone, by variable name, whatever the environment says. Raises `SettingsError`."""
        settings = cls.__new__(cls)
        try:
            BaseModel.__init__(settings, **dict(values))  # not BaseSettings', which reads the environment
        except ValidationError as exc:
            raise SettingsError(_problems(exc, set(values))) from None
        _refuse_older_names(set(values), settings)
        return settings

    @classmethod
    def advice(cls, env_file: Path | None = None) -> list[str]:
        """Sentences about variables that are set and do nothing. Of a file that cannot be read, `load` speaks."""
        try:
            present = _present(cls, env_file)
        except (OSError, UnicodeDecodeError):
            present = _present(cls, None)
        known = {*variables(Settings), *variables(ServeSettings)}
        advice = []
        for name in sorted(present):
            if name in OLDER_NAMES:
                advice.append(_renamed(name, present))
            elif name.startswith(PREFIXES) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                advice.append(f"{name} is not a setting{f'; did you mean {near[0]}?' if near else '.'}")
        return advice


class DifySettings(Values):
    """What is needed to ask Dify."""

    dify_api_key: Annotated[Secret, Field(alias="DIFY_API_KEY", description="The key of the Dify app (`app-…`)")]
    dify_base_url: Annotated[
        DifyAddress,
        Field(alias="DIFY_BASE_URL", description="Dify's service API; with or without `/chat-messages` at its end"),
    ] = "https://api.dify.ai/v1"
    dify_idle_seconds: Annotated[
        Seconds,
        Field(
            alias="CARDBOT_DIFY_IDLE_SECONDS",
            description="Silence from Dify after which an answer is given up; a queue at Dify is silent too",
        ),
    ] = 120.0
    dify_app_mode: Annotated[
        Literal["", "chat", "agent-chat", "agent", "advanced-chat", "workflow", "completion"],
        Field(
            alias="DIFY_APP_MODE",
            description="The app's kind in Dify's word; none: Dify is asked, which tells it from 1.4 on",
        ),
    ] = ""
    dify_inputs: Annotated[
        Inputs,
        Field(
            alias="DIFY_INPUTS",
            description="Values of the app's inputs, as JSON; texts may name `{sender_name}`, `{sender_id}`, "
            "`{chat_title}`, `{chat_id}`",
        ),
    ] = Field(default_factory=dict)
    dify_query_input: Annotated[
        OptionalText,
        Field(
            alias="DIFY_QUERY_INPUT",
            description="The input of a workflow that takes the question; none: `query`, or the only one for text",
        ),
    ] = ""
    dify_output: Annotated[
        OptionalText,
        Field(
            alias="DIFY_OUTPUT",
            description="The output of a workflow that is its answer; none: the likeliest",
        ),
    ] = ""
    dify_system_prompt: Annotated[
        OptionalText,
        Field(
            alias="DIFY_SYSTEM_PROMPT",
            description="How the app is to behave: goes into its input `system_prompt`, or before a first question",
        ),
    ] = ""
    language: Annotated[
        Language, Field(alias="CARDBOT_LANGUAGE", description="`zh` or `en`: the bot's own sentences in the chat")
    ] = "zh"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        Field(alias="CARDBOT_LOG_LEVEL", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`"),
    ] = "INFO"


class StoreSettings(Values):
    """What is needed to look at what is kept."""

    store: Annotated[
        StoreAddress,
        Field(
            alias="CARDBOT_STORE",
            repr=False,  # a Redis URL may hold a password
            description="`memory:`, `sqlite:///path` or `redis://…`; none: `cardbot.db` in the user's state folder",
        ),
    ] = Field(default_factory=_default_store)
    monthly_calls: Annotated[
        int | None,
        Field(
            alias="CARDBOT_MONTHLY_CALLS",
            ge=1,
            description="Calls a month that the bot may make; as they run out, cards are updated more rarely",
        ),
    ] = None


class ServiceSettings(Values):
    """What is needed to answer many at once, and to end well."""

    max_answers: Annotated[
        int,
        Field(
            alias="CARDBOT_MAX_ANSWERS",
            ge=1,
            description="Answers that stream at once; the rest wait in line",
        ),
    ] = 100
    drain_seconds: Annotated[
        float,
        Field(
            alias="CARDBOT_DRAIN_SECONDS",
            ge=0,
            allow_inf_nan=False,
            description="After SIGTERM, how long answers may go on before their cards are closed",
        ),
    ] = 25.0


class ServeSettings(ServiceSettings, StoreSettings):
    """What the OpenAI-compatible front needs, besides the Dify apps that it offers as models."""

    api_keys: Annotated[
        Keys,
        Field(
            alias="CARDBOT_API_KEYS",
            description="`cardbot serve`: keys of its callers, comma separated; none: this machine only, without a key",
        ),
    ] = frozenset()
    model: Annotated[
        Text, Field(alias="CARDBOT_MODEL", description="`cardbot serve`: the name of the Dify app among its models")
    ] = "dify"


class DingTalkSettings(Values):
    """What is needed to call DingTalk as the robot."""

    client_id: Annotated[Text, Field(alias="DINGTALK_CLIENT_ID", description="The app's client id (formerly AppKey)")]
    client_secret: Annotated[
        Secret, Field(alias="DINGTALK_CLIENT_SECRET", description="The app's client secret (formerly AppSecret)")
    ]
    robot_code: Annotated[
        OptionalText,
        Field(alias="DINGTALK_ROBOT_CODE", description="The robot's code; none: the client id, as in most apps"),
    ] = ""
    openapi_endpoint: Annotated[
        SafeAddress,
        Field(
            alias="DINGTALK_OPENAPI_ENDPOINT",
            description="DingTalk's API; `https://api.dingtalk.io` overseas; `http://` on this machine only",
        ),
    ] = "https://api.dingtalk.com"

    @property
    def robot(self) -> str:
        """The robot's code, which for an internal app is its client id."""
        return self.robot_code or self.client_id


class Settings(ServiceSettings, StoreSettings, DifySettings, DingTalkSettings):
    """What the bot needs to run."""

    card_template_id: Annotated[
        OptionalText,
        Field(
            alias="DINGTALK_CARD_TEMPLATE_ID",
            description="The card template (`….schema`), or `public` for DingTalk's shared one; none: plain replies",
        ),
    ] = ""
    card_content_key: Annotated[
        Text,
        Field(alias="DINGTALK_CARD_CONTENT_KEY", description="The template's streamed markdown variable"),
    ] = "content"
    card_qps: Annotated[
        int,
        Field(
            alias="CARDBOT_CARD_QPS",
            ge=1,
            le=1000,
            description="Card calls per second and API path the app may make",
        ),
    ] = 20
    frames: Annotated[
        Literal["smooth", "balanced", "frugal"],
        Field(alias="CARDBOT_FRAMES", description="How many frames an answer may cost: `smooth`, `balanced`, `frugal`"),
    ] = "balanced"
    assistant: Annotated[
        Assistant,
        Field(
            alias="CARDBOT_ASSISTANT",
            description="`on`: AI assistants of the app are answered too; or what their skill calls its variables,"
            " such as `question=ask,person=user`; none: they are not",
        ),
    ] = None
    allow_users: Annotated[
        Ids,
        Field(
            alias="CARDBOT_ALLOW_USERS",
            description="Staff ids, comma separated: these people are answered everywhere; with no list, everybody is",
        ),
    ] = frozenset()
    allow_chats: Annotated[
        Ids,
        Field(
            alias="CARDBOT_ALLOW_CHATS",
            description="Conversation ids, comma separated: in these chats everybody is answered, besides those people",
        ),
    ] = frozenset()
    user_rate: Annotated[
        int,
        Field(
            alias="CARDBOT_USER_RATE",
            ge=0,
            le=1000,  # so many times are remembered for each person
            description="Messages a minute that one person is answered; `0`: no limit",
        ),
    ] = 20
    session: Annotated[
        Literal["person", "chat"],
        Field(
            alias="CARDBOT_SESSION",
            description="`person` or `chat`: whose conversation with Dify it is in a group",
        ),
    ] = "person"

    new_words: Annotated[
        Words,
        Field(
            alias="CARDBOT_NEW_WORDS",
            description="Messages that begin a new conversation with Dify, comma separated",
        ),
    ] = NEW_WORDS
    max_file_mb: Annotated[
        int,
        Field(
            alias="CARDBOT_MAX_FILE_MB",
            ge=1,
            description="What one file may weigh on its way from DingTalk to Dify, in MB",
        ),
    ] = 20


def variables(kind: type[BaseSettings]) -> dict[str, Any]:
    """Each environment variable, with its field."""
    return {str(field.alias): field for field in kind.model_fields.values()}


def environment(env_file: Path | None = None) -> dict[str, str]:
    """What the environment says, and an env file for what is not there; what is empty is not set.

    Raises `SettingsError` if the file cannot be read.
    """
    try:
        file = DotEnvSettingsSource(Settings, env_file=env_file, env_file_encoding="utf-8", case_sensitive=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([_unreadable(env_file, exc)]) from None
    sources = (file, EnvSettingsSource(Settings, case_sensitive=True))
    return {name: value for source in sources for name, value in source.env_vars.items() if value}


def is_set(name: str, env_file: Path | None = None) -> bool:
    """Whether a variable has a value, in the environment or the env file."""
    return name in _present(Settings, env_file)


def _present(kind: type[BaseSettings], env_file: Path | None) -> set[str]:
    """The names that are set, whether known or not."""
    environment = EnvSettingsSource(kind, case_sensitive=True)
    file = DotEnvSettingsSource(kind, env_file=env_file, case_sensitive=True)
    return {name for name, value in {**file.env_vars, **environment.env_vars}.items() if value}


def _unreadable(env_file: Path | None, error: Exception) -> str:
    return f"{env_file} cannot be read as UTF-8 text ({type(error).__name__})."


def _refuse_older_names(present: set[str], settings: BaseSettings) -> None:
    """A default must not be used where an older name says otherwise: a key could go to a wrong host."""
    fields = type(settings).model_fields
    defaulted = {str(field.alias) for name, field in fields.items() if name not in settings.model_fields_set}
    older = [
        f"{new} is missing. {old} is its name in older guides: rename it to {new}."
        for old, new in OLDER_NAMES.items()
        if old in present and new in defaulted
    ]
    if older:
        raise SettingsError(older)


def _renamed(name: str, present: set[str]) -> str:
    if not (new := OLDER_NAMES[name]):
        return f"{name} is not needed any more: remove it."
    if new in present:
        return f"{name} is a name of older guides and does nothing: {new} is set, so remove it."
    return f"{name} is a name of older guides and does nothing: set {new} instead."


def _problems(error: ValidationError, present: set[str]) -> list[str]:
    """One sentence a variable. The value is left out: it may be a secret."""
    problems = []
    for detail in error.errors(include_input=False, include_url=False):
        name = str(detail["loc"][0])
        if detail["type"] == "missing":
            older = [old for old, new in OLDER_NAMES.items() if new == name and old in present]
            hint = f" {older[0]} is its name in older guides: rename it to {name}." if older else ""
            problems.append(f"{name} is missing.{hint}")
        else:
            reason = detail["msg"].removeprefix("Value error, ")
            problems.append(f"{name} {reason if detail['type'] == 'value_error' else 'is wrong: ' + reason}.")
    return problems
