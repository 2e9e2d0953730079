"""What is written down about a reply while it is open, so that it can be finished whatever happens to this process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from cardbot.errors import UnreadableReply
from cardbot.events import FileProduced, FormRequested, Identified
from cardbot.messages import Incoming
from cardbot.surrogates import mended


@dataclass(frozen=True, slots=True)
class Ending:
    """The last text, written down before it is shown: whoever takes over shows exactly this."""

    markdown: str
    failed: bool


@dataclass(frozen=True, slots=True)
class OpenReply:
    """A message that has no visible final state yet, and how far its answer is."""

    incoming: Incoming
    asked: bool = False
    """Whether Dify may have been asked. It must not be asked again then."""
    ids: Identified = field(default_factory=Identified)
    """What Dify calls the answer: the way back to it."""
    text: str = ""
    """The answer so far."""
    remarks: tuple[str, ...] = ()
    """What is to be known of it, such as that a file was not read."""
    files: tuple[FileProduced, ...] = ()
    """Those that it has produced so far."""
    ending: Ending | None = None
    form: FormRequested | None = None
    """What the run waits for a person to fill in. Nothing happens until then."""
    form_gone: bool = False
    """Whether that form may be handed in, or its time may be over: Dify has to be asked."""
    unseen: bool = False
    """Whether nobody sees a card of it, nor ever will."""
    plain: str | None = None
    """What is about to be said in a plain reply, because no card takes it. The card is not to be touched any more."""
    carriers: Mapping[str, str] = field(default_factory=dict)
    """What quotes of its cards refer to, by the cards' ids. DingTalk says it once, when a card is created."""

    @property
    def is_ending(self) -> bool:
        """Whether its last text is known, and there is nothing more to wait for or to stop."""
        return self.ending is not None or self.plain is not None

    def to_json(self) -> str:
        """One line of JSON. It holds the session webhook: whoever can read the store may write to the chat."""
        record = json.dumps(_FORM.dump_python(self, mode="json"), ensure_ascii=False, separators=(",", ":"))
        return mended(record)

    @classmethod
    def from_json(cls, record: str) -> "OpenReply":
        """Raises `UnreadableReply` for a record in another form, as another version of cardbot may have left."""
        try:
            return _FORM.validate_json(record)
        except ValidationError as exc:
            problems = exc.errors(include_url=False, include_context=False, include_input=False)
            what = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems[:3])
            raise UnreadableReply(f"The store holds an open reply that this version cannot read: {what}.") from None


_FORM = TypeAdapter(OpenReply)
