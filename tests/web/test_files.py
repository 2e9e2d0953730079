"""Files that an answer produces: links at its end, streamed or not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot import events
from cardbot.dify.outputs import FILE_MARK
from cardbot.playground.dify import Script
from cardbot.web.account import Account
from tests.web.stand import Stand, stand

pytestmark = pytest.mark.anyio

SIGNED = "/files/tools/f-1.png?timestamp=1790000000&nonce=ab&sign=cd%3D"


async def streamed(there: Stand) -> str:
    """The content of a stream, put together."""
    return "".join([chunk.choices[0].delta.content or "" async for chunk in await there.stream()])


async def whole(there: Stand) -> str:
    """The content of a reply in one piece."""
    return str((await there.ask()).choices[0].message.content)


TELLINGS = pytest.mark.parametrize("tell", [streamed, whole])


@TELLINGS
async def test_a_picture_of_an_agents_tool_is_told_at_the_end_with_difys_address(tell: Any) -> None:
    async with stand(dify={"app": "agent-chat"}) as there:
        there.dify.default = Script("Here it is.", tools=["painter"], files=[SIGNED])
        host = there.dify.url.removesuffix("/v1")
        assert await tell(there) == f"Here it is.\n\n![f-1.png]({host}{SIGNED})"


@TELLINGS
async def test_an_answer_may_be_a_picture_alone(tell: Any) -> None:
    async with stand(dify={"app": "agent-chat"}) as there:
        there.dify.default = Script("", tools=["painter"], files=["https://example.com/a%20b.png"])
        assert await tell(there) == "![a b.png](https://example.com/a%20b.png)"


@TELLINGS
@pytest.mark.parametrize("text", ["Hello", ""])
async def test_a_file_among_the_outputs_of_a_workflow_is_told_beside_its_text(tell: Any, text: str) -> None:
    file = {FILE_MARK: "__dify__file__", "type": "document", "filename": "a [1].pdf", "url": "/files/1/file-preview"}
    question = {"paragraph": {"variable": "query", "label": "Question"}}
    async with stand(dify={"app": "workflow", "inputs": [question]}) as there:
        there.dify.default = Script(text, outputs={"text": text, "file": file, "score": 3})
        link = f"[a \\[1\\].pdf]({there.dify.url.removesuffix('/v1')}/files/1/file-preview)"
        told = await tell(there)
    assert told.startswith(text)
    assert told.count(link) == 1


@TELLINGS
@pytest.mark.parametrize("chunk", [1, 5, 100])
async def test_a_link_to_a_file_of_difys_gets_its_host_however_it_is_cut(tell: Any, chunk: int) -> None:
    text = "[1] ![a](/files/1/a.png?sign=b) and [b](/filed), [c](https://x.example.com/files/c) [d]("
    async with stand() as there:
        there.dify.default = Script(text, chunk=chunk, cps=1000)
        host = there.dify.url.removesuffix("/v1")
        assert await tell(there) == text.replace("](/files/", f"]({host}/files/")


@given(st.lists(st.sampled_from(["]", "(", "](", "/", "/files", "/files/", "](/files/", "a", "files/"])))
def test_no_part_of_a_link_is_told_before_its_host(pieces: list[str]) -> None:
    account, told = Account("https://dify.example.com/v1"), ""
    for piece in pieces:
        account.take(events.TextDelta(piece))
        told += account.news()[1]
    account.take(events.MessageEnded())
    account.close()
    told += account.news()[1]
    assert told == account.text
    assert told == "".join(pieces).replace("](/files/", "](https://dify.example.com/files/")


def told(text: str, *files: events.FileProduced) -> str:
    """What is added to a text."""
    account = Account()
    happened: list[events.Event] = [events.TextDelta(text), *files, events.MessageEnded()]
    for event in happened:
        account.take(event)
    account.close()
    return account.text.removeprefix(text)


def picture(url: str, belongs_to: str = "assistant") -> events.FileProduced:
    return events.FileProduced(f"id of {url}", "image", url, belongs_to)


def test_a_file_of_the_question_is_not_told() -> None:
    assert told("Hi", picture("https://example.com/files/a.png", "user")) == ""


def test_a_file_that_the_text_links_is_told_once() -> None:
    """Each time Dify tells an address of its own it is signed anew."""
    assert told("![a](/files/tools/a.png?sign=1)", picture("https://dify.example.com/files/tools/a.png?sign=2")) == ""


def test_a_file_that_dify_tells_twice_is_told_once() -> None:
    twice = [picture(f"https://dify.example.com/files/tools/a.png?sign={number}") for number in (1, 2)]
    assert told("Hi", *twice).count("![a.png]") == 1


def test_two_files_at_one_foreign_path_are_two() -> None:
    assert told("Hi", picture("https://example.com/get?id=1"), picture("https://example.com/get?id=2")) == (
        "\n\n![image](https://example.com/get?id=1)\n\n![image](https://example.com/get?id=2)"
    )


def test_a_file_stands_outside_a_code_block_that_nothing_closes() -> None:
    assert told("```python\n1 + 1", picture("https://example.com/a.png")) == (
        "\n```\n\n![a.png](https://example.com/a.png)"
    )


def test_an_address_cannot_end_its_link() -> None:
    assert told("", picture("https://example.com/a (1).png")) == "![a (1).png](https://example.com/a%20%281%29.png)"


@pytest.mark.parametrize("url", ["", "//[", "https://[::1/a.png"])
def test_what_is_no_address_is_no_fault(url: str) -> None:
    assert url in told("Hi", picture(url))
