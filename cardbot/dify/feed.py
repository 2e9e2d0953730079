"""What was read and not yet taken: the reader of a stream never waits for its consumer."""

import anyio


class Feed:
    """Chunks of one stream, from the task that reads it to the generator that follows it."""

    def __init__(self) -> None:
        self.reading = anyio.CancelScope()
        """The reader works inside; cancelled when nobody follows any more."""
        self._chunks: list[bytes] = []
        self._wake = anyio.Event()
        self._ended = False
        self._error: Exception | None = None

    def put(self, chunk: bytes) -> None:
        """Add what was read."""
        self._chunks.append(chunk)
        self._wake.set()

    def end(self, error: Exception | None = None) -> None:
        """No more will come; `error` is raised to whoever has taken the rest."""
        self._ended, self._error = True, error
        self._wake.set()

    async def take(self) -> list[bytes]:
        """Everything that came since the last time; an empty list is the end. Raises what ended the reading."""
        while not self._chunks and not self._ended:
            self._wake = anyio.Event()
            await self._wake.wait()
        chunks, self._chunks = self._chunks, []
        if not chunks and self._error is not None:
            raise self._error
        return chunks
