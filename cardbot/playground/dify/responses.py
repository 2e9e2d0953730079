"""How a release writes its responses: their headers, and the JSON in their bodies. Pure."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.release import Release
from cardbot.playground.http import Headers, Response, Stream

_HTML_404 = (
    b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not "
    b"found on the server.</p>\n"
)


@dataclass(frozen=True, slots=True)
class Responses:
    """The responses of one release."""

    release: Release

    def json(self, value: object, status: int = 200) -> Response:
        """What was asked for."""
        return Response(status, self.release.body(value), self._headers("application/json"))

    def deleted(self) -> Response:
        """Done, with nothing to tell. 0.15.8 told it."""
        if self.release.old_json:
            return self.json({"result": "success"})
        return Response(204, headers=self._headers("application/json"))

    def whole(self, value: object) -> Response:
        """An answer that is not streamed."""
        kind = "application/json" if self.release.old_json else "application/json; charset=utf-8"
        return Response(200, self.release.blocking(value), self._headers(kind))

    def streamed(self, chunks: AsyncGenerator[bytes, None], *, more: Headers = ()) -> Stream:
        """An answer as server-sent events."""
        return Stream(200, (*self._headers("text/event-stream; charset=utf-8"), *more), chunks)

    def refusal(self, refused: Refused) -> Response:
        """An error in Dify's own JSON."""
        response = self.json(refused.body(), refused.refuse.status)
        if refused.refuse.status != 401 or self.release.old_json:
            return response
        return Response(401, response.body, (*response.headers, ("WWW-Authenticate", 'Bearer realm="api"')))

    def no_such_path(self) -> Response:
        """The page of the web framework."""
        return Response(404, _HTML_404, self._headers("text/html; charset=utf-8"))

    def _headers(self, kind: str) -> Headers:
        return (("Content-Type", kind), ("X-Version", self.release.version), ("X-Env", "PRODUCTION"))
