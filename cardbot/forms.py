"""The forms that the values of settings have. Each says in a few words what is wrong; none repeats the value."""

import re
from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

STORES = ("sqlite:///", "redis://", "rediss://")
"""How a store's URL begins, if it is not `memory:`."""

NO_PART_OF_AN_ID = re.compile(r"""[\s"'\[\];；、]""")
"""Signs of a list that is written in another way, such as JSON. Our choice: no id with one of these was ever seen, and
an id that nobody has would lock everybody out without a word."""

VARIABLE = re.compile(r"[^\s\"'`=,:;{}\[\]]+")
"""The name of a variable. Our choice: what else is in it belongs to another notation, such as JSON."""


ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/*,@?#]+")
"""Where a page comes from: scheme, host and perhaps a port. Apps on a desk have schemes of their own."""


@dataclass(frozen=True, slots=True)
class AssistantNames:
    """What an AI assistant's skill calls what it hands on: names of variables in its description.

    The skill need declare only the question, the webhook, and the person or the staff id.
    """

    question: str = "rawInput"
    webhook: str = "sessionWebhook"
    chat: str = "openConversationId"
    person: str = "unionId"
    staff: str = "userId"
    corp: str = "corpId"
    run: str = "runId"


def _address(value: str) -> str:
    """An http(s) address without a slash at its end."""
    address = value.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in address
    except ValueError:  # its text may quote what is a password
        is_address = False
    if not is_address:
        raise ValueError("must be an address that begins with https:// or http://")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be a plain address, without user, query or fragment")
    return address


def _dify_address(value: str) -> str:
    """People paste an address of the API's page, which ends in the path that takes the questions."""
    address = _address(value)
    for path in ("/chat-messages", "/completion-messages", "/workflows/run"):
        address = address.removesuffix(path)
    return address


def _safe_address(value: str) -> str:
    """Plain http carries the app's secret in the open, so it is for this machine only."""
    address = _address(value)
    parts = urlsplit(address)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https:// (http:// on this machine only)")
    return address


def is_loopback(host: str) -> bool:
    """Whether this host is the machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value.strip()


def _secret_not_blank(value: SecretStr) -> SecretStr:
    """Keys and secrets are sent in headers; a placeholder such as `app-…` would fail there."""
    secret = _not_blank(value.get_secret_value())
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ValueError("holds a character that no key has; copy it whole")
    return SecretStr(secret)


def _store(value: str) -> str:
    """Only the form, so that this too is told with all other problems; the store itself says more."""
    store = _not_blank(value)
    if store != "memory:" and not store.startswith(STORES):
        raise ValueError("must be memory:, sqlite:///path or redis://host:port/database (rediss:// for TLS)")
    return store


def _assistant(value: object) -> object:
    """`on`, or the names that differ from the usual ones."""
    if not isinstance(value, str):
        return value
    if value.strip() in ("", "on"):
        return AssistantNames() if value.strip() else None
    pairs = [pair.partition("=") for pair in re.split("[,，]", value)]
    named = {what.strip(): name.strip() for what, _, name in pairs}
    words = [field.name for field in fields(AssistantNames)]
    if len(named) < len(pairs) or not all(what in words and VARIABLE.fullmatch(name) for what, name in named.items()):
        raise ValueError(f"must be `on`, or names such as `question=ask,person=user` (of {', '.join(words)})")
    return AssistantNames(**named)


def _ids(value: object) -> object:
    """The ids in a text with commas between them, each as it stands: its case matters, and so does a `=` at its end."""
    if not isinstance(value, str):
        return value
    ids = {part.strip() for part in re.split("[,，]", value)} - {""}
    is_list_of_none = value.strip() and not ids  # it would let everybody in
    if is_list_of_none or any(NO_PART_OF_AN_ID.search(part) for part in ids):
        raise ValueError("must be ids with commas between them, such as `id1,id2`")
    return ids


def _words(value: object) -> object:
    """The words in a text with commas between them."""
    if not isinstance(value, str):
        return value
    return tuple(word for part in re.split("[,，]", value) if (word := part.strip()))


def _keys(value: object) -> object:
    """The keys in a text with commas between them."""
    if not isinstance(value, str):
        return value
    keys = {part.strip() for part in value.split(",")} - {""}
    if value.strip() and not keys:  # a list of none would let everybody in
        raise ValueError("must be keys with commas between them, such as `key1,key2`")
    return {SecretStr(key) for key in keys}


def _origins(value: object) -> object:
    """The origins in a text with commas between them."""
    if not isinstance(value, str):
        return value
    origins = {origin for part in value.split(",") if (origin := part.strip().rstrip("/").lower())}
    if not all(origin == "*" or ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("must be origins with commas between them, such as `https://chat.example.com`, or `*`")
    return origins


Text = Annotated[str, AfterValidator(_not_blank)]
OptionalText = Annotated[str, AfterValidator(str.strip)]
Secret = Annotated[SecretStr, AfterValidator(_secret_not_blank)]
Ids = Annotated[frozenset[Text], NoDecode, BeforeValidator(_ids)]  # NoDecode: or the text would have to be JSON
Words = Annotated[tuple[Text, ...], NoDecode, BeforeValidator(_words)]
Keys = Annotated[frozenset[Secret], NoDecode, BeforeValidator(_keys)]
Origins = Annotated[frozenset[Text], NoDecode, BeforeValidator(_origins)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
DifyAddress = Annotated[str, AfterValidator(_dify_address)]
SafeAddress = Annotated[str, AfterValidator(_safe_address)]
Assistant = Annotated[AssistantNames | None, NoDecode, BeforeValidator(_assistant)]
StoreAddress = Annotated[str, AfterValidator(_store)]
