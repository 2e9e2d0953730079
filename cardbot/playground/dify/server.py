"""A scripted Dify: its service API on the loopback interface, answering what it is told to answer."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cardbot.playground.dify import faults, files
from cardbot.playground.dify.answers import Stage, play_again
from cardbot.playground.dify.beats import LINGER, PING_EVERY
from cardbot.playground.dify.checks import CHAT_APPS, Refused, authorize, json_body, require_app, user_of
from cardbot.playground.dify.faults import Answer, Trouble
from cardbot.playground.dify.files import Upload
from cardbot.playground.dify.history import History
from cardbot.playground.dify.human import HumanInput
from cardbot.playground.dify.profile import Profile
from cardbot.playground.dify.questions import PATHS, Questions
from cardbot.playground.dify.release import RELEASES, App, Json
from cardbot.playground.dify.replay import Recording, Replay, load
from cardbot.playground.dify.responses import Responses
from cardbot.playground.dify.script import Script
from cardbot.playground.dify.store import Conversation, Run
from cardbot.playground.http import LoopbackServer, Request, Response, Stream


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
        self.files: Final[list[Upload]] = []
        self.troubles: list[Trouble] = []
        """What goes wrong with the next requests; the first that fits, and has times left, counts."""
        self.slow_to_listen = 0.0
        """Seconds until a listener to a run that goes on is taken on."""
        self.blocked_extensions: set[str] = set()
        """Extensions that the server refuses, without a dot."""
        self.heard: list[bytes] = []
        """Recordings that were to become text; `transcript` is what they become, or says it."""
        self.transcript: str | Callable[[bytes], str] = "What is the weather?"
        self._api_key = api_key
        self._profile = Profile(
            app=app, release=self.release, inputs=tuple(inputs), file_upload=file_upload, listens=speech_to_text
        )
        self._responses = Responses(self.release)
        self._history = History(app, self.release)
        self._stage = Stage(ping_every=ping_every, linger=linger)
        self._human = HumanInput(app, self.release, self._history, self._stage, ping_every=ping_every)
        self._questions = Questions(
            self._profile,
            history=self._history,
            stage=self._stage,
            human=self._human,
            uploads=self.files,
            max_active=max_active,
            choose=self._next_answer,
        )
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
            if recording.method == "POST" and recording.target in PATHS:
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
            return self._responses.refusal(refused)

    async def _route(self, request: Request) -> Response | Stream:
        recordings = self._recorded.get((request.method, request.path))
        if recordings:
            return await play_again(recordings.popleft())
        endpoint = self._endpoint(request)
        if endpoint is None:
            return self._responses.no_such_path()
        authorize(request, self._api_key)
        trouble = faults.take(self.troubles, request)
        if trouble and not trouble.done:
            return await faults.suffer(trouble.answer)
        answer = endpoint()
        response = answer if isinstance(answer, Response) else await answer
        return await faults.suffer(trouble.answer) if trouble else response

    def _endpoint(self, request: Request) -> Callable[[], Response | Awaitable[Response | Stream]] | None:
        path, query = request.path, request.query
        match request.method, path.split("/")[1:]:
            case "POST", _ if path in PATHS:
                return lambda: self._question(request)
            case _, _ if path in PATHS:
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
                return lambda: self._responses.json(self._history.messages(query, path))
            case "GET", ["v1", "conversations"]:
                return lambda: self._responses.json(self._history.listed(query, path))
            case "DELETE", ["v1", "conversations", conversation]:
                return lambda: self._delete(request, conversation)
            case "GET", ["v1", "workflows", "run", run]:
                return lambda: self._responses.json(self._history.run(run, path))
            case "GET", ["v1", "form", "human_input", token] if self.release.queued:
                return lambda: self._responses.json(self._human.form(token, path))
            case "POST", ["v1", "form", "human_input", token] if self.release.queued:
                return lambda: self._responses.json(self._human.hand_in(token, json_body(request), path))
            case "GET", ["v1", "workflow", run, "events"] if self.release.queued:
                return lambda: self._follow(run, request)
            case "GET", ["v1", "info"]:
                return lambda: self._responses.json(self._profile.info())
            case "GET", ["v1", "parameters"]:
                return lambda: self._responses.json(self._profile.parameters())
            case _:
                return None

    # What is served.

    async def _question(self, request: Request) -> Response | Stream:
        if self.answers and not isinstance(answer := self.answers[0], Script):  # whatever was asked
            del self.answers[0]
            return await faults.suffer(answer)
        return await self._questions.ask(request)

    def _next_answer(self, query: str, attached: Sequence[Upload]) -> Answer:
        if self.answers:
            return self.answers.popleft()
        if attached and self.about_files is not None:
            return self.about_files(query, attached)
        return self.default(query) if callable(self.default) else self.default

    def _stop(self, request: Request, kind: str, task: str) -> Response:
        user = user_of(json_body(request))
        apps = {"chat-messages": CHAT_APPS, "completion-messages": ("completion",), "workflows": ("workflow",)}
        require_app(self.app, apps[kind])
        # "success" for unknown tasks and other users too; only a workflow's user is not compared. seen: all releases.
        self._stage.stop(task, None if kind == "workflows" else user)
        return self._responses.json({"result": "success"})

    async def _follow(self, run: str, request: Request) -> Stream:
        await asyncio.sleep(self.slow_to_listen)
        told = self._human.follow(run, request.query)
        return self._responses.streamed(told, more=(("Cache-Control", "no-cache"),))

    def _upload(self, request: Request) -> Response:
        upload = files.uploaded(request, self.release, blocked=self.blocked_extensions)
        self.files.append(upload)
        return self._responses.json(upload.row(), 201)

    def _transcribe(self, request: Request) -> Response:
        heard = files.recording(request, listens=self._profile.listens)
        self.heard.append(heard)
        return self._responses.json({"text": self.transcript(heard) if callable(self.transcript) else self.transcript})

    def _delete(self, request: Request, conversation: str) -> Response:
        self._history.delete(conversation, user_of(json_body(request)), request.path)
        return self._responses.deleted()
