"""A scripted Dify: its service API on the loopback interface, answering what it is told to answer."""

import asyncio
import re
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cardbot.playground.dify.answers import Stage, failed_early, play_again, silence
from cardbot.playground.dify.beats import LINGER, PING_EVERY
from cardbot.playground.dify.checks import (
    CHAT_APPS,
    Refused,
    authorize,
    check_question,
    is_streaming,
    json_body,
    require_app,
    user_of,
)
from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.files import Upload, check_attached, recording, uploaded
from cardbot.playground.dify.history import History
from cardbot.playground.dify.human import HumanInput
from cardbot.playground.dify.inputs import taken
from cardbot.playground.dify.release import RELEASES, App, Json
from cardbot.playground.dify.replay import Recording, Replay, load
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse, Script
from cardbot.playground.dify.store import Conversation, Run
from cardbot.playground.http import Cut, Headers, LoopbackServer, Request, Reset, Response, Stream

HTML_404 = (
    b"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not "
    b"found on the server.</p>\n"
)

Answer = Script | Refuse | Html | Hang | Drop | Replay


@dataclass(slots=True)
class Trouble:
    """What becomes of requests that are no questions, such as an upload or a stop.

    Args:
        path: A regular expression for `METHOD path`, found at its beginning.
        answer: What is answered instead.
        times: So many requests meet it.
        done: Whether the request has its effect all the same.
    """

    path: str
    answer: Refuse | Html | Hang | Drop
    times: float = 1
    done: bool = False


_QUESTIONS: dict[str, tuple[App, ...]] = {
    "/v1/chat-messages": CHAT_APPS,
    "/v1/completion-messages": ("completion",),
    "/v1/workflows/run": ("workflow",),
}
"""The paths that start an answer, with the apps that answer there."""


_OFF = {"enabled": False}

_PARAMETERS: Json = {
    "opening_statement": "",
    "suggested_questions": [],
    "suggested_questions_after_answer": _OFF,
    "speech_to_text": _OFF,
    "text_to_speech": {**_OFF, "voice": "", "language": ""},
    "retriever_resource": {"enabled": True},
    "annotation_reply": _OFF,
    "more_like_this": _OFF,
    "user_input_form": [],
    "sensitive_word_avoidance": {**_OFF, "type": "", "configs": []},
    "file_upload": {**_OFF, "number_limits": 3},
    "system_parameters": {
        "image_file_size_limit": 10,
        "video_file_size_limit": 100,
        "audio_file_size_limit": 50,
        "file_size_limit": 15,
        "workflow_file_upload_limit": 10,
    },
}
"""What `GET /parameters` says: an app without inputs, files or extras."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it arrived."""

    time: float
    """Of the event loop's clock, in seconds."""
    method: str
    path: str
    user: str | None
    body: Json | None
    headers: dict[str, str] = field(repr=False)


