"""Messages that are no questions: commands, and what is typed for a form that waits."""

import time
import uuid
from collections.abc import Collection, Mapping

import anyio
import structlog

from cardbot.commands import Command
from cardbot.conversations import begin_anew
from cardbot.desk import Desk, speaker
from cardbot.errors import StoreError, UnreadableReply
from cardbot.form_reply import meant, waiting_in
from cardbot.messages import Incoming
from cardbot.open_reply import OpenReply
from cardbot.pausing import set_aside
from cardbot.ports import STOP
from cardbot.reply import resume
from cardbot.words import Ear, Word

log = structlog.get_logger(__name__)


async def obey(command: Command, incoming: Incoming, desk: Desk, *, new_words: Collection[str]) -> None:
    """Do what a command asks for, and say so."""
    log.info("command", message=incoming.message_id, command=command.value)
    with anyio.CancelScope(shield=True):  # until it is written down what there is to say
        sentence = await _done(command, incoming, desk, new_words)
    if sentence:
        await tell(incoming, sentence, desk)


async def _done(command: Command, incoming: Incoming, desk: Desk, new_words: Collection[str]) -> str:
    """Do it; returns what there is to say, if anything."""
    match command:
        case Command.NEW:
            return await _renew(incoming, desk)
        case Command.HELP:
            return desk.texts.help.format(new=" / ".join(new_words))
        case Command.STOP:
            return "" if await _stop(incoming, desk) else desk.texts.nothing_to_stop
        case Command.NONE:
            return ""


async def tell(incoming: Incoming, sentence: str, desk: Desk) -> None:
    """Answer with a sentence of ours, which outlives this process as any answer does."""
    await resume(uuid.uuid4().hex, OpenReply(incoming, plain=sentence), desk)


async def fills_in(incoming: Incoming, desk: Desk) -> bool:
    """Whether the message was typed for a form that waits; if so, it is brought there.

    Of several it is the newest, or the one whose card the message quotes.
    """
    if incoming.attachments:
        return False  # a form takes texts only, and nothing of a message is to be lost
    word = Word(speaker(incoming), text=incoming.text, at=incoming.created_at)
    try:
        kept = await desk.store.conversation(desk.form_key(incoming))
        fitting = [wanted for wanted in meant(waiting_in(kept), incoming.quoted_card) if wanted.fits(word, time.time())]
    except StoreError as exc:
        log.error("form_not_read", error=str(exc))
        return False
    for wanted in reversed(fitting):
        if desk.words.say(wanted.reply_id, word):
            return True
        if await _is_elsewhere(wanted.reply_id, desk):
            await desk.words.send(wanted.reply_id, word)
            return True
    return False


async def _is_elsewhere(reply_id: str, desk: Desk) -> bool:
    """Whether another process has this answer under way: a form that could not be forgotten has none any more."""
    return reply_id in await _replies_elsewhere(desk)


async def _replies_elsewhere(desk: Desk) -> Mapping[str, str]:
    """What other processes have under way. Nothing where the store fails: then no word reaches them either."""
    try:
        return await desk.store.replies_elsewhere()
    except StoreError as exc:
        log.error("replies_elsewhere_not_read", error=str(exc))
        return {}


async def _stop(incoming: Incoming, desk: Desk) -> bool:
    """Stop what this person is being answered in this chat, by whichever process. Returns whether that is anything."""
    word = Word(speaker(incoming), action=STOP, at=incoming.created_at)
    here = desk.words.say(desk.address(incoming), word)
    elsewhere = await _answered_elsewhere(incoming, word, desk)
    for reply_id in elsewhere:
        await desk.words.send(reply_id, word)
    return here or bool(elsewhere)


async def _answered_elsewhere(incoming: Incoming, word: Word, desk: Desk) -> list[str]:
    """The answers of other processes that a word said in this chat is meant for, by the ids of their replies."""
    found: list[str] = []
    for reply_id, record in (await _replies_elsewhere(desk)).items():
        try:
            reply = OpenReply.from_json(record)
        except UnreadableReply as exc:
            log.error("open_reply_unreadable", reply=reply_id, error=str(exc))
            continue
        same_conversation = desk.address(reply.incoming) == desk.address(incoming)
        if same_conversation and not reply.is_ending and _hears(reply, word):
            found.append(reply_id)
    return found


def _hears(reply: OpenReply, word: Word) -> bool:
    """Whether it is meant for this answer: the ear in the other process decides in the same way."""
    return Ear(reply.incoming.created_at, speaker(reply.incoming)).hear(word)


async def _renew(incoming: Incoming, desk: Desk) -> str:
    try:
        await begin_anew(desk.key(incoming), desk.store, at=incoming.created_at or time.time())
        await set_aside(incoming, desk)
    except StoreError as exc:
        log.error("conversation_not_forgotten", error=str(exc))
        return desk.texts.unavailable
    return desk.texts.renewed
