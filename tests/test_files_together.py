"""From a pushed message to a question with files, between a simulated DingTalk and a scripted Dify."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from cardbot.dify.fields import parsed
from cardbot.dify.file_rules import FileRules
from cardbot.dify.uploads import transcribe, upload
from cardbot.dingtalk import wire
from cardbot.dingtalk.media import Media
from cardbot.dingtalk.openapi import OpenApi
from cardbot.gathering import Gathered, gather
from cardbot.messages import Upload
from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import Platform, contents
from cardbot.playground.platform.downloads import Delivery
from cardbot.ports import Download
from cardbot.texts import EN

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(3_000_000)
UPLOADS = {"enabled": True, "allowed_file_types": ["image", "document"], "number_limits": 3}


@dataclass
class App:
    """As much of a client as files need."""

    http: httpx.AsyncClient

    async def rules(self) -> FileRules:
        return FileRules.from_parameters(parsed((await self.http.get("parameters")).content))

    async def file_limit(self) -> int:
        return (await self.rules()).number

    async def upload(self, file: Download, user: str) -> Upload:
        return await upload(self.http, replace(file, kind=(await self.rules()).check(file)), user)

    async def transcribe(self, file: Download, user: str) -> str:
        return await transcribe(self.http, file, user)


@dataclass
class Desk:
    platform: Platform
    dify: FakeDify
    app: App
    files: Media

    async def sent(self, content: dict[str, Any]) -> Gathered:
        """What becomes of a message with this content."""
        message = await self.platform.push(content)
        incoming = wire.incoming(message.data, robot_code="dingtest")
        source: Any = self.app
        return await gather(incoming, "ann", source=source, files=self.files, texts=EN)

    async def ask(self, found: Gathered) -> int:
        files = [
            {"type": file.kind, "transfer_method": "local_file", "upload_file_id": file.id} for file in found.uploads
        ]
        body = {"inputs": {}, "query": found.query, "user": "ann", "response_mode": "blocking", "files": files}
        return (await self.app.http.post("chat-messages", json=body)).status_code


@asynccontextmanager
async def desk(**dify: Any) -> AsyncGenerator[Desk]:
    async with (
        Platform() as platform,
        FakeDify(linger=0, **{"file_upload": UPLOADS, **dify}) as brain,
        OpenApi(client_id="dingtest", client_secret="secret", robot_code="dingtest", endpoint=platform.url) as api,
        httpx.AsyncClient(base_url=brain.url, headers={"Authorization": "Bearer app-test"}, trust_env=False) as http,
    ):
        platform.files.update(picture=PNG, pdf=b"%PDF-1.7", voice=b"#!AMR\nx", video=b"\0\0\0\x18ftypmp42" + bytes(99))
        yield Desk(platform, brain, App(http), Media(api, max_mb=4))
        assert platform.violations == []


async def test_a_picture_among_words_reaches_the_question() -> None:
    async with desk() as all:
        found = await all.sent(contents.rich_text("what is this", contents.picture("picture")))
        assert (found.query, found.remarks) == ("what is this", ())
        assert [(file.name, file.content) for file in all.dify.files] == [("picture.png", PNG)]
        assert await all.ask(found) == 200


async def test_a_quoted_file_goes_along() -> None:
    async with desk() as all:
        found = await all.sent(contents.quoting(contents.text("sum it up"), contents.file("pdf", "报告.pdf")))
        assert (found.query, [file.name for file in all.dify.files]) == ("sum it up", ["报告.pdf"])
        assert await all.ask(found) == 200


async def test_a_voice_message_is_heard_by_dify() -> None:
    async with desk(speech_to_text=True) as all:
        assert await all.sent(contents.audio("voice")) == Gathered("What is the weather?")
        assert await all.sent(contents.audio("voice", "said already")) == Gathered("said already")
        assert all.dify.heard == [b"#!AMR\nx"]


async def test_a_voice_message_to_an_app_that_does_not_listen_is_a_file_if_it_takes_audio() -> None:
    async with desk(file_upload={"enabled": True, "allowed_file_types": ["audio"]}) as all:
        found = await all.sent(contents.audio("voice"))
        assert (found.query, all.dify.files[0].name) == (EN.about_files, "voice.amr")
        assert await all.ask(found) == 200


async def test_what_cannot_go_along_is_said_and_the_rest_is_asked() -> None:
    async with desk() as all:
        all.platform.files["large"] = bytes(5_000_000)
        all.platform.deliveries["broken"] = Delivery(dies_after=10)
        all.platform.files["broken"] = PNG
        found = await all.sent(
            contents.rich_text("look", *map(contents.picture, ["large", "gone", "broken", "picture"]))
        )
        assert (found.query, len(found.uploads)) == ("look", 1)
        assert found.remarks == (
            "⚠️ Not read: picture 1. More than 4 MB.",
            "⚠️ Not read: picture 2, picture 3. The download failed; please send it again.",
        )
        assert await all.ask(found) == 200


async def test_a_video_to_an_app_without_videos_is_one_sentence() -> None:
    async with desk() as all:
        found = await all.sent(contents.video("video"))
    assert found == Gathered("", (), ("⚠️ Not read: video. This app takes no files of this type.",))
