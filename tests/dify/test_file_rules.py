"""What `GET /parameters` says about files."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.dify.file_rules import FileRules, kind_of
from cardbot.errors import FileRefused
from cardbot.messages import FileKind
from cardbot.ports import Download

MB = 1024 * 1024
LIMITS = {
    "image_file_size_limit": 10,
    "video_file_size_limit": 100,
    "audio_file_size_limit": 50,
    "file_size_limit": 15,
    "workflow_file_upload_limit": 10,
}
CHAT: dict[str, Any] = {  # recorded from Dify 0.15.8 and 1.14.1, chat app
    "enabled": True,
    "image": {"enabled": True, "number_limits": 3, "detail": "high", "transfer_methods": ["remote_url", "local_file"]},
    "allowed_file_types": ["image", "document"],
    "allowed_file_extensions": [],
    "allowed_file_upload_methods": ["remote_url", "local_file"],
    "number_limits": 3,
}


def rules(uploads: object, **more: Any) -> FileRules:
    return FileRules.from_parameters({"file_upload": uploads, "system_parameters": LIMITS, **more})


def file(name: str, size: int = 1) -> Download:
    async def chunks() -> Any:
        yield b""

    return Download(name, kind_of(name), "x/y", size, chunks())


def refusal(rules: FileRules, name: str, size: int = 1) -> tuple[str, int]:
    with pytest.raises(FileRefused) as refused:
        rules.check(file(name, size))
    return refused.value.why, refused.value.limit


def test_the_rules_of_a_recorded_chat_app() -> None:
    found = rules(CHAT)
    assert (found.enabled, found.number) == (True, 3)
    assert (found.kinds, found.extensions) == (frozenset({"image", "document"}), frozenset())
    assert found.limits[FileKind.VIDEO] == 100


def test_a_file_of_an_allowed_kind_goes_under_its_kind() -> None:
    assert rules(CHAT).check(file("a.png")) is FileKind.IMAGE
    assert rules(CHAT).check(file("a.pdf")) is FileKind.DOCUMENT


def test_a_file_of_another_kind_is_refused() -> None:
    assert refusal(rules(CHAT), "a.mp4") == ("wrong_type", 0)
    assert refusal(rules(CHAT), "a.zip") == ("wrong_type", 0)


@pytest.mark.parametrize(("name", "limit"), [("a.png", 10), ("a.pdf", 15)])
def test_a_file_is_as_large_as_its_kind_may_be(name: str, limit: int) -> None:
    assert rules(CHAT).check(file(name, limit * MB))
    assert refusal(rules(CHAT), name, limit * MB + 1) == ("too_large", limit)


def test_a_server_that_tells_no_limits_has_difys_own() -> None:
    assert FileRules.from_parameters({"file_upload": CHAT}).limits[FileKind.IMAGE] == 10


@pytest.mark.parametrize("uploads", [{"enabled": False, **{k: v for k, v in CHAT.items() if k != "enabled"}}, {}, None])
def test_an_app_without_uploads_takes_nothing(uploads: object) -> None:
    found = rules(uploads)
    assert (found.enabled, found.number) == (False, 0)
    assert refusal(found, "a.png") == ("no_uploads", 0)


def test_an_older_app_has_a_switch_for_pictures_only() -> None:
    found = rules({"image": {"enabled": True, "number_limits": 2, "transfer_methods": ["local_file"]}})
    assert (found.enabled, found.number) == (True, 2)
    assert found.check(file("a.png")) is FileKind.IMAGE
    assert refusal(found, "a.pdf") == ("wrong_type", 0)


@pytest.mark.parametrize("extension", [".zip", "ZIP", "zip"])
def test_an_extension_that_the_app_names_makes_a_custom_file(extension: str) -> None:
    uploads = {**CHAT, "allowed_file_types": ["image", "custom"], "allowed_file_extensions": [extension]}
    assert rules(uploads).check(file("a.Zip")) is FileKind.CUSTOM
    assert rules(uploads).check(file("a.png")) is FileKind.IMAGE
    assert refusal(rules(uploads), "a.pdf") == ("wrong_type", 0)


def test_named_extensions_count_only_where_custom_files_are_allowed() -> None:
    assert refusal(rules({**CHAT, "allowed_file_extensions": [".zip"]}), "a.zip") == ("wrong_type", 0)


def test_an_app_that_names_no_kinds_takes_all() -> None:
    found = rules({**CHAT, "allowed_file_types": []})
    assert found.check(file("a.mp4")) is FileKind.VIDEO
    assert found.check(file("a.zip")) is FileKind.CUSTOM


def test_a_declared_file_input_stands_in_for_uploads() -> None:
    declared = {"variable": "doc", "label": "Doc", "required": True, "allowed_file_types": ["document"]}
    found = rules({"enabled": False}, user_input_form=[{"paragraph": {"variable": "query"}}, {"file": declared}])
    assert (found.enabled, found.kinds, found.number) == (True, frozenset({"document"}), 1)


def test_a_declared_list_of_files_has_its_own_number() -> None:
    declared = {"variable": "docs", "allowed_file_types": ["document"], "max_length": 5}
    assert rules({"enabled": False}, user_input_form=[{"file-list": declared}]).number == 5


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPG", FileKind.IMAGE),
        ("a.b.webm", FileKind.VIDEO),
        ("a.amr", FileKind.AUDIO),
        ("a.ogg", FileKind.AUDIO),
        ("a.docx", FileKind.DOCUMENT),
        ("a.log", FileKind.DOCUMENT),
        ("a.zip", FileKind.CUSTOM),
        ("README", FileKind.CUSTOM),
        (".png", FileKind.CUSTOM),
        ("", FileKind.CUSTOM),
    ],
)
def test_the_extension_decides_the_kind(name: str, kind: FileKind) -> None:
    assert kind_of(name) is kind


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CHAT, "file", "file-list"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["file_upload", "system_parameters", "user_input_form"]), json_values))
def test_any_parameters_are_rules(body: dict[str, Any]) -> None:
    found = FileRules.from_parameters(json.loads(json.dumps(body)))
    assert found.number >= 0
    with suppress(FileRefused):
        found.check(file("a.png"))
