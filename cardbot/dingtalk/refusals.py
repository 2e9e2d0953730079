"""What an HTTP answer of DingTalk means: a value, or one of our errors.

The HTTP status says little. A 403 is a rate limit, a used-up quota, a missing permission or a blocked address; an
invalid token is a 400; a webhook answers 200 to everything. So the `code` decides, and the status only where there
is none. DingTalk's own `message` stays out of ours: it may quote what was sent.
"""

import json
from collections.abc import Mapping
from typing import Any, TypedDict

import httpx

from cardbot.errors import (
    Busy,
    ContentRefused,
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidCredentials,
    InvalidToken,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
    WebhookExpired,
)

SECOND_WINDOW = 1.0
"""Seconds to wait after a limit per second. Documented: open.dingtalk.com
how-to-process-api-throttling-on-the-server, read 2026-11."""

MINUTE_WINDOW = 15.0
"""Seconds to wait after a limit per minute. Our choice: a quarter of the window, which slides."""

MAX_WORD = 100
"""Characters of a code or id that go into an error. Our choice: the longest code known has 66."""

PER_SECOND = "QpsLimitFor"
PER_MINUTE = "QpmLimitFor"
"""In the middle of the codes for rate limits: of this app, of everybody, of one API or several. Documented: the same
page."""
TOO_FAST = frozenset({"qps.exceed.limit", "request.overlimit"})
"""Further codes for rate limits. Seen for some APIs."""

BUSY = "system.busy"
"""Not done, try again. Documented: open.dingtalk.com, error codes of create-and-deliver-cards (with HTTP 500), read
2026-11."""

UNSAFE = "param.contentUnsafe"
"""The content check of cards. Documented: the same error codes."""

WEBHOOK_UNSAFE = "4301"
"""How the errcodes of a webhook's content check begin. Documented: open.dingtalk.com, custom robot error codes 430101
to 430104, read 2026-11."""

WEBHOOK_BUSY = "-1"
"""The errcode of a webhook that could not answer right now. Documented: open.dingtalk.com, custom robot error codes,
read 2026-11, as are those below."""
WEBHOOK_TOO_FAST = frozenset({"130101", "410100", "660026", "90018", "90002"})
WEBHOOK_QUOTA = frozenset({"90030", "90020"})
WEBHOOK_GONE = frozenset({"300001", "300005"})


class Facts(TypedDict):
    """What every refusal carries."""

    status: int
    code: str
    request_id: str


