"""From a message to what Dify is asked: its words, what it quotes, what was said, and its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import anyio
import structlog

from cardbot.errors import CardbotError, DingTalkError, FileRefused
from cardbot.messages import Attachment, FileKind, Incoming, Upload
from cardbot.ports import Files, Source
from cardbot.texts import Texts

AT_ONCE = 3
"""Files of one message that are on their way at once. Our choice: pictures of one message arrive together, and the
files of others are not kept waiting."""

FILE_PATIENCE = 120.0
"""Seconds that one file may take, from DingTalk to Dify. Our choice: 20 MB at 200 kB a second, and a bit; longer than
that nobody waits for an answer to begin."""

NAME_SHOWN = 60
"""Characters of a file's name that a sentence shows. Our choice: two lines on a telephone."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to ask. An empty `query`: nothing, and the remarks say why."""

    query: str
    uploads: tuple[Upload, ...] = ()
    remarks: tuple[str, ...] = ()
    """What the person is to know about files that do not go along, one sentence each."""
    unquoted: str = ""
    """What there is to ask without what is quoted; empty if nothing is."""


async def gather(incoming: Incoming, user: str, *, source: Source, files: Files, texts: Texts) -> Gathered:
    """Bring a message's files to Dify and put its question together. Raises nothing but cancellation."""
    outcomes = await _Courier(incoming, user, source, files).bring(incoming.attachments)
    spoken = [outcome for outcome in outcomes if isinstance(outcome, str)]
    uploads = tuple(outcome for outcome in outcomes if isinstance(outcome, Upload))
    words = "\n\n".join(filter(None, [incoming.text, *spoken]))
    default = texts.about_files if uploads else "" if incoming.attachments or not incoming.quoted else texts.about_quote
    query = _query(incoming.quoted, words, texts, default=default)
    bare = _query("", words, texts, default=texts.about_files if uploads else "") if incoming.quoted else ""
    remarks = _remarks(outcomes, _names(incoming.attachments, texts), texts)
    if not query and not remarks:  # nothing but a quote whose text nobody knows
        remarks = (texts.empty,)
    return Gathered(query, uploads, remarks, bare)


_Outcome = Upload | str | CardbotError
"""What became of a file: it is at Dify, its words are known, or neither."""


@dataclass(frozen=True, slots=True)
class _Courier:
    """Who brings one message's files to Dify."""

    incoming: Incoming
    user: str
    source: Source
    files: Files

    async def bring(self, attachments: Sequence[Attachment]) -> list[_Outcome]:
        """What became of each, in their order. Of more files than a question may carry, the first that can go do."""
        try:
            limit = await self.source.file_limit() if attachments else 0
        except CardbotError as exc:
            return [self._failed(exc) for _ in attachments]
        why: Literal["too_many", "no_uploads"] = "too_many" if limit else "no_uploads"
        outcomes: list[_Outcome] = [FileRefused("No room in the question.", why=why, limit=limit) for _ in attachments]
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def bring(index: int) -> None:
            async with limiter:
                outcomes[index] = await self._bring(attachments[index])

        voices = [index for index, attachment in enumerate(attachments) if _is_voice(attachment)]
        others = [index for index in range(len(attachments)) if index not in voices]
        batch, rest = voices + others[:limit], others[limit:]
        while batch:
            async with anyio.create_task_group() as tasks:
                for index in batch:
                    tasks.start_soon(bring, index)
            room = max(0, limit - sum(isinstance(outcome, Upload) for outcome in outcomes))
            batch, rest = rest[:room], rest[room:]  # in place of those that could not go
        return outcomes

    async def _bring(self, attachment: Attachment) -> _Outcome:
        """Bring one file, or a voice message's words instead of it. An error is an outcome."""
        try:
            with anyio.fail_after(FILE_PATIENCE):
                return await (self._words(attachment) if _is_voice(attachment) else self._upload(attachment))
        except TimeoutError:
            return self._failed(FileRefused(f"A file took more than {FILE_PATIENCE:.0f} s.", why="too_slow"))
        except CardbotError as exc:
            return self._failed(exc)

    async def _upload(self, attachment: Attachment) -> Upload:
        async with self.files.fetch(attachment, robot_code=self.incoming.robot_code) as file:
            return await self.source.upload(file, self.user)

    async def _words(self, attachment: Attachment) -> str | Upload:
        """What is said in a recording or, where that cannot be told, the recording itself."""
        try:
            async with self.files.fetch(attachment, robot_code=self.incoming.robot_code) as file:
                if words := await self.source.transcribe(file, self.user):
                    return words
            raise FileRefused("Nothing was understood in a recording.", why="not_heard")
        except FileRefused as refusal:
            if refusal.why != "not_heard":
                raise
            try:
                return await self._upload(attachment)  # fetched again: some of it may have been read
            except FileRefused as exc:
                raise refusal from exc  # that the app takes no such file either is no news to the person

    def _failed(self, error: CardbotError) -> CardbotError:
        log.warning("file_not_taken", message=self.incoming.message_id, error=str(error))
        return error