class FakeDify:
    """One app of a Dify server.

    `answers` holds what the next questions get, in order; when it is empty, `default` answers. `requests` is
    everything that arrived, `conversations`, `runs` and `files` are what the server stored.

    Args:
        app: The kind of app behind the key.
        version: The release to imitate, a key of `RELEASES`.
        api_key: The one key that is accepted.
        max_active: Answers at a time; one more is refused as Dify does. None: no limit.
        ping_every: Seconds between pings.
        linger: Seconds a relayed stream stays open after its last event.
        file_upload: The app's settings for files, as `GET /parameters` has them; none: it takes none.
        speech_to_text: Whether the app turns speech into text.
        inputs: The `user_input_form` of the app: `{"text-input": {"variable": …, "required": …}}` and so on.
    """

    def __init__(
        self,
        app: App = "chat",
        version: str = "1.14.1",
        api_key: str = "app-test",
        *,
        port: int = 0,
        max_active: int | None = None,
        ping_every: float = PING_EVERY,
        linger: float = LINGER,
        file_upload: Json | None = None,
        speech_to_text: bool = False,
        inputs: Sequence[Json] = (),
    ) -> None:
        self.app = app
        self.release = RELEASES[version]
        if app == "agent" and not self.release.reports_early_failures:
            raise ValueError(f"Dify {version} has no app mode 'agent': it came with 1.15.0")
        self.answers: deque[Answer] = deque()
        self.default: Script | Callable[[str], Answer] = Script()
        self.about_files: Callable[[str, Sequence[Upload]], Answer] | None = None
        """Answers questions that come with files, in place of `default`; None: `default` does."""
        self.requests: list[Recorded] = []
        self.files: list[Upload] = []
        self.troubles: list[Trouble] = []
        """What goes wrong with the next requests; the first that fits, and has times left, counts."""
        self.slow_to_listen = 0.0
        """Seconds until a listener to a run that goes on is taken on."""
        self.blocked_extensions: set[str] = set()
        """Extensions that the server refuses, without a dot."""
        self.heard: list[bytes] = []
        """Recordings that were to become text; `transcript` is what they become, or says it."""
        self.transcript: str | Callable[[bytes], str] = "What is the weather?"
        self._file_upload = file_upload
        self._listens = speech_to_text
        self._history = History(app, self.release)
        self._api_key = api_key
        self._max_active = max_active
        self._app_id = str(uuid.uuid4())
        self._stage = Stage(ping_every=ping_every, linger=linger)
        self._inputs = list(inputs)
        self._human = HumanInput(app, self.release, self._history, self._stage, ping_every=ping_every)
        self._recorded: defaultdict[tuple[str, str], deque[Recording]] = defaultdict(deque)
        self._server = LoopbackServer(self._handle, port)

    @property
    def url(self) -> str:
        """The base URL, with `/v1`."""
        return f"{self._server.url}/v1"

    @property
    def conversations(self) -> dict[str, Conversation]:
        """What the server keeps of conversations, by id."""
        return self._history.conversations

    @property
    def runs(self) -> dict[str, Run]:
        """What the server keeps of chatflow and workflow runs, by id."""
        return self._history.runs

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._server.__aexit__(kind, error, traceback)
        finally:
            await self._stage.close()

    async def replay_folder(self, folder: Path | str, speed: float = 0.0) -> None:
        """Queue every step of a recorded folder: questions as answers, all others for the same method and path."""
        for path in await asyncio.to_thread(lambda: sorted(Path(folder).glob("[0-9]*.json"))):
            replay = Replay(path, speed)
            recording = await asyncio.to_thread(load, replay)
            if recording.method == "POST" and recording.target in _QUESTIONS:
                self.answers.append(replay)
            else:
                self._recorded[recording.method, recording.target].append(recording)

    # Requests.

    async def _handle(self, request: Request) -> Response | Stream:
        try:
            body = request.json() if request.body else None
        except ValueError:
            body = None
        fields: Json = body if isinstance(body, dict) else request.query
        user = fields.get("user")
        self.requests.append(
            Recorded(
                asyncio.get_running_loop().time(),
                request.method,
                request.path,
                None if user is None else str(user),
                body if isinstance(body, dict) else None,
                request.headers,
            )
        )
        try:
            return await self._route(request)
        except Refused as refused:
            return self._refusal(refused)

    async def _route(self, request: Request) -> Response | Stream:
        recordings = self._recorded.get((request.method, request.path))
        if recordings:
            return await play_again(recordings.popleft())
        endpoint = self._endpoint(request)
        if endpoint is None:
            return Response(404, HTML_404, self._headers("text/html; charset=utf-8"))
        authorize(request, self._api_key)
        trouble = self._trouble(request)
        if trouble and not trouble.done:
            return await self._other(trouble.answer)
        answer = endpoint()
        response = answer if isinstance(answer, Response) else await answer
        return await self._other(trouble.answer) if trouble else response

    def _trouble(self, request: Request) -> Trouble | None:
        line = f"{request.method} {request.path}"
        for trouble in self.troubles:
            if trouble.times > 0 and re.match(trouble.path, line):
                trouble.times -= 1
                return trouble
        return None

    def _endpoint(self, request: Request) -> Callable[[], Response | Awaitable[Response | Stream]] | None:
        path, query = request.path, request.query
        match request.method, path.split("/")[1:]:
            case "POST", _ if path in _QUESTIONS:
                return lambda: self._question(request)
            case _, _ if path in _QUESTIONS:
                raise Refused(405, "method_not_allowed", "The method is not allowed for the requested URL.")
            case "POST", ["v1", "chat-messages" | "completion-messages" as kind, task, "stop"]:
                return lambda: self._stop(request, kind, task)
            case "POST", ["v1", "workflows" as kind, "tasks", task, "stop"]:
                return lambda: self._stop(request, kind, task)
            case "POST", ["v1", "files", "upload"]:
                return lambda: self._upload(request)
            case "POST", ["v1", "audio-to-text"]:
                return lambda: self._transcribe(request)
            case "GET", ["v1", "messages"]:
                return lambda: self._json(self._history.messages(query, path))
            case "GET", ["v1", "conversations"]:
                return lambda: self._json(self._history.listed(query, path))
            case "DELETE", ["v1", "conversations", conversation]:
                return lambda: self._delete(request, conversation)
            case "GET", ["v1", "workflows", "run", run]:
                return lambda: self._json(self._history.run(run, path))
            case "GET", ["v1", "form", "human_input", token] if self.release.queued:
                return lambda: self._json(self._human.form(token, path))
            case "POST", ["v1", "form", "human_input", token] if self.release.queued:
                return lambda: self._json(self._human.hand_in(token, json_body(request), path))
            case "GET", ["v1", "workflow", run, "events"] if self.release.queued:
                return lambda: self._follow(run, request)
            case "GET", ["v1", "info"]:
                return lambda: self._json(self._info())
            case "GET", ["v1", "parameters"]:
                return lambda: self._json(self._parameters())
            case _:
                return None

    # Questions and their answers.

    async def _question(self, request: Request) -> Response | Stream:
        if self.answers and not isinstance(self.answers[0], Script):
            return await self._other(self.answers.popleft())
        body = json_body(request)
        user = user_of(body)
        require_app(self.app, _QUESTIONS[request.path])
        check_question(body, request.path, self.release)
        streaming = is_streaming(body, self.app)
        if self._max_active is not None and self._stage.active >= self._max_active:
            whose = "" if self.release.old_json else f"for {self._app_id} "
            text = f"The current maximum concurrent requests allowed {whose}is {self._max_active}."
            raise Refused(400, "invalid_param", f"Too many requests. Please try again later. {text}")
        try:
            conversation = self._history.conversation(body, user, request.path)
            given = body["inputs"] if isinstance(body["inputs"], dict) else {}
            body = {**body, "inputs": taken(given, self._inputs)}
            if self._file_upload and self._file_upload.get("enabled"):  # elsewhere files are dropped without a word
                check_attached(body, user, self.files, self._file_upload, self.release)
        except Refused as refused:
            if not (streaming and self.release.queued and self.app in ("advanced-chat", "workflow")):
                raise
            # The relay has answered 200 before the worker finds out; of a lost conversation it has no words.
            turn = self._turn(body, user, Conversation("", user, 0))
            words = "" if refused.refuse.status == 404 else refused.refuse.message
            return Stream(200, self._sse(), failed_early(turn, words))
        turn = self._turn(body, user, conversation)
        answer = self._next_answer(turn.query, self._attached(body))
        if not isinstance(answer, Script):
            return await self._other(answer)
        message, run = self._history.begin(turn, conversation)
        performance = self._human.performance(answer, turn, message, run)
        if streaming:
            return Stream(200, self._sse(), await self._stage.stream(performance))
        value = await self._stage.block(performance)
        kind = "application/json" if self.release.old_json else "application/json; charset=utf-8"
        return Response(200, self.release.blocking(value), self._headers(kind))

    def _attached(self, body: Json) -> list[Upload]:
        named = [item.get("upload_file_id") for item in body.get("files") or [] if isinstance(item, dict)]
        return [upload for upload in self.files if upload.id in named]

    def _next_answer(self, query: str, attached: Sequence[Upload]) -> Answer:
        if self.answers:
            return self.answers.popleft()
        if attached and self.about_files is not None:
            return self.about_files(query, attached)
        return self.default(query) if callable(self.default) else self.default

    def _turn(self, body: Json, user: str, conversation: Conversation) -> Turn:
        inputs: Json = body["inputs"] if isinstance(body["inputs"], dict) else {}
        asked = [inputs.get("query"), body.get("query"), *(text for text in inputs.values() if isinstance(text, str))]
        query = body.get("query") if self.app in CHAT_APPS else next((text for text in asked if text), "")
        return Turn(
            release=self.release,
            app=self.app,
            user=user,
            query=str(query or "").replace("\0", ""),
            inputs=inputs,
            conversation_id=conversation.id,
            message_id=str(uuid.uuid4()),
            task_id=str(uuid.uuid4()),
            run_id=str(uuid.uuid4()),
            workflow_id=self._app_id,
            created_at=int(time.time()),
            number=len(conversation.messages) + 1,
        )

    async def _other(self, answer: Answer) -> Response | Stream:
        match answer:
            case Refuse(status, code, message):
                raise Refused(status, code, message)
            case Html(status):
                page = f"<html>\r\n<head><title>{status}</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
                return Response(status, page.encode(), (("Content-Type", "text/html"),))
            case Drop(how):
                raise Cut if how == "cut" else Reset
            case Replay():
                return await play_again(await asyncio.to_thread(load, answer))
            case _:
                return await silence()

    def _stop(self, request: Request, kind: str, task: str) -> Response:
        user = user_of(json_body(request))
        apps = {"chat-messages": CHAT_APPS, "completion-messages": ("completion",), "workflows": ("workflow",)}
        require_app(self.app, apps[kind])
        # "success" for unknown tasks and other users too; only a workflow's user is not compared. seen: all releases.
        self._stage.stop(task, None if kind == "workflows" else user)
        return self._json({"result": "success"})

    async def _follow(self, run: str, request: Request) -> Stream:
        await asyncio.sleep(self.slow_to_listen)
        headers = (*self._sse(), ("Cache-Control", "no-cache"))
        return Stream(200, headers, self._human.follow(run, request.query))

    def _upload(self, request: Request) -> Response:
        upload = uploaded(request, self.release, blocked=self.blocked_extensions)
        self.files.append(upload)
        return Response(201, self.release.body(upload.row()), self._headers("application/json"))

    def _transcribe(self, request: Request) -> Response:
        heard = recording(request, listens=self._listens)
        self.heard.append(heard)
        return self._json({"text": self.transcript(heard) if callable(self.transcript) else self.transcript})

    def _delete(self, request: Request, conversation: str) -> Response:
        self._history.delete(conversation, user_of(json_body(request)), request.path)
        if self.release.old_json:
            return self._json({"result": "success"})
        return Response(204, headers=self._headers("application/json"))

    def _parameters(self) -> Json:
        return {
            **_PARAMETERS,
            "user_input_form": list(self._inputs),
            "speech_to_text": {"enabled": self._listens},
            "file_upload": self._file_upload or _PARAMETERS["file_upload"],
        }

    def _info(self) -> Json:
        info: Json = {"name": "Playground", "description": "", "tags": []}
        return info if self.release.old_json else {**info, "mode": self.app, "author_name": "Playground"}

    # Responses.

    def _json(self, value: object) -> Response:
        return Response(200, self.release.body(value), self._headers("application/json"))

    def _refusal(self, refused: Refused) -> Response:
        headers = self._headers("application/json")
        if refused.refuse.status == 401 and not self.release.old_json:
            headers = (*headers, ("WWW-Authenticate", 'Bearer realm="api"'))
        return Response(refused.refuse.status, self.release.body(refused.body()), headers)

    def _sse(self) -> Headers:
        return self._headers("text/event-stream; charset=utf-8")

    def _headers(self, kind: str) -> Headers:
        return (("Content-Type", kind), ("X-Version", self.release.version), ("X-Env", "PRODUCTION"))
