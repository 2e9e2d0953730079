"""A picture on its whole way: OpenAI's client, the front, the upload to Dify and the question that names it."""

import base64
from typing import Any

import openai
import pytest

from tests.web.stand import stand, user

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n0123"
JPEG = b"\xff\xd8\xff\xe00123"

TAKEN: dict[str, Any] = {
    "enabled": True,
    "allowed_file_types": ["image"],
    "allowed_file_upload_methods": ["local_file"],
    "number_limits": 2,
}
"""What an app tells of its files in `/parameters`."""


def picture(kind: str, content: bytes) -> dict[str, Any]:
    """As clients send it."""
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(content).decode()}"}}


LOOK = user([{"type": "text", "text": "Which is older?"}, picture("image/PNG", PNG), picture("image/jpg", JPEG)])


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
@pytest.mark.parametrize("name", ["ada", openai.omit])
async def test_pictures_are_uploaded_and_named_in_the_question(app: str, name: Any) -> None:
    async with stand(dify={"app": app, "file_upload": TAKEN}) as there:
        answer = await there.client.chat.completions.create(model="dify", messages=[LOOK], user=name)
        uploaded = there.dify.files
    assert answer.choices[0].message.content
    assert [(file.name, file.media_type, file.content) for file in uploaded] == [
        ("picture-1.png", "image/png", PNG),
        ("picture-2.jpg", "image/jpeg", JPEG),
    ]
    (question,) = there.asked
    assert question["query"] == "Which is older?"
    assert {file.user for file in uploaded} == {question["user"]}
    assert question["files"] == [
        {"type": "image", "transfer_method": "local_file", "upload_file_id": file.id} for file in uploaded
    ]


async def test_a_picture_is_not_sent_again_with_the_next_question() -> None:
    async with stand(dify={"file_upload": TAKEN}) as there:
        history = [LOOK, {"role": "assistant", "content": "The first."}, user("And the other?")]
        for messages in (history[:1], history):
            await there.client.chat.completions.create(model="dify", messages=messages, user="ada")
        assert len(there.dify.files) == 2
    assert not there.asked[1].get("files")


async def test_pictures_for_an_app_that_takes_none_are_refused_and_nothing_is_asked() -> None:
    async with stand(dify={"file_upload": {**TAKEN, "enabled": False}}) as there:
        with pytest.raises(openai.BadRequestError, match="A picture cannot be taken along"):
            await there.client.chat.completions.create(model="dify", messages=[LOOK])
    assert (there.asked, there.dify.files) == ([], [])