def _is_voice(attachment: Attachment) -> bool:
    """A recording made in the chat; a file of music has a name."""
    return attachment.kind is FileKind.AUDIO and not attachment.name


def _query(quoted: str, words: str, texts: Texts, *, default: str) -> str:
    """The question: what is quoted, marked as such, then what the person says. `default` stands in for nothing said."""
    if not (words or default):
        return ""
    quote = "\n".join(f"> {line}".rstrip() for line in quoted.splitlines())
    return "\n\n".join(filter(None, [texts.quoted.format(quote=quote) if quote else "", words or default]))


def _names(attachments: Sequence[Attachment], texts: Texts) -> list[str]:
    """What the person knows each file as: its name, else its kind, with a number where there are several."""
    kinds = {
        FileKind.IMAGE: texts.a_picture,
        FileKind.AUDIO: texts.a_voice,
        FileKind.VIDEO: texts.a_video,
    }
    names = [_shown(attachment.name) or kinds.get(attachment.kind, texts.a_file) for attachment in attachments]
    return [
        f"{name} {names[: index + 1].count(name)}" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def _shown(name: str) -> str:
    """A file's name in a sentence: in one line, not without end, and whatever is in it is no markdown."""
    plain = " ".join(name.replace("`", "'").split())
    return f"`{plain[:NAME_SHOWN]}{'…' if len(plain) > NAME_SHOWN else ''}`" if plain else ""


def _remarks(outcomes: Sequence[_Outcome], names: Sequence[str], texts: Texts) -> tuple[str, ...]:
    """One sentence for each file that does not go along; those with the same fate share one."""
    fates: dict[tuple[str, int], list[str]] = {}
    for outcome, name in zip(outcomes, names, strict=True):
        if isinstance(outcome, CardbotError):
            fates.setdefault(_fate(outcome, texts), []).append(name)
    return tuple(
        sentence.format(name=texts.comma.join(found), limit=limit) for (sentence, limit), found in fates.items()
    )


def _fate(error: CardbotError, texts: Texts) -> tuple[str, int]:
    """The sentence for an error, and the limit in it."""
    match error:
        case FileRefused(why="no_uploads"):
            return texts.file_not_wanted, 0
        case FileRefused(why="wrong_type"):
            return texts.file_of_wrong_type, 0
        case FileRefused(why="too_large", limit=limit):
            return (texts.file_too_large if limit else texts.file_too_large_there), limit
        case FileRefused(why="too_many", limit=limit):
            return texts.file_too_many, limit
        case FileRefused(why="too_slow"):
            return texts.file_too_slow, 0
        case FileRefused(why="not_heard"):
            return texts.voice_not_heard, 0
        case FileRefused() | DingTalkError():
            return texts.file_not_fetched, 0
        case _:
            return texts.file_not_handed_on, 0
