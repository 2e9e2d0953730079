"""Which addresses are DingTalk's.

The URL of a session webhook comes out of a message. Whoever could forge one would have answers posted to a host of
their choice, or use the bot to reach hosts inside its network. So each URL is checked before it is called, with the
parser of the client that calls it: two parsers can disagree about where a host name ends.
"""

import re

import httpx

from cardbot.errors import FileRefused, SettingsError
from cardbot.forms import is_loopback

DINGTALK_HOST = re.compile(r"(?:[a-z0-9-]+\.)+dingtalk\.(?:com|io)")
"""DingTalk's host names: inside China and overseas. Documented: open.dingtalk.com and help.dingtalk.io, read 2026-11.
Plain letters only: a proxy may well end the host of `evil.example%2F.dingtalk.com` elsewhere than we do."""

STORE_HOST = re.compile(r"[a-z0-9-]+\.oss-[a-z0-9-]+(?<!-internal)\.aliyuncs\.com")
"""Where DingTalk keeps the files of messages: buckets of Aliyun's object store, by their public names. Seen:
`wukong-file-im-zjk.oss-cn-zhangjiakou.aliyuncs.com`. A region's `-internal` name leads into Aliyun's own network."""


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


def download_at(address: str, *, endpoint: httpx.URL) -> httpx.URL:
    """The URL of a file that a message came with, for a bot that talks to `endpoint`.

    The address comes from DingTalk's API, not out of a message: so a bucket may be anybody's, and a host inside our
    network still may not. Seen: `http://` before an address of the store, where `https://` works as well.

    Raises `FileRefused` if that is no place for such files.
    """
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL()
    on_the_web = url.scheme in ("http", "https")
    if is_loopback(url.host) and is_loopback(endpoint.host) and on_the_web:
        return url  # only a simulated DingTalk keeps files here
    plain = on_the_web and not url.userinfo and url.port is None
    if plain and (DINGTALK_HOST.fullmatch(url.host) or STORE_HOST.fullmatch(url.host)):
        return url.copy_with(scheme="https")
    raise FileRefused(f"The file is at {url.host or 'no host'}, which is not DingTalk's.", why="not_fetched")
