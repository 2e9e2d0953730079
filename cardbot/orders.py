"""Messages that are no questions: commands, and what is typed for a form that waits."""

import time
import uuid
from collections.abc import Collection

import structlog

from cardbot.commands import Command
from cardbot.conversations import begin_anew
from cardbot.desk import Desk, speaker
from cardbot.errors import StoreError
from cardbot.form_reply import waiting_in
from cardbot.messages import Incoming
from cardbot.open_reply import OpenReply
from cardbot.ports import STOP
from cardbot.reply import resume
from cardbot.words import Word

log = structlog.get_logger(__name__)


async def obey(command: Command, incoming: Incoming, desk: Desk, *, new_words: Collection[str]) -> None:
    """Do what a command asks for, and say so."""
    log.info("command", message=incoming.message_id, command=command.value)
    match command:
        case Command.NEW:
            await tell(incoming, await _renew(incoming, desk), desk)
        case Command.HELP:
            words = " / ".join(new_words)
            await tell(incoming, desk.texts.help.format(new=words), desk)
        case Command.STOP:
            word = Word(speaker(incoming), action=STOP, at=incoming.created_at)
            if not await desk.words.say(desk.address(incoming), word):
                await tell(incoming, desk.texts.nothing_to_stop, desk)
        case Command.NONE:
            pass


async def tell(incoming: Incoming, sentence: str, desk: Desk) -> None:
    """Answer with a sentence of ours, which outlives this process as any answer does."""
    await resume(uuid.uuid4().hex, OpenReply(incoming, plain=sentence), desk)


async def fills_in(incoming: Incoming, desk: Desk) -> bool:
    """Whether the message was typed for a form that waits; if so, it is brought there: of several, to the newest."""
    if incoming.attachments:
        return False  # a form takes texts only, and nothing of a message is to be lost
    word = Word(speaker(incoming), text=incoming.text, at=incoming.created_at)
    try:
        kept = await desk.store.conversation(desk.form_key(incoming))
        fitting = [wanted for wanted in waiting_in(kept) if wanted.fits(word, time.time())]
    except StoreError as exc:
        log.error("form_not_read", error=str(exc))
        return False
    for wanted in reversed(fitting):
        if await desk.words.say(wanted.reply_id, word):
            return True
    return False


async def _renew(incoming: Incoming, desk: Desk) -> str:
    try:
        await begin_anew(desk.key(incoming), desk.store, at=incoming.created_at or time.time())
    except StoreError as exc:
        log.error("conversation_not_forgotten", error=str(exc))
        return desk.texts.unavailable
    return desk.texts.renewed
