"""The settings: their variables, their forms, their defaults."""

from typing import Annotated, Literal

from platformdirs import user_state_path
from pydantic import Field

from cardbot.commands import NEW_WORDS
from cardbot.forms import (
    Assistant,
    DifyAddress,
    Ids,
    Keys,
    OptionalText,
    Origins,
    SafeAddress,
    Seconds,
    Secret,
    StoreAddress,
    Text,
    Words,
)
from cardbot.inputs import Inputs
from cardbot.reading import Values
from cardbot.texts import Language

PUBLIC_TEMPLATE = "public"
"""Value of `DINGTALK_CARD_TEMPLATE_ID` for DingTalk's shared template: a first try needs no template of one's own."""


def _default_store() -> str:
    return f"sqlite:///{user_state_path('cardbot', appauthor=False) / 'cardbot.db'}"


OwnLanguage = Annotated[
    Language, Field(alias="CARDBOT_LANGUAGE", description="`zh` or `en`: the bot's own sentences in the chat")
]


class LanguageSettings(Values):
    """What is needed to speak."""

    language: OwnLanguage = "zh"


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
            description="`chat`, `agent-chat`, `agent`, `advanced-chat`, `workflow` or `completion`;"
            " needed only before Dify 1.4",
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
    language: OwnLanguage = "zh"
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
    cors_origins: Annotated[
        Origins,
        Field(
            alias="CARDBOT_CORS_ORIGINS",
            description="`cardbot serve`: sites whose pages may call it from a browser, comma separated, or `*`;"
            " none: no page may",
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
