"""The access token of one app: fetched once, however many ask for it, and anew before it ends."""

from dataclasses import dataclass, field
from typing import Final

import anyio
from alibabacloud_dingtalk.oauth2_1_0.models import GetAccessTokenRequest
from alibabacloud_tea_util.models import RuntimeOptions

from cardbot.dingtalk.sdk import OAuthClient
from cardbot.errors import DingTalkUnreachable, InvalidCredentials, InvalidToken

RENEW_BEFORE = 300.0
"""Seconds before its end at which a token is replaced. Our choice: longer than any call takes; DingTalk gives 7200 s
and hands out the same token, prolonged, while it is valid (documented: open.dingtalk.com
obtain-the-access_token-of-an-internal-app, read 2026-11)."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float
    """On anyio's clock."""


_NONE: Final = _Token("", renew_at=float("-inf"))


class AccessToken:
    """The token of the app with these credentials."""

    def __init__(self, oauth: OAuthClient, *, client_id: str, client_secret: str) -> None:
        self._oauth = oauth
        self._client_id = client_id
        self._client_secret = client_secret
        self._token = _NONE
        self._lock = anyio.Lock()

    async def current(self) -> str:
        """One that is good for a while. Raises `DingTalkError` if there is none to be had."""
        if anyio.current_time() >= self._token.renew_at:
            async with self._lock:
                if anyio.current_time() >= self._token.renew_at:
                    self._token = await self._fetch()
        return self._token.value

    def drop(self, value: str) -> None:
        """DingTalk has refused this one. Of many calls that find it dead, the first drops it; its successor stays."""
        if self._token.value == value:
            self._token = _NONE

    async def _fetch(self) -> _Token:
        asked_at = anyio.current_time()
        request = GetAccessTokenRequest(app_key=self._client_id, app_secret=self._client_secret)
        try:
            response = await self._oauth.get_access_token_with_options_async(request, {}, RuntimeOptions())
        except InvalidToken as exc:  # a bare 401, to a call that carries no token
            raise InvalidCredentials(str(exc), status=exc.status, code=exc.code, request_id=exc.request_id) from exc
        value, lifetime = response.body.access_token, response.body.expire_in
        if not (isinstance(value, str) and value and isinstance(lifetime, int | float)):
            raise DingTalkUnreachable("DingTalk's answer to POST /v1.0/oauth2/accessToken holds no access token.")
        # A token with little time left is used for half of it, or each call would fetch another.
        return _Token(value, renew_at=asked_at + lifetime - min(RENEW_BEFORE, lifetime / 2))
