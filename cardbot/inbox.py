"""What DingTalk pushes: messages, presses, an assistant's requests. Each is acted on once, beside all others."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup

from cardbot.admission import Admission, Admitted, NotAllowed, TooFast, TooOld
from cardbot.commands import Command, command_in
from cardbot.desk import Desk, speaker
from cardbot.dingtalk import assistant, presses, wire
from cardbot.dingtalk.card import reply_of
from cardbot.dingtalk.connection import Receiver
from cardbot.errors import StoreError, UnreadableMessage
from cardbot.forms import AssistantNames
from cardbot.messages import Incoming
from cardbot.open_reply import OpenReply
from cardbot.orders import fills_in, obey, tell
from cardbot.reply import reply, resume
from cardbot.settings import Settings
from cardbot.words import Word

log = structlog.get_logger(__name__)


class Inbox:
    """Where one robot's messages arrive. What is begun here runs in `tasks`."""

    def __init__(self, settings: Settings, *, desk: Desk, assistants: Desk, tasks: TaskGroup) -> None:
        """`assistants`: the desk that answers an AI assistant's requests."""
        self.under_way = 0
        """Messages that are being dealt with."""
        self._settings = settings
        self._admission = Admission(
            allow_users=settings.allow_users, allow_chats=settings.allow_chats, rate=settings.user_rate
        )
        self._desk = desk
        self._assistants = assistants
        self._tasks = tasks
        self._idle = anyio.Event()

    def receivers(self) -> Mapping[str, Receiver]:
        """Who takes what DingTalk pushes, by topic."""
        receivers = {
            wire.BOT_MESSAGE_TOPIC: Receiver(self._receive),
            presses.CARD_TOPIC: Receiver(self._press),
        }
        if names := self._settings.assistant:
            receivers[assistant.ASSISTANT_TOPIC] = Receiver(
                partial(self._receive_asked, names), partial(assistant.response, names=names)
            )
        return receivers

    def _receive(self, frame_id: str, data: Mapping[str, Any]) -> None:
        """Take one pushed message."""
        self._take(frame_id, partial(wire.incoming, data, robot_code=self._settings.robot))

    def _receive_asked(self, names: AssistantNames, frame_id: str, data: Mapping[str, Any]) -> None:
        """Take one request of an AI assistant."""
        robot, now = self._settings.robot, time.time()
        read = partial(assistant.incoming, data, frame_id=frame_id, names=names, robot_code=robot, now=now)
        self._take(frame_id, read)

    def _take(self, frame_id: str, read: Callable[[], Incoming]) -> None:
        """Answer what can be read. Its acknowledgement is out; the work happens elsewhere."""
        try:
            incoming = read()
        except UnreadableMessage as exc:
            log.error("message_unreadable", error=str(exc))
            return
        self._start(partial(self._answer, frame_id, incoming), incoming)

    def _desk_of(self, incoming: Incoming) -> Desk:
        """Only an assistant's own webhook takes its answers."""
        return self._assistants if incoming.kind == assistant.ASSISTANT else self._desk

    def _press(self, frame_id: str, data: Mapping[str, Any]) -> None:
        """Take a press of a button. Who may press, the answer itself decides."""
        try:
            press = presses.press(data)
        except UnreadableMessage as exc:
            log.error("press_unreadable", error=str(exc))
            return
        if reply_id := reply_of(press.out_track_id):
            self._tasks.start_soon(self._desk.words.send, reply_id, Word(press.person, action=press.action))

    def resume(self, reply_id: str, found: OpenReply) -> None:
        """Finish what another process has left open."""
        self._start(partial(resume, reply_id, found, self._desk_of(found.incoming)), found.incoming)

    def _start(self, work: Callable[[], Awaitable[None]], incoming: Incoming) -> None:
        self.under_way += 1
        self._tasks.start_soon(self._do, work, incoming)

    async def _do(self, work: Callable[[], Awaitable[None]], incoming: Incoming) -> None:
        try:
            await work()
        except Exception:  # one message's failure must not stop the bot
            log.exception("answer_failed", message=incoming.message_id)
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()

    async def _answer(self, frame_id: str, incoming: Incoming) -> None:
        with anyio.CancelScope(shield=True):  # it is acknowledged: once it is seen, it must be written down
            if not await self._is_new(frame_id, incoming):
                return
        log.info("message", message=incoming.message_id, kind=incoming.kind, chat=incoming.chat.kind.value)
        desk = self._desk_of(incoming)
        match self._admission.decide(incoming, time.time()):
            case TooFast() if self._command(incoming) is Command.STOP:
                await self._do_what_it_says(incoming, desk)  # whoever writes too fast may well want to stop it
            case Admitted():
                await self._do_what_it_says(incoming, desk)
            case NotAllowed():
                log.warning("not_allowed", person=speaker(incoming), chat=incoming.chat.id)
                await tell(incoming, desk.texts.not_allowed, desk)
            case TooFast(seconds):
                log.warning("too_fast", person=speaker(incoming))
                await tell(incoming, desk.texts.too_fast.format(seconds=seconds), desk)
            case TooOld(seconds):
                log.warning("too_old", message=incoming.message_id, seconds=round(seconds))

    async def _do_what_it_says(self, incoming: Incoming, desk: Desk) -> None:
        command = self._command(incoming)
        if command is not Command.NONE:
            await obey(command, incoming, desk, new_words=self._settings.new_words)
            return
        with anyio.CancelScope(shield=True):  # as above: until it is written down
            is_for_a_form = await fills_in(incoming, desk)
        if not is_for_a_form:
            await reply(incoming, desk)

    def _command(self, incoming: Incoming) -> Command:
        return command_in(incoming.text, self._settings.new_words)

    async def _is_new(self, frame_id: str, incoming: Incoming) -> bool:
        """DingTalk pushes again what it takes for lost: with a new frame id, and the same message id.

        One group message that mentions two robots has the same message id for both, hence the robot's code.
        """
        names = [f"message:{incoming.robot_code}:{incoming.message_id}"]
        if frame_id:
            names.append(f"frame:{incoming.robot_code}:{frame_id}")
        try:
            new = await self._desk.store.first_seen(*names)
        except StoreError as exc:  # rather an answer twice than none
            log.error("seen_messages_not_kept", error=str(exc))
            return True
        if not new:
            log.info("message_again", message=incoming.message_id)
        return new

    async def drained(self) -> None:
        """Return once nothing is being dealt with any more."""
        while self.under_way:
            self._idle = anyio.Event()
            await self._idle.wait()
