"""Fetching files, against the simulated DingTalk over real sockets."""

import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from cardbot.dingtalk import media
from cardbot.dingtalk.hosts import download_at
from cardbot.dingtalk.media import AT_ONCE, Media
from cardbot.dingtalk.openapi import OpenApi
from cardbot.errors import DingTalkUnreachable, FileRefused, PermissionDenied
from cardbot.messages import Attachment, FileKind
from cardbot.playground.platform import Platform
from cardbot.playground.platform.downloads import Delivery
from cardbot.playground.platform.faults import Reject, ResetConnection
from cardbot.ports import Download
from tests.patience import SOON

pytestmark = pytest.mark.anyio

DOWNLOAD = "POST /v1.0/robot/messageFiles/download"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 200
PICTURE = Attachment(FileKind.IMAGE, "code/1+==")
HTTPS = httpx.URL("https://api.dingtalk.com")


@asynccontextmanager
async def fetching(
    content: bytes = PNG, delivery: Delivery | None = None, *, max_mb: int = 1, **options: Any
) -> AsyncGenerator[tuple[Platform, Media]]:
    """A platform with one file, and who fetches it. The platform judges each call at the end."""
    async with Platform(**options) as platform:
        platform.files[PICTURE.download_code] = content
        if delivery:
            platform.deliveries[PICTURE.download_code] = delivery
        async with OpenApi(
            client_id="dingtest", client_secret="secret", robot_code="dingtest", endpoint=platform.url
        ) as api:
            yield platform, Media(api, max_mb=max_mb)
        assert platform.violations == []


async def fetched(files: Media, attachment: Attachment = PICTURE) -> tuple[Download, bytes]:
    async with files.fetch(attachment, robot_code="dingtest") as file:
        return file, b"".join([chunk async for chunk in file.chunks])


async def test_a_picture_comes_with_a_name_its_kind_and_its_size() -> None:
    async with fetching() as (_, files):
        file, content = await fetched(files)
    assert content == PNG
    assert (file.name, file.kind, file.content_type) == ("picture.png", FileKind.IMAGE, "image/png")
    assert file.size == len(PNG)


@pytest.mark.parametrize(
    ("kind", "name", "content", "expected"),
    [
        (FileKind.IMAGE, "", b"\xff\xd8\xff\xe0" + bytes(300), ("picture.jpg", FileKind.IMAGE, "image/jpeg")),
        (FileKind.IMAGE, "", b"RIFF\0\0\0\0WEBPVP8 ", ("picture.webp", FileKind.IMAGE, "image/webp")),
        (FileKind.AUDIO, "", b"#!AMR\n" + bytes(300), ("voice.amr", FileKind.AUDIO, "audio/amr")),
        (FileKind.AUDIO, "", b"#!AMR-WB\n" + bytes(300), ("voice.amr", FileKind.AUDIO, "audio/amr")),
        (FileKind.AUDIO, "", b"OggS" + bytes(300), ("voice.ogg", FileKind.AUDIO, "audio/ogg")),
        (FileKind.AUDIO, "", b"RIFF\0\0\0\0WAVEfmt ", ("voice.wav", FileKind.AUDIO, "audio/wav")),
        (FileKind.VIDEO, "", b"\0\0\0\x18ftypmp42" + bytes(300), ("video.mp4", FileKind.VIDEO, "video/mp4")),
        (FileKind.DOCUMENT, "报告.PDF", b"%PDF-1.7", ("报告.pdf", FileKind.DOCUMENT, "application/pdf")),
        (FileKind.DOCUMENT, "notes.md", b"# hi", ("notes.md", FileKind.DOCUMENT, "text/markdown")),
        (FileKind.DOCUMENT, "a.xyz", b"?", ("a.xyz", FileKind.CUSTOM, "application/octet-stream")),
        (FileKind.DOCUMENT, "scan.file", b"%PDF-1.7" + bytes(99), ("scan.pdf", FileKind.DOCUMENT, "application/pdf")),
        (FileKind.DOCUMENT, "v1.2 final", b"%PDF-1.7", ("v1.2 final.pdf", FileKind.DOCUMENT, "application/pdf")),
        (FileKind.DOCUMENT, "../../etc/x.txt", b"x", ("_.._etc_x.txt", FileKind.DOCUMENT, "text/plain")),
        (FileKind.DOCUMENT, 'a"\r\nb.txt', b"x", ("a___b.txt", FileKind.DOCUMENT, "text/plain")),
        (FileKind.IMAGE, "", b"who knows", ("picture.bin", FileKind.CUSTOM, "application/octet-stream")),
    ],
)
async def test_the_name_the_first_bytes_decide_what_a_file_is(
    kind: FileKind, name: str, content: bytes, expected: tuple[str, FileKind, str]
) -> None:
    async with fetching(content) as (_, files):
        file, _ = await fetched(files, Attachment(kind, PICTURE.download_code, name))
    assert (file.name, file.kind, file.content_type) == expected


