"""Which addresses are DingTalk's.

The URL of a session webhook comes out of a message. Whoever could forge one would have answers posted to a host of
their choice, or use the bot to reach hosts inside its network. So each URL is checked before it is called, with the
parser of the client that calls it: two parsers can disagree about where a host name ends.
"""

import re

import httpx

from cardbot.errors import SettingsError
from cardbot.forms import is_loopback

DINGTALK_HOST = re.compile(r"(?:[a-z0-9-]+\.)+dingtalk\.(?:com|io)")
"""DingTalk's host names: inside China and overseas. Documented: open.dingtalk.com and help.dingtalk.io, read 2026-11.
Plain letters only: a proxy may well end the host of `evil.example%2F.dingtalk.com` elsewhere than we do."""


def endpoint_at(address: str) -> httpx.URL:
    """The endpoint that an address from the settings names.

    Raises `SettingsError` if calls to it would carry the access token over plain HTTP, other than to this machine.
    """
    try:
        url = httpx.URL(address.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.host and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))):
        return url
    raise SettingsError(
        [f"DINGTALK_OPENAPI_ENDPOINT is {address!r}; it must begin with https:// (http:// on this machine only)."]
    )


def is_trusted_webhook(url: httpx.URL, *, endpoint: httpx.URL) -> bool:
    """Whether a reply may be posted to this URL, for a bot that talks to `endpoint`."""
    if is_loopback(url.host):
        # Only a simulated DingTalk hands out such webhooks.
        return is_loopback(endpoint.host) and url.scheme in ("http", "https")
    plain = not url.userinfo and url.port is None  # 443 is none
    return url.scheme == "https" and plain and DINGTALK_HOST.fullmatch(url.host) is not None
