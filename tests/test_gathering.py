"""From a message to what Dify is asked, with small stand-ins for DingTalk and Dify."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import anyio
import pytest
import trio
from trio.testing import MockClock

from cardbot import gathering
from cardbot.errors import DifyUnreachable, DingTalkUnreachable, FileRefused
from cardbot.gathering import AT_ONCE, FILE_PATIENCE, Gathered, gather
from cardbot.messages import Attachment, FileKind, Incoming, Upload
from cardbot.ports import Download
from cardbot.texts import EN, ZH, Texts
from tests.values import DIRECT

T = TypeVar("T")

VOICE = Attachment(FileKind.AUDIO, "voice")


def picture(number: int) -> Attachment:
    return Attachment(FileKind.IMAGE, f"p{number}")


def pictures(count: int) -> tuple[Attachment, ...]:
    return tuple(picture(number) for number in range(1, count + 1))


def message(text: str = "", *attachments: Attachment, quoted: str = "") -> Incoming:
    return replace(DIRECT, text=text, attachments=attachments, quoted=quoted)


@dataclass
class World:
    """DingTalk and Dify at once: `faults` by download code are raised where the file is fetched or handed over."""

    limit: int | Exception = 3
    not_given_out: dict[str, Exception] = field(default_factory=dict)
    not_taken: dict[str, Exception] = field(default_factory=dict)
    hears: str | Exception = "How are you?"
    slow: Callable[[str], float] = lambda code: 1.0
    fetched: list[str] = field(default_factory=list)
    at_once: int = 0
    most: int = 0

    async def file_limit(self) -> int:
        if isinstance(self.limit, Exception):
            raise self.limit
        return self.limit

    @asynccontextmanager
    async def fetch(self, attachment: Attachment, *, robot_code: str) -> AsyncGenerator[Download]:
        assert robot_code == DIRECT.robot_code
        code = attachment.download_code
        self.fetched.append(code)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await anyio.sleep(self.slow(code))
            if error := self.not_given_out.get(code):
                raise error

            async def chunks() -> AsyncGenerator[bytes]:
                yield code.encode()

            yield Download(code, attachment.kind, "x/y", len(code), chunks())
        finally:
            self.at_once -= 1

    async def upload(self, file: Download, user: str) -> Upload:
        content = b"".join([chunk async for chunk in file.chunks]).decode()
        if error := self.not_taken.get(content):
            raise error
        return Upload(f"{content} of {user}", file.kind)

    async def transcribe(self, file: Download, user: str) -> str:
        if isinstance(self.hears, Exception):
            raise self.hears
        return self.hears


def gathered(incoming: Incoming, world: World | None = None, texts: Texts = EN) -> Gathered:
    world = world or World()

    async def run() -> Gathered:
        parts: Any = world
        return await gather(incoming, "ann", source=parts, files=parts, texts=texts)

    return virtually(run)


def virtually(run: Callable[[], Awaitable[T]]) -> T:
    """What it returns, whatever time it takes."""
    found: T = trio.run(run, clock=MockClock(autojump_threshold=0))
    return found


def refused(why: Any, limit: int = 0) -> FileRefused:
    return FileRefused("…", why=why, limit=limit)


def test_a_text_is_asked_as_it_is() -> None:
    world = World()
    assert gathered(message("hello"), world) == Gathered("hello")
    assert world.fetched == []


def test_a_quote_comes_before_the_question_and_is_marked() -> None:
    assert gathered(message("and this?", quoted="first\n\nsecond")).query == (
        "Quoted message:\n\n> first\n>\n> second\n\nand this?"
    )


def test_a_quote_alone_is_asked_about() -> None:
    found = gathered(message("", quoted="first"))
    assert found.query == "Quoted message:\n\n> first\n\nPlease answer the quoted message."


def test_pictures_go_along_in_their_order_however_long_they_take() -> None:
    world = World(slow=lambda code: {"p1": 9.0, "p2": 1.0, "p3": 5.0}[code])
    found = gathered(message("look", *pictures(3)), world)
    assert [upload.id for upload in found.uploads] == ["p1 of ann", "p2 of ann", "p3 of ann"]
    assert (found.query, found.remarks) == ("look", ())


def test_files_are_fetched_side_by_side_but_a_few_at_a_time() -> None:
    world = World(limit=10)
    gathered(message("look", *pictures(8)), world)
    assert world.most == AT_ONCE


@pytest.mark.parametrize(("texts", "query"), [(EN, EN.about_files), (ZH, ZH.about_files)])
def test_files_alone_get_a_question(texts: Texts, query: str) -> None:
    assert gathered(message("", picture(1)), texts=texts).query == query


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refused("too_large", 20), "⚠️ Not read: picture 2. More than 20 MB."),
        (refused("too_large"), "⚠️ Not read: picture 2. Too large."),
        (refused("not_fetched"), "⚠️ Not read: picture 2. The download failed; please send it again."),
        (DingTalkUnreachable("…"), "⚠️ Not read: picture 2. The download failed; please send it again."),
        (refused("wrong_type"), "⚠️ Not read: picture 2. This app takes no files of this type."),
        (refused("no_uploads"), "⚠️ Not read: picture 2. This app takes no files."),
        (
            DifyUnreachable("…"),
            "⚠️ Not read: picture 2. The AI service could not take it right now; please send it again later.",
        ),
    ],
)
@pytest.mark.parametrize("where", ["not_given_out", "not_taken"])
def test_a_file_that_cannot_go_along_is_named_and_the_rest_is_asked(
    error: Exception, sentence: str, where: str
) -> None:
    found = gathered(message("look", *pictures(3)), World(**{where: {"p2": error}}))  # type: ignore[arg-type]  # by name
    assert found.query == "look"
    assert [upload.id for upload in found.uploads] == ["p1 of ann", "p3 of ann"]
    assert found.remarks == (sentence,)


def test_files_of_the_same_fate_share_a_sentence() -> None:
    world = World(not_given_out={"p1": refused("not_fetched"), "p3": refused("not_fetched")})
    assert gathered(message("look", *pictures(3)), world).remarks == (
        "⚠️ Not read: picture 1, picture 3. The download failed; please send it again.",
    )


def test_a_file_is_called_by_its_name_whatever_is_in_it() -> None:
    attachment = Attachment(FileKind.DOCUMENT, "f", "{limit} report.pdf")
    world = World(not_taken={"f": refused("too_large", 15)})
    assert gathered(message("read", attachment), world).remarks == (
        "⚠️ Not read: `{limit} report.pdf`. More than 15 MB.",
    )


def test_nothing_left_to_ask_is_no_question() -> None:
    found = gathered(message("", picture(1)), World(not_taken={"p1": refused("wrong_type")}))
    assert (found.query, found.uploads) == ("", ())
    assert found.remarks == ("⚠️ Not read: picture. This app takes no files of this type.",)


def test_of_too_many_files_the_first_go_along_and_the_others_are_not_fetched() -> None:
    world = World(limit=3)
    found = gathered(message("look", *pictures(5)), world)
    assert [upload.id for upload in found.uploads] == ["p1 of ann", "p2 of ann", "p3 of ann"]
    assert sorted(world.fetched) == ["p1", "p2", "p3"]
    assert found.remarks == ("⚠️ Not read: picture 4, picture 5. A question may carry at most 3 files.",)


def test_a_file_that_cannot_go_leaves_its_place_to_the_next() -> None:
    world = World(limit=2, not_given_out={"p1": refused("too_large", 20), "p3": refused("too_large", 20)})
    found = gathered(message("look", *pictures(5)), world)
    assert [upload.id for upload in found.uploads] == ["p2 of ann", "p4 of ann"]
    assert sorted(world.fetched) == ["p1", "p2", "p3", "p4"]
    assert len(found.remarks) == 2


def test_for_an_app_without_uploads_nothing_is_fetched() -> None:
    world = World(limit=0)
    found = gathered(message("look", *pictures(2)), world)
    assert (found.query, world.fetched) == ("look", [])
    assert found.remarks == ("⚠️ Not read: picture 1, picture 2. This app takes no files.",)


def test_an_app_that_cannot_be_asked_what_it_takes_costs_the_files_only() -> None:
    found = gathered(message("look", picture(1)), World(limit=DifyUnreachable("…")))
    assert found.query == "look"
    assert "could not take it right now" in found.remarks[0]


def test_a_voice_message_becomes_the_question() -> None:
    world = World(limit=0)
    assert gathered(message("", VOICE), world) == Gathered("How are you?")


def test_a_voice_message_that_dify_does_not_hear_goes_along_as_a_file() -> None:
    world = World(hears=refused("not_heard"))
    found = gathered(message("", VOICE), world)
    assert found == Gathered(EN.about_files, (Upload("voice of ann", FileKind.AUDIO),))
    assert world.fetched == ["voice", "voice"]


@pytest.mark.parametrize("heard", ["", refused("not_heard")])
def test_a_voice_message_that_nobody_takes_gets_one_sentence(heard: str | Exception) -> None:
    world = World(hears=heard, not_taken={"voice": refused("wrong_type")})
    found = gathered(message("", VOICE), world)
    assert found == Gathered("", (), ("⚠️ Not understood: voice message. Please send it as text.",))


def test_music_with_a_name_is_a_file() -> None:
    song = Attachment(FileKind.AUDIO, "song", "song.mp3")
    assert gathered(message("", song)).uploads == (Upload("song of ann", FileKind.AUDIO),)


def test_a_file_that_takes_for_ever_is_given_up_and_the_others_are_not() -> None:
    world = World(slow=lambda code: 10 * FILE_PATIENCE if code == "p1" else 1.0)
    found = gathered(message("look", *pictures(2)), world)
    assert [upload.id for upload in found.uploads] == ["p2 of ann"]
    assert found.remarks == ("⚠️ Not read: picture 1. It took too long; please send it again later.",)


def test_cancellation_passes_and_leaves_nothing_open() -> None:
    world: Any = World(slow=lambda code: 50.0)

    async def run() -> None:
        with anyio.move_on_after(5) as scope:
            await gather(message("look", *pictures(3)), "ann", source=world, files=world, texts=EN)
        assert scope.cancelled_caught

    virtually(run)
    assert world.at_once == 0


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ExceptionGroup):
        gathered(message("look", picture(1)), World(not_taken={"p1": ZeroDivisionError()}))


def test_no_sentence_of_a_language_is_missing() -> None:
    assert gathering._remarks([refused("too_many", 3)], ["x"], ZH) == ("⚠️ 未读取x：一次最多接收 3 个文件。",)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.pdf", "`a.pdf`"),
        ("[click](http://example.com)\n# big.pdf", "`[click](http://example.com) # big.pdf`"),
        ("`x`.pdf", "`'x'.pdf`"),
        ("x" * 3000 + ".pdf", f"`{'x' * 60}…`"),
    ],
)
def test_a_files_name_is_shown_as_a_name_whatever_it_holds(name: str, shown: str) -> None:
    world = World(not_taken={"f": refused("too_large", 15)})
    found = gathered(message("read", Attachment(FileKind.DOCUMENT, "f", name)), world)
    assert found.remarks == (f"⚠️ Not read: {shown}. More than 15 MB.",)