async def test_where_the_bytes_say_nothing_the_store_is_believed() -> None:
    async with fetching(b"who knows", Delivery(content_type="image/png; x=y")) as (_, files):
        file, _ = await fetched(files)
    assert file.name == "picture.png"


async def test_a_file_without_a_length_is_taken_in_whole() -> None:
    async with fetching(PNG, Delivery(told=False)) as (_, files):
        file, content = await fetched(files)
    assert (file.size, content) == (len(PNG), PNG)


async def test_an_empty_file_is_a_file() -> None:
    async with fetching(b"") as (_, files):
        file, content = await fetched(files, Attachment(FileKind.DOCUMENT, PICTURE.download_code, "a.txt"))
    assert (file.size, content) == (0, b"")


@pytest.mark.parametrize("told", [True, False])
async def test_a_file_over_the_limit_is_refused_with_the_limit(told: bool) -> None:
    async with fetching(bytes(1024 * 1024 + 1), Delivery(told=told)) as (_, files):
        with pytest.raises(FileRefused) as refused:
            await fetched(files)
    assert (refused.value.why, refused.value.limit) == ("too_large", 1)


async def test_a_file_of_just_the_limit_is_not_refused() -> None:
    async with fetching(bytes(1024 * 1024)) as (_, files):
        _, content = await fetched(files)
    assert len(content) == 1024 * 1024


async def test_an_endless_file_is_left_at_the_limit() -> None:
    async with fetching(b"", Delivery(told=False, endless=True)) as (_, files):
        with pytest.raises(FileRefused, match="more than 1 MB"):
            await fetched(files)


async def test_a_file_that_comes_compressed_is_unpacked() -> None:
    async with fetching(gzip.compress(PNG), Delivery(encoding="gzip")) as (_, files):
        file, content = await fetched(files)
    assert (file.size, content) == (len(PNG), PNG)


async def test_a_file_that_is_compressed_twice_is_not_unpacked() -> None:
    async with fetching(gzip.compress(gzip.compress(PNG)), Delivery(encoding="gzip, gzip")) as (_, files):
        with pytest.raises(FileRefused) as caught:
            await fetched(files)
    assert caught.value.why == "not_fetched"


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("after", [0, 100, 30_000])
async def test_a_file_that_breaks_off_is_not_passed_off_as_whole(after: int, told: bool) -> None:
    async with fetching(PNG, Delivery(dies_after=after, told=told)) as (_, files):
        with pytest.raises(FileRefused) as refused:
            await fetched(files)
    assert refused.value.why == "not_fetched"


async def test_an_unknown_code_concerns_the_file_alone() -> None:
    async with fetching() as (_, files):
        with pytest.raises(FileRefused) as refused:
            await fetched(files, Attachment(FileKind.IMAGE, "expired-code"))
    assert refused.value.why == "not_fetched"
    assert "expired-code" not in repr(refused.value)


