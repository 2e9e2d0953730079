"""Who may come in: access tokens, and tickets for Stream mode."""

import time
import uuid
from collections.abc import Callable
from typing import Any

from cardbot.playground.http import Response
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Json, Refused

TOKEN_LIFETIME = 7200
"""Seconds. documented: POST /v1.0/oauth2/accessToken, read 2026-11: `expireIn`."""

TOKEN_HEADER = "x-acs-dingtalk-access-token"

SUBSCRIPTION_TYPES = frozenset({"EVENT", "CALLBACK", "SYSTEM"})
"""documented: the first two. seen: the official Go SDK lists its SYSTEM handlers as well, and is served."""


class Access:
    """Checks credentials, hands out tokens and tickets."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_lifetime: float,
        issue_ticket: Callable[[frozenset[str]], Json],
        objection: Callable[[str], None],
    ) -> None:
        self._credentials = (client_id, client_secret)
        self._lifetime = token_lifetime
        self._issue_ticket = issue_ticket
        self._object = objection
        self._token = ""
        self._expires_at = 0.0

    def endpoints(self) -> dict[str, Endpoint]:
        """What is served here, by method and path."""
        return {
            "POST /v1.0/oauth2/accessToken": Endpoint(self._serve_token, "open"),
            "POST /v1.0/gateway/connections/open": Endpoint(self._open_connection, "open"),
        }

    def check(self, headers: dict[str, str]) -> None:
        """Refuse a call without a valid token. seen: recorded from the live service: 400, not 401."""
        token = headers.get(TOKEN_HEADER, "")
        if not token:
            raise Refused(400, "AuthenticationFailed.MissingParameter", f"缺少参数：{TOKEN_HEADER}")
        if token != self._token or time.monotonic() >= self._expires_at:
            raise Refused(400, "InvalidAuthentication", "不合法的access_token")

    def revoke(self) -> None:
        """No token handed out so far is good any more."""
        self._token = ""

    def _serve_token(self, call: Incoming) -> Response:
        self._check_credentials(call.body.get("appKey"), call.body.get("appSecret"))
        # documented: asking again while a token is valid gives the same one.
        if not self._token or call.now >= self._expires_at:
            self._token = uuid.uuid4().hex
            self._expires_at = call.now + self._lifetime
        return Response.json({"accessToken": self._token, "expireIn": int(self._expires_at - call.now)})

    def _open_connection(self, call: Incoming) -> Response:
        self._check_credentials(call.body.get("clientId"), call.body.get("clientSecret"))
        answer = self._issue_ticket(_read_subscriptions(call.body.get("subscriptions")))
        if "application/json" in call.headers.get("accept", ""):
            return Response.json(answer)
        # seen: a comment in the official Node SDK: without the header the answer may be XML.
        self._object("connections/open: no `Accept: application/json`")
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in answer.items())
        return Response(200, f"<result>{inner}</result>".encode(), (("Content-Type", "application/xml"),))

    def _check_credentials(self, name: object, secret: object) -> None:
        if (name, secret) != self._credentials:
            raise Refused(400, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")


def _read_subscriptions(value: Any) -> frozenset[str]:
    # The code of this refusal is not published; ours follows the other ones.
    if not isinstance(value, list) or not value:
        raise Refused(400, "param.invalid", "subscriptions is empty")
    for item in value:
        if not isinstance(item, dict) or item.get("type") not in SUBSCRIPTION_TYPES or not item.get("topic"):
            raise Refused(400, "param.invalid", "a subscription has a type (EVENT, CALLBACK) and a topic")
        if item["type"] == "EVENT" and item["topic"] != "*":
            raise Refused(400, "param.invalid", "EVENT is subscribed with the topic *")
    return frozenset(item["topic"] for item in value if item["type"] == "CALLBACK")
