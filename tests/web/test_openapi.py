"""The OpenAPI document: nothing that it allows is refused, nothing that it forbids is taken, no reply is a surprise."""

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.playground.dify import Script
from cardbot.web.openapi import document
from cardbot.web.replies import Chunk, Completion
from tests.web.source import Answers, sunny
from tests.web.stand import front_of, stand

pytestmark = pytest.mark.anyio

KEYS = "key-1"


async def test_the_document_is_served() -> None:
    async with stand(keys=KEYS) as there:
        assert (await there.http.get("/openapi.json")).json() == document(wants_key=True)


def test_the_document_has_a_key_where_there_are_keys() -> None:
    assert document(wants_key=True)["security"] == [{"key": []}]
    assert document(wants_key=False)["security"] == []


def test_every_reference_leads_somewhere() -> None:
    described = document(wants_key=True)

    def references(node: Any) -> set[str]:
        match node:
            case {"$ref": str(name)}:
                return {name}
            case dict():
                return set().union(*map(references, node.values())) if node else set()
            case list():
                return set().union(*map(references, node)) if node else set()
            case _:
                return set()

    names = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert references(described) <= names


async def test_what_is_sent_is_what_is_described() -> None:
    async with stand() as there:
        there.dify.default = Script("Hi", think="hm")
        whole = (await there.post()).text
        events = (await there.post(stream=True, stream_options={"include_usage": True})).text.split("\n\n")
    assert Completion.model_validate_json(whole).choices[0].message.reasoning_content == "hm"
    for event in events[:-2]:
        Chunk.model_validate_json(event.removeprefix("data: "))


def in_full(described: dict[str, Any]) -> dict[str, Any]:
    """The document with what it says in words, for JSON Schema cannot: which models there are, and that it is the
    last of the user's messages that must be a question, which can be spelt out for short lists."""
    properties = described["components"]["schemas"]["ChatRequest"]["properties"]
    properties["model"]["enum"] = ["dify"]
    messages = properties["messages"]
    question, message = messages.pop("contains"), messages.pop("items")
    users = {"$ref": "#/components/schemas/UserMessage"}
    after = {"oneOf": [each for each in message["oneOf"] if each != users]}
    messages["anyOf"] = [
        {"minItems": len(first) + 1, "prefixItems": [*first, question], "items": after}
        for first in ([], [message], [users])
    ]
    return described


@pytest.mark.timeout(300)  # hundreds of requests: 15 s alone, 70 s seen among four workers on one core
async def test_schemathesis_finds_no_fault(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(in_full(document(wants_key=True))))
    async with front_of(Answers(sunny, limit=1000), keys=["key-1"]) as (address, _):
        with capture_logs():  # hundreds of lines
            done = await anyio.run_process(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", address),
                    *("--header", "Authorization: Bearer key-1", "--checks", "all", "--seed", "1"),
                    *("--max-examples", "25", "--request-timeout", "30", "--no-color"),
                ],
                cwd=tmp_path,
                check=False,
            )
    assert done.returncode == 0, done.stdout.decode()[-8000:]