def answer_of_api(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer that says "done". Raises the `DingTalkError` that any other answer means."""
    answer = _json_object(response)
    if answer and response.is_success and answer.get("success") is not False and not _is_block(answer):
        return answer
    raise _error(response, answer)


def check_answer_of_webhook(response: httpx.Response) -> None:
    """Raise the `DingTalkError` that a webhook's answer means, unless it means "done"."""
    answer = answer_of_api(response)
    code = _word(answer.get("errcode"))
    if code == "0":
        return
    facts = Facts(status=response.status_code, code=code, request_id=_request_id(response, answer))
    said = f"The session webhook answered with errcode {code}"
    if not code:
        raise DingTalkUnreachable("The session webhook answered without an errcode.")
    if code == WEBHOOK_BUSY:
        raise Throttled(f"{said}: it is busy.", **facts, retry_after=SECOND_WINDOW)
    if code in WEBHOOK_TOO_FAST:
        raise Throttled(f"{said}: too many messages in a minute.", **facts, retry_after=MINUTE_WINDOW)
    if code in WEBHOOK_QUOTA:
        raise QuotaExhausted(f"{said}: the month's messages are used up.", **facts)
    if code in WEBHOOK_GONE:
        raise WebhookExpired(f"{said}: it has expired.")
    if code.startswith(WEBHOOK_UNSAFE):
        raise ContentRefused(f"{said}: the content check did not let the text pass.", **facts)
    raise DingTalkRejected(f"{said}.", **facts)


def check_answer_of_assistant(response: httpx.Response) -> None:
    """The same for the webhook of an AI assistant. The form of its answers is not documented.

    So all that DingTalk uses elsewhere is understood: errors of the API, the errcodes of webhooks, a `result` that says
    how it went (documented for the calls of its API), and nothing at all beside a good status.
    """
    if response.is_success and response.content.strip() in (b"", b"{}"):
        return
    answer = answer_of_api(response)
    if "errcode" in answer:
        check_answer_of_webhook(response)
    result = answer.get("result")
    if isinstance(result, dict) and result.get("success") is False:
        facts = Facts(status=response.status_code, code="", request_id=_request_id(response, answer))
        raise DingTalkRejected("The assistant's webhook answered that it did not succeed.", **facts)


def _error(response: httpx.Response, answer: Mapping[str, Any]) -> DingTalkError:
    """Which error this answer is."""
    status = response.status_code
    code = _word(answer.get("code"))
    facts = Facts(status=status, code=code, request_id=_request_id(response, answer))
    said = (
        f"DingTalk answered {response.request.method} {response.request.url.path} with HTTP {status},"
        f" code {code or '(none)'}, request id {facts['request_id'] or '(none)'}"
    )
    if status == httpx.codes.GATEWAY_TIMEOUT:
        # The gateway gives up after 3 s; what it asked may go on behind it.
        return DingTalkUnreachable(f"{said}: it may have been done.")
    if _is_block(answer):
        return Throttled(f"{said}: this address made too many calls.", **facts, retry_after=_wait(answer))
    if PER_MINUTE in code:
        return Throttled(f"{said}: too many calls in a minute.", **facts, retry_after=MINUTE_WINDOW)
    if code == BUSY:
        return Busy(f"{said}: it is busy.", **facts, retry_after=SECOND_WINDOW)
    if PER_SECOND in code or code in TOO_FAST or status == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled(f"{said}: too many calls in a second.", **facts, retry_after=SECOND_WINDOW)
    if code == "Forbidden.AccessDenied.ApiCountLimitForOrg":
        return QuotaExhausted(f"{said}: the organisation's calls of this month are used up.", **facts)
    if code == "Forbidden.AccessDenied.AccessTokenPermissionDenied":
        scopes = _scopes(answer)
        return PermissionDenied(
            f"{said}: give the app the permission {', '.join(scopes) or '(not named)'} in the developer console.",
            **facts,
            scopes=scopes,
        )
    if code == "Forbidden.AccessDenied.IpNotInWhiteList":
        return PermissionDenied(f"{said}: add this server's address to the app's allowed addresses.", **facts)
    if code == "invalidClientIdOrSecret":
        return InvalidCredentials(f"{said}: check DINGTALK_CLIENT_ID and DINGTALK_CLIENT_SECRET.", **facts)
    if code == "InvalidAuthentication" or status == httpx.codes.UNAUTHORIZED:
        return InvalidToken(f"{said}: the access token is not accepted.", **facts)
    if code == UNSAFE:
        return ContentRefused(f"{said}: the content check did not let the text pass.", **facts)
    if code or response.is_client_error or answer.get("success") is False:
        return DingTalkRejected(f"{said}.", **facts)
    return DingTalkUnreachable(f"{said}, which is no answer in DingTalk's form: it may have been done.")


def _json_object(response: httpx.Response) -> dict[str, Any]:
    """The body if it is a JSON object, else an empty one: gateways answer with HTML, or with nothing."""
    try:
        answer = json.loads(response.content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_block(answer: Mapping[str, Any]) -> bool:
    """Whether this is the answer to an address that made 10,000 calls within 20 s: no code, but `punish`."""
    return answer.get("status") == 1111 or "punish" in answer


def _wait(answer: Mapping[str, Any]) -> float:
    """The seconds that a block asks to wait."""
    wait = answer.get("wait")
    return float(wait) if isinstance(wait, int | float) and wait > 0 else SECOND_WINDOW


def _scopes(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The permission points that are missing. The key is all lower case in what DingTalk sends today."""
    detail = answer.get("accessdenieddetail") or answer.get("accessDeniedDetail")
    scopes = detail.get("requiredScopes") if isinstance(detail, dict) else None
    return tuple(filter(None, map(_word, scopes))) if isinstance(scopes, list) else ()


def _request_id(response: httpx.Response, answer: Mapping[str, Any]) -> str:
    named = answer.get("requestid") or answer.get("requestId") or response.headers.get("x-acs-request-id")
    return _word(named)


def _word(value: object) -> str:
    """A code or id as text, whichever JSON type it came in."""
    return str(value)[:MAX_WORD] if isinstance(value, str | int) and not isinstance(value, bool) else ""