async def test_a_missing_permission_concerns_the_admin() -> None:
    denied = Reject(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")
    async with fetching() as (platform, files):
        platform.faults.add(DOWNLOAD, denied)
        with pytest.raises(PermissionDenied):
            await fetched(files)


async def test_a_throttled_call_is_made_again() -> None:
    async with fetching() as (platform, files):
        platform.faults.add(DOWNLOAD, Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"))
        _, content = await fetched(files)
    assert content == PNG


async def test_no_answer_from_the_api_is_its_own_error() -> None:
    async with fetching() as (platform, files):
        platform.faults.add(DOWNLOAD, ResetConnection(applied=False))
        with pytest.raises(DingTalkUnreachable):
            await fetched(files)


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_store_that_says_no_is_a_refusal(status: int) -> None:
    async with fetching(PNG, Delivery(status=status)) as (_, files):
        with pytest.raises(FileRefused, match=str(status)) as refused:
            await fetched(files)
    assert "signature" not in str(refused.value)


@pytest.mark.parametrize("elsewhere", ["http://169.254.169.254/meta", "https://evil.example/x", "file:///etc/passwd"])
async def test_a_redirect_to_elsewhere_is_not_followed(elsewhere: str) -> None:
    async with fetching(PNG, Delivery(redirect=elsewhere)) as (_, files):
        with pytest.raises(FileRefused, match="not DingTalk's"):
            await fetched(files)


async def test_a_redirect_to_itself_ends() -> None:
    async with fetching(PNG, Delivery(redirect="#here")) as (platform, files):
        with pytest.raises(FileRefused, match="from one address to the next"):
            await fetched(files)
    assert sum(call.path == "/files" for call in platform.calls) == 3


async def test_no_more_files_than_may_are_on_their_way_at_once() -> None:
    async with fetching() as (platform, files), anyio.create_task_group() as tasks:
        begun, go_on = 0, anyio.Event()

        async def hold() -> None:
            nonlocal begun
            async with files.fetch(PICTURE, robot_code="dingtest"):
                begun += 1
                if begun == AT_ONCE:
                    go_on.set()
                await anyio.sleep_forever()

        for _ in range(AT_ONCE + 2):
            tasks.start_soon(hold)
        await go_on.wait()
        await platform.wait_for(lambda: sum(call.path == "/files" for call in platform.calls) == AT_ONCE)
        await anyio.wait_all_tasks_blocked()
        assert begun == AT_ONCE
        tasks.cancel_scope.cancel()


async def test_who_is_cancelled_makes_room() -> None:
    async with fetching(PNG, Delivery(pause=3600)) as (platform, files):
        for _ in range(AT_ONCE):
            with anyio.move_on_after(0.05):
                await fetched(files)
        platform.deliveries.clear()
        with anyio.fail_after(SOON):
            assert (await fetched(files))[1] == PNG


async def test_a_silent_store_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "TIMEOUT", httpx.Timeout(0.2))
    async with fetching(PNG, Delivery(pause=3600)) as (_, files):
        with pytest.raises(FileRefused) as refused:
            await fetched(files)
    assert refused.value.why == "not_fetched"


@pytest.mark.parametrize(
    "address",
    [
        "https://down-cdn.dingtalk.com/media/a%2Fb.jpg?sign=x%2By",
        "https://wukong-file-im-zjk.oss-cn-zhangjiakou.aliyuncs.com/ddmedia%2Fa.jpg?Expires=1&Signature=a%2Bb%3D",
        "https://files.dingtalk.io/x",
    ],
)
def test_an_address_of_dingtalk_is_taken_byte_for_byte(address: str) -> None:
    assert str(download_at(address, endpoint=HTTPS)) == address
    assert str(download_at(address.replace("https:", "http:"), endpoint=HTTPS)) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "not an address",
        "https://evil.example/x",
        "https://oss-cn-zhangjiakou.aliyuncs.com.evil.example/x",
        "https://x.oss-cn-hangzhou-internal.aliyuncs.com/x",
        "https://metadata.aliyuncs.com/x",
        "https://user@down.dingtalk.com/x",
        "https://down.dingtalk.com:8443/x",
        "http://127.0.0.1/x",
        "ftp://down.dingtalk.com/x",
        "https://[::1]/x",
    ],
)
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(FileRefused):
        download_at(address, endpoint=HTTPS)
