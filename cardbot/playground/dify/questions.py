"""A question, from its request to the answer that begins."""

import time
import uuid
from collections.abc import Callable, Sequence

from cardbot.playground.dify.answers import Stage, failed_early
from cardbot.playground.dify.checks import (
    CHAT_APPS,
    Refused,
    check_question,
    is_streaming,
    json_body,
    require_app,
    user_of,
)
from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.faults import Answer, suffer
from cardbot.playground.dify.files import Upload, check_attached
from cardbot.playground.dify.history import History
from cardbot.playground.dify.human import HumanInput
from cardbot.playground.dify.inputs import taken
from cardbot.playground.dify.profile import Profile
from cardbot.playground.dify.release import App, Json
from cardbot.playground.dify.responses import Responses
from cardbot.playground.dify.script import Script
from cardbot.playground.dify.store import Conversation
from cardbot.playground.http import Request, Response, Stream

PATHS: dict[str, tuple[App, ...]] = {
    "/v1/chat-messages": CHAT_APPS,
    "/v1/completion-messages": ("completion",),
    "/v1/workflows/run": ("workflow",),
}
"""The paths that start an answer, with the apps that answer there."""


class Questions:
    """Takes the questions of one app.

    Args:
        profile: The app.
        history: Where questions and answers are kept.
        stage: Where answers are given.
        human: Asks people in between.
        uploads: The files that questions may name.
        max_active: Answers at a time; None: no limit.
        choose: The answer to a question, given its text and the files that came with it.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        history: History,
        stage: Stage,
        human: HumanInput,
        uploads: Sequence[Upload],
        max_active: int | None,
        choose: Callable[[str, Sequence[Upload]], Answer],
    ) -> None:
        self._profile = profile
        self._release = profile.release
        self._responses = Responses(profile.release)
        self._history = history
        self._stage = stage
        self._human = human
        self._uploads = uploads
        self._max_active = max_active
        self._choose = choose

    async def ask(self, request: Request) -> Response | Stream:
        """The response to one. Raises Refused."""
        body = json_body(request)
        user = user_of(body)
        require_app(self._profile.app, PATHS[request.path])
        check_question(body, request.path, self._release)
        streaming = is_streaming(body, self._profile.app)
        self._check_room()
        try:
            conversation = self._history.conversation(body, user, request.path)
            given = body["inputs"] if isinstance(body["inputs"], dict) else {}
            body = {**body, "inputs": taken(given, self._profile.inputs)}
            config = self._profile.file_upload
            if config and config.get("enabled"):  # elsewhere files are dropped without a word
                check_attached(body, user, self._uploads, config, self._release)
        except Refused as refused:
            if not (streaming and self._release.queued and self._profile.app in ("advanced-chat", "workflow")):
                raise
            # The relay has answered 200 before the worker finds out; of a lost conversation it has no words.
            turn = self._turn(body, user, Conversation("", user, 0))
            words = "" if refused.refuse.status == 404 else refused.refuse.message
            return self._responses.streamed(failed_early(turn, words))
        turn = self._turn(body, user, conversation)
        answer = self._choose(turn.query, self._attached(body))
        if not isinstance(answer, Script):
            return await suffer(answer)
        message, run = self._history.begin(turn, conversation)
        performance = self._human.performance(answer, turn, message, run)
        if streaming:
            return self._responses.streamed(await self._stage.stream(performance))
        return self._responses.whole(await self._stage.block(performance))

    def _check_room(self) -> None:
        if self._max_active is not None and self._stage.active >= self._max_active:
            whose = "" if self._release.old_json else f"for {self._profile.id} "
            text = f"The current maximum concurrent requests allowed {whose}is {self._max_active}."
            raise Refused(400, "invalid_param", f"Too many requests. Please try again later. {text}")

    def _attached(self, body: Json) -> list[Upload]:
        named = [item.get("upload_file_id") for item in body.get("files") or [] if isinstance(item, dict)]
        return [upload for upload in self._uploads if upload.id in named]

    def _turn(self, body: Json, user: str, conversation: Conversation) -> Turn:
        inputs: Json = body["inputs"] if isinstance(body["inputs"], dict) else {}
        asked = [inputs.get("query"), body.get("query"), *(text for text in inputs.values() if isinstance(text, str))]
        chats = self._profile.app in CHAT_APPS
        query = body.get("query") if chats else next((text for text in asked if text), "")
        return Turn(
            release=self._release,
            app=self._profile.app,
            user=user,
            query=str(query or "").replace("\0", ""),
            inputs=inputs,
            conversation_id=conversation.id,
            message_id=str(uuid.uuid4()),
            task_id=str(uuid.uuid4()),
            run_id=str(uuid.uuid4()),
            workflow_id=self._profile.id,
            created_at=int(time.time()),
            number=len(conversation.messages) + 1,
        )
