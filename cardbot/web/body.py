"""The body of a request, as long as it may be."""

from starlette.requests import ClientDisconnect, Request

from cardbot.web.refusals import GONE, Refused, bad_request

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes. Our choice: two pictures of the largest size that Dify takes, and many words."""


async def body_of(request: Request) -> bytes:
    """The whole body. Raises `Refused`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/json"):
        raise Refused(bad_request("The Content-Type must be application/json.", status=415))
    too_long = Refused(bad_request(f"The body is longer than {BODY_LIMIT // 1024 // 1024} MB.", status=413))
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > BODY_LIMIT:
        raise too_long
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                raise too_long
    except ClientDisconnect as exc:
        raise Refused(GONE) from exc
    return bytes(body)
