"""The part of Dify that shows what it keeps: conversations, messages, runs."""

import time
import uuid
from collections.abc import Mapping

from cardbot.playground.dify.checks import CHAT_APPS, Refused, limit_of, not_found, require_app
from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.release import App, Json, Release
from cardbot.playground.dify.store import Conversation, Message, Run, UnknownId, latest_page, next_page


class History:
    """All conversations and runs of one app. What is asked for in vain raises Refused."""

    def __init__(self, app: App, release: Release) -> None:
        self._app = app
        self._release = release
        self.conversations: dict[str, Conversation] = {}
        self.runs: dict[str, Run] = {}

    def conversation(self, body: Json, user: str, path: str) -> Conversation:
        """The conversation that a question continues, or a new one that is not kept yet."""
        if self._app in CHAT_APPS and not body.get("query"):
            raise Refused(400, "invalid_param", "query is required")
        wanted = body.get("conversation_id") if self._app in CHAT_APPS else None
        if not wanted:
            return Conversation(str(uuid.uuid4()), user, int(time.time()))
        return self._find(str(wanted), user, path)

    def begin(self, turn: Turn, conversation: Conversation) -> tuple[Message, Run | None]:
        """Keep a question, with an empty answer. A conversation begins even if its first answer fails."""
        message = Message(turn.message_id, conversation.id, turn.query, turn.created_at)
        if self._app in CHAT_APPS:
            self.conversations[conversation.id] = conversation
            conversation.messages.append(message)
        if not turn.is_graph:
            return message, None
        run = self.runs[turn.run_id] = Run(turn, message=message)
        return message, run

    def messages(self, query: Mapping[str, str], path: str) -> Json:
        """`GET /messages`: the newest page first, each page oldest first."""
        require_app(self._app, CHAT_APPS)
        limit = limit_of(query, self._release)
        conversation = self._find(query.get("conversation_id", ""), query.get("user", ""), path)
        try:
            page, more = latest_page(conversation.messages, limit, query.get("first_id"))
        except UnknownId:
            raise not_found("First Message Not Exists.", path, self._release) from None
        return {"limit": limit, "has_more": more, "data": [message.row() for message in page]}

    def listed(self, query: Mapping[str, str], path: str) -> Json:
        """`GET /conversations`: those of one user, the last changed first."""
        require_app(self._app, CHAT_APPS)
        limit = limit_of(query, self._release)
        mine = [one for one in self.conversations.values() if one.user == query.get("user")]
        mine.sort(key=lambda one: one.messages[-1].created_at, reverse=True)
        try:
            page, more = next_page(mine, limit, query.get("last_id"))
        except UnknownId:
            raise not_found("Last Conversation Not Exists.", path, self._release) from None
        return {"limit": limit, "has_more": more, "data": [one.row() for one in page]}

    def delete(self, conversation_id: str, user: str, path: str) -> None:
        """`DELETE /conversations/{id}`."""
        require_app(self._app, CHAT_APPS)
        del self.conversations[self._find(conversation_id, user, path).id]

    def run(self, run_id: str, path: str) -> Json:
        """`GET /workflows/run/{id}`: whoever asks. Chatflows have it since 1.x."""
        require_app(self._app, ("workflow",) if self._release.old_json else ("workflow", "advanced-chat"))
        if run_id not in self.runs:
            raise not_found("Workflow run not found.", path, self._release)
        return self.runs[run_id].row()

    def _find(self, conversation_id: str, user: str, path: str) -> Conversation:
        conversation = self.conversations.get(conversation_id)
        if conversation is None or conversation.user != user:
            raise not_found("Conversation Not Exists.", path, self._release)
        return conversation
