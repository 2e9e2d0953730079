"""Who may use the front: whoever has a key, or, where there are none, this machine.

Without keys the threat is a web site that is open in a browser on this machine: it can send requests to 127.0.0.1, or
make a name of its own resolve to it (DNS rebinding). So each request must name this machine as its `Host` and, if a
browser says where it comes from, come from there or from a site that the administrator has named.
"""

import hashlib
import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers

from cardbot.forms import is_loopback
from cardbot.web.refusals import BAD_REQUEST, Refusal, Refused

NO_KEY = Refusal(
    401, "You must give an API key, in the header `Authorization: Bearer …`.", "missing_api_key", BAD_REQUEST
)
# Clients tell a wrong key by OpenAI's own first words (read in litellm 1.106: `exception_mapping_utils.py`).
WRONG_KEY = Refusal(401, "Incorrect API key provided: it is not known here.", "invalid_api_key", BAD_REQUEST)
NOT_FROM_HERE = Refusal(
    403, "Without API keys only this machine is answered, by its own address.", "not_from_here", BAD_REQUEST
)


class Gate:
    """Lets requests pass.

    Args:
        keys: those that open; none: only this machine is let in.
        origins: sites whose pages may call from a browser.
    """

    def __init__(self, keys: Collection[SecretStr], origins: Collection[str] = ()) -> None:
        self._digests = [_digest(key.get_secret_value()) for key in keys]
        self.origins = origins

    @property
    def wants_key(self) -> bool:
        """Whether there are keys."""
        return bool(self._digests)

    def check(self, headers: Headers) -> None:
        """Raises `Refused`."""
        if not self.wants_key:
            if not _is_from_here(headers, self.origins):
                raise Refused(NOT_FROM_HERE)
            return
        scheme, _, key = headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(NO_KEY)
        given = _digest(key.strip())
        # All are compared, each in constant time: how long it takes tells nothing about any key.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        if not any(matches):
            raise Refused(WRONG_KEY)


def _digest(key: str) -> bytes:
    """Of one length for all keys, so that comparing does not tell it."""
    return hashlib.sha256(key.encode()).digest()


def _is_from_here(headers: Headers, origins: Collection[str]) -> bool:
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if headers.getlist("host") != [host] or not is_loopback(name):
        return False
    return headers.get("origin") in (None, f"http://{host}", *origins)
