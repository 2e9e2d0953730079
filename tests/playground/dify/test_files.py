"""What a scripted Dify checks of files, over real sockets. The refusals are recorded ones, or from Dify's source."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from cardbot.playground.dify import FakeDify, Script

pytestmark = pytest.mark.anyio

UPLOADS = {"enabled": True, "allowed_file_types": ["image", "custom"], "allowed_file_extensions": [".zip"]}


@asynccontextmanager
async def dify_and_client(version: str = "1.14.1", **options: Any) -> AsyncIterator[tuple[FakeDify, httpx.AsyncClient]]:
    async with FakeDify(version=version, linger=0, **options) as dify:
        headers = {"Authorization": "Bearer app-test"}
        async with httpx.AsyncClient(base_url=dify.url, headers=headers, timeout=5, trust_env=False) as client:
            yield dify, client


async def upload(client: httpx.AsyncClient, name: str = "a.png", content: bytes = b"x", **more: Any) -> httpx.Response:
    kind = more.get("kind", "image/png")
    return await client.post("/files/upload", files={"file": (name, content, kind)}, data={"user": "ann"})


async def ask(client: httpx.AsyncClient, *files: dict[str, str], user: str = "ann") -> tuple[int, str]:
    named = [{"transfer_method": "local_file", **file} for file in files]
    body = {"inputs": {}, "query": "hi", "user": user, "response_mode": "blocking", "files": named}
    answer = await client.post("/chat-messages", json=body)
    return answer.status_code, answer.json().get("message", "")


@pytest.mark.parametrize(("version", "code"), [("1.14.1", "no_file_uploaded"), ("0.15.8", "bad_request_key_error")])
async def test_a_form_without_a_file_is_refused(version: str, code: str) -> None:
    async with dify_and_client(version) as (_, client):
        answer = await client.post("/files/upload", files={"document": ("a.png", b"x")}, data={"user": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_two_files_at_a_time_are_refused() -> None:
    async with dify_and_client() as (_, client):
        answer = await client.post("/files/upload", files=[("file", ("a.png", b"x")), ("file", ("b.png", b"y"))])
    assert answer.json()["code"] == "too_many_files"


@pytest.mark.parametrize(("name", "megabytes"), [("a.PNG", 10), ("a.amr", 15), ("a.txt", 15)])
async def test_the_extension_decides_how_large_a_file_may_be(name: str, megabytes: int) -> None:
    async with dify_and_client() as (_, client):
        answer = await upload(client, name, bytes(megabytes * 1024 * 1024 + 1))
    expected = (201, None) if name == "a.amr" else (413, "File size exceeded. {message}")  # 50 MB for audio
    assert (answer.status_code, answer.json().get("message")) == expected


async def test_a_name_with_a_slash_is_refused() -> None:
    async with dify_and_client() as (_, client):
        assert (await upload(client, "../a.png")).status_code == 400


async def test_a_question_carries_the_files_of_its_user() -> None:
    async with dify_and_client(file_upload=UPLOADS) as (dify, client):
        await upload(client)
        id = dify.files[0].id
        assert (await ask(client, {"type": "image", "upload_file_id": id}))[0] == 200
        assert await ask(client, {"type": "image", "upload_file_id": id}, user="bob") == (400, "Invalid upload file")
        unknown = {"type": "image", "upload_file_id": str(uuid.uuid4())}
        assert await ask(client, unknown) == (400, "Invalid upload file")


async def test_an_older_dify_takes_the_file_of_another_user() -> None:
    async with dify_and_client("0.15.8", file_upload=UPLOADS) as (dify, client):
        await upload(client)
        assert (await ask(client, {"type": "image", "upload_file_id": dify.files[0].id}, user="bob"))[0] == 200


@pytest.mark.parametrize(
    ("name", "kind", "named", "message"),
    [
        ("a.zip", "application/zip", "custom", ""),
        ("a.pdf", "application/pdf", "image", "Detected file type does not match the specified type."),
        ("a.pdf", "application/pdf", "document", "File validation failed for file: a.pdf"),
        ("a.rar", "application/zip", "custom", "File validation failed for file: a.rar"),
        ("a.jfif", "image/jpeg", "image", ""),
    ],
)
async def test_a_file_is_of_the_kind_that_is_named_and_allowed(name: str, kind: str, named: str, message: str) -> None:
    async with dify_and_client(file_upload=UPLOADS) as (dify, client):
        await upload(client, name, kind=kind)
        _, said = await ask(client, {"type": named, "upload_file_id": dify.files[0].id})
    assert said.startswith(message)
    assert bool(said) == bool(message)


async def test_more_files_than_the_app_takes_are_refused() -> None:
    async with dify_and_client(file_upload={**UPLOADS, "number_limits": 1}) as (dify, client):
        await upload(client)
        file = {"type": "image", "upload_file_id": dify.files[0].id}
        assert await ask(client, file, file) == (400, "Number of files exceeds the maximum limit 1")


async def test_where_uploads_are_off_files_are_dropped_without_a_word() -> None:
    async with dify_and_client() as (_, client):
        assert (await ask(client, {"type": "image", "upload_file_id": "nonsense"}))[0] == 200


async def test_the_parameters_tell_what_the_app_takes() -> None:
    inputs = [{"paragraph": {"variable": "query", "required": True}}]
    async with dify_and_client(file_upload=UPLOADS, speech_to_text=True, inputs=inputs) as (_, client):
        told = (await client.get("/parameters")).json()
    assert (told["file_upload"], told["speech_to_text"]) == (UPLOADS, {"enabled": True})
    assert told["user_input_form"] == inputs


@pytest.mark.parametrize(
    ("listens", "kind", "expected"),
    [
        (True, "audio/amr", (200, None)),
        (True, "audio/ogg", (415, "unsupported_audio_type")),
        (True, "audio/x-wav", (415, "unsupported_audio_type")),
        (False, "audio/amr", (400, "invalid_param")),
    ],
)
async def test_an_app_that_listens_takes_some_kinds_of_sound(
    listens: bool, kind: str, expected: tuple[int, str | None]
) -> None:
    async with dify_and_client(speech_to_text=listens) as (_, client):
        answer = await client.post("/audio-to-text", files={"file": ("v", b"#!AMR", kind)}, data={"user": "ann"})
    assert (answer.status_code, answer.json().get("code")) == expected


async def test_a_question_with_files_can_be_answered_in_their_light() -> None:
    async with dify_and_client(file_upload=UPLOADS) as (dify, client):
        dify.about_files = lambda query, files: Script(f"{query}: {', '.join(file.name for file in files)}")
        id = (await upload(client)).json()["id"]
        body: dict[str, Any] = {"inputs": {}, "query": "hi", "user": "ann", "response_mode": "blocking"}
        assert (await client.post("/chat-messages", json=body)).json()["answer"] == Script().whole
        body["files"] = [{"transfer_method": "local_file", "type": "image", "upload_file_id": id}]
        assert (await client.post("/chat-messages", json=body)).json()["answer"] == "hi: a.png"


async def test_a_transcript_can_depend_on_what_was_recorded() -> None:
    async with dify_and_client(speech_to_text=True) as (dify, client):
        dify.transcript = lambda recording: recording.decode().upper()
        answer = await client.post("/audio-to-text", files={"file": ("a.amr", b"hello", "audio/amr")})
        assert answer.json() == {"text": "HELLO"}
