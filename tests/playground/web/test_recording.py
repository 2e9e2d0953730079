"""A run in a file, and what else may be in a file of that name."""

import json
import socket
from pathlib import Path

import anyio
import pytest

from cardbot.playground.web import BadPort, playground
from cardbot.playground.web.feed import Feed, Thing
from cardbot.playground.web.recording import FORMAT, BadRecording, Moment, Player, create, read, record
from tests.patience import SOON

pytestmark = pytest.mark.anyio


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in ({"format": FORMAT}, *lines)), encoding="utf-8")
    return path


async def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run"
    feed = Feed(lambda: 1.5)
    feed.put("card", "c1", text="晴天")
    feed.close()
    await record(feed, path)
    assert read(path) == [Moment(1.5, (Thing("card", "c1", {"text": "晴天"}),))]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ([], "Line 2 is not a JSON object"),
        ({"at": 1}, "Line 2 has no time or no things"),
        ({"at": "1", "put": []}, "Line 2 has no time or no things"),
        ({"at": 1, "put": [{"kind": "script", "id": "x"}]}, "Line 2 holds something that the page does not know"),
        ({"at": 1, "put": [{"kind": "card"}]}, "Line 2 holds something that the page does not know"),
    ],
)
def test_a_line_that_is_no_moment_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    with pytest.raises(BadRecording, match=complaint):
        read(written(tmp_path / "run", line))


@pytest.mark.parametrize("content", ["", "{}\n", "hello", '{"format": "other"}\n'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadRecording):
        read(path)


def test_a_recording_does_not_go_back_in_time(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="back in time"):
        read(written(tmp_path / "run", {"at": 2, "put": []}, {"at": 1, "put": []}))


async def test_a_player_shows_the_moments_and_begins_again() -> None:
    player = Player(
        [Moment(0.0, (Thing("setup", "setup", {"mode": "live"}),)), Moment(0.02, (Thing("card", "c", {}),))]
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(player.run)
        with anyio.fail_after(SOON):
            for _ in range(2):
                version = 0
                while not [thing for thing in player.feed.since(0).things if thing.kind == "card"]:
                    version = player.feed.since(version).version
                    await player.feed.wait(version)
                assert player.feed.get("setup", "setup")["mode"] == "replay"
                player.restart()
                await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["nothing", "."])
async def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRecording, match=r"cannot be read: (No such file|Is a directory)"):
        read(tmp_path / name)
    with pytest.raises(BadRecording, match=r"cannot be written: (No such file|Is a directory)"):
        create(tmp_path / name / name)


async def test_a_taken_port_leaves_the_recording_alone(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    kept.write_text("a run", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadPort, match="Address already in use"):
        async with playground(None, "en", port=taken.getsockname()[1], record_to=kept):
            pass
    assert kept.read_text(encoding="utf-8") == "a run"
