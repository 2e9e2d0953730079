"""The recorded answers in `tests/data/dify-recordings.zip`, as tests want them."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ARCHIVE = Path(__file__).parent.parent / "data" / "dify-recordings.zip"


@dataclass(frozen=True)
class Step:
    """One recorded request and its answer. `name` is `VERSION/TRACE/NN-step`."""

    name: str
    meta: dict[str, Any]
    body: bytes

    @property
    def trace(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def path(self) -> str:
        return str(self.meta["request"]["path"])

    @property
    def status(self) -> int:
        return int(self.meta["response"].get("status") or 0)

    @property
    def streamed(self) -> bool:
        return bool(self.meta.get("sse_event_sequence"))

    @property
    def end(self) -> str:
        return str(self.meta["response"].get("end"))


@cache
def steps() -> tuple[Step, ...]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = set(archive.namelist())
        return tuple(
            Step(
                name.removesuffix(".json"),
                json.loads(archive.read(name)),
                archive.read(body) if (body := name.removesuffix("json") + "body") in names else b"",
            )
            for name in sorted(names)
            if name.endswith(".json")
        )


@cache
def stored() -> dict[str, dict[str, Any]]:
    """What the servers kept of each message, by message id; the latest look wins."""
    messages: dict[str, dict[str, Any]] = {}
    for step in steps():
        if "/messages?" in step.path and step.status == 200:
            for message in json.loads(step.body)["data"]:
                messages[message["id"]] = message
    return messages


@cache
def runs() -> dict[str, dict[str, Any]]:
    """What the servers kept of each workflow run, by run id."""
    found = (json.loads(step.body) for step in steps() if "/workflows/run/" in step.path and step.status == 200)
    return {run["id"]: run for run in found}


def events_of(step: Step) -> Iterator[dict[str, Any]]:
    """A stream's events as the simplest reader sees them, to compare with."""
    for line in step.body.split(b"\n"):
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def unpack(folder: Path) -> None:
    """Put the recordings into a folder, for a server that replays them."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
