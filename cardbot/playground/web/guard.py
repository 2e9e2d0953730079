"""Who may use the page: this machine's own browser, from the page itself.

The threat: any web site that is open in the same browser can send requests to 127.0.0.1. It could press the page's
buttons (cross-site request forgery), or make a name of its own resolve to 127.0.0.1 and read everything (DNS
rebinding). So each request must name this address as its `Host`, and each one that does something must say, by its
`Origin`, that it comes from the page itself. Checked before anything else runs.

The third fence is for what a model writes: the policy below lets the browser run no script but the page's own files.

Not covered: other users of this machine can open the page, as they can any port of the loopback interface.
"""

from collections.abc import Iterable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HARMLESS = frozenset({"GET", "HEAD"})
"""Methods that change nothing. A request with any other must carry the page's own `Origin`."""


def policy(pictures_from: Iterable[str] = ()) -> str:
    """The Content-Security-Policy: nothing from anywhere but this server, besides pictures of the Dify that answers.

    Trusted Types: of all the page's scripts one line may make HTML from text, that of the server's sanitised markdown.
    """
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            " ".join(["img-src 'self' data:", *pictures_from]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types markdown",
        ]
    )


class Guard:
    """Lets a request pass if it comes from this machine and this page, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, *, port: int, policy: str) -> None:
        self._app = app
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._headers = {
            "Content-Security-Policy": policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http" or not self._is_from_here(scope):
            refusal = PlainTextResponse("Open this page by its own address.\n", HTTPStatus.FORBIDDEN)
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _is_from_here(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if headers.getlist("host") != [host] or host not in self._hosts:
            return False
        origin = headers.get("origin")
        if scope["method"] in HARMLESS:
            return origin in (None, f"http://{host}")
        return origin == f"http://{host}"
