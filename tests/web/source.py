"""A source of answers of the test's own, without Dify and without a socket."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from cardbot import events
from cardbot.errors import FileRefused
from cardbot.messages import FileKind, Question, Upload
from cardbot.ports import Download

IDS = events.Identified("conversation", "message", "task")


@dataclass
class Answers:
    """A source that answers as it is told. Implements `ports.Source` as far as the front goes."""

    happens: Callable[[Question], AsyncGenerator[events.Event]]
    questions: list[Question] = field(default_factory=list)
    files: list[tuple[str, str, str, int, bytes]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    open: int = 0
    refuses: FileRefused | None = None
    limit: int = 3

    async def ask(self, question: Question) -> AsyncGenerator[events.Event]:
        self.questions.append(question)
        self.open += 1
        try:
            async for event in self.happens(question):
                yield event
        finally:
            self.open -= 1

    async def file_limit(self) -> int:
        return self.limit

    async def upload(self, file: Download, whose: str) -> Upload:
        if self.refuses:
            raise self.refuses
        content = b"".join([chunk async for chunk in file.chunks])
        self.files.append((whose, file.name, file.content_type, file.size, content))
        return Upload("upload-1", FileKind.IMAGE)

    async def stop(self, task_id: str, whose: str) -> None:
        self.stopped.append((task_id, whose))

    def recall(self, ids: events.Identified, whose: str) -> AsyncGenerator[events.Event]:
        raise NotImplementedError

    def go_on(
        self, form: events.FormRequested, action: str, inputs: Mapping[str, str], ids: events.Identified, whose: str
    ) -> AsyncGenerator[events.Event]:
        raise NotImplementedError

    async def waits_for(self, form: events.FormRequested) -> bool:
        raise NotImplementedError

    def catch_up(self, form: events.FormRequested, ids: events.Identified, whose: str) -> AsyncGenerator[events.Event]:
        raise NotImplementedError

    async def transcribe(self, file: Download, whose: str) -> str:
        raise NotImplementedError


async def sunny(_: Question) -> AsyncGenerator[events.Event]:
    yield IDS
    yield events.TextDelta("It is sunny.")
    yield events.MessageEnded()
