"""What a Dify says of one of its apps. Pure."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from cardbot.playground.dify.release import App, Json, Release

_OFF = {"enabled": False}

_BARE: Json = {
    "opening_statement": "",
    "suggested_questions": [],
    "suggested_questions_after_answer": _OFF,
    "speech_to_text": _OFF,
    "text_to_speech": {**_OFF, "voice": "", "language": ""},
    "retriever_resource": {"enabled": True},
    "annotation_reply": _OFF,
    "more_like_this": _OFF,
    "user_input_form": [],
    "sensitive_word_avoidance": {**_OFF, "type": "", "configs": []},
    "file_upload": {**_OFF, "number_limits": 3},
    "system_parameters": {
        "image_file_size_limit": 10,
        "video_file_size_limit": 100,
        "audio_file_size_limit": 50,
        "file_size_limit": 15,
        "workflow_file_upload_limit": 10,
    },
}
"""The parameters of an app without inputs, files or extras."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One app, as its builder set it up."""

    app: App
    release: Release
    inputs: Sequence[Json] = ()
    """Its `user_input_form`."""
    file_upload: Json | None = None
    """Its settings for files; None: it takes none."""
    listens: bool = False
    """Whether it turns speech into text."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def parameters(self) -> Json:
        """`GET /parameters`."""
        return {
            **_BARE,
            "user_input_form": list(self.inputs),
            "speech_to_text": {"enabled": self.listens},
            "file_upload": self.file_upload or _BARE["file_upload"],
        }

    def info(self) -> Json:
        """`GET /info`. Old releases did not tell the kind of app."""
        info: Json = {"name": "Playground", "description": "", "tags": []}
        return info if self.release.old_json else {**info, "mode": self.app, "author_name": "Playground"}
