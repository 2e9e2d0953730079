"""A card's template: its variables in each state, and who moves it from state to state.

Own templates follow the streaming calls by themselves: pending at first, writing from the first frame on, done or
failed with the last. DingTalk's shared template is told its state in so many words, by updates of `flowStatus`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cardbot.ports import Button

PENDING, WRITING, DONE, FAILED = "1", "2", "3", "5"
"""Values of `flowStatus`. Seen: the official SDK's `AICardStatus`, and exported templates."""

_WIDE = {"config": '{"autoLayout":true}'}


class Family(Enum):
    """Who moves a template from state to state."""

    OWN = "own"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Template:
    """Which card is shown, and the name of its streamed variable.

    The methods give a card's variables. All values are strings; objects are JSON in a string.
    """

    id: str
    content_key: str
    family: Family = Family.OWN
    buttons_key: str = "buttons"
    """Of an own template, whose writing state shows what is in it; a template without it shows no buttons."""

    @property
    def least_calls(self) -> int:
        """Calls for one card from its creation to its final state, without a text frame between."""
        return 2 if self.family is Family.OWN else 4

    def at_first(self, buttons: Sequence[Button]) -> dict[str, str]:
        """Of a card that has no text yet."""
        if self.family is Family.OWN:
            return {self.content_key: "", **_WIDE, **self._own(buttons)}
        return self._shared(PENDING, "")

    def writing(self, buttons: Sequence[Button]) -> dict[str, str]:
        """Of the shared template before its first frame."""
        return self._shared(WRITING, "", buttons)

    def offering(self, buttons: Sequence[Button]) -> dict[str, str]:
        """Of a card that offers something else than before. Its state is left alone: it may come late."""
        if self.family is Family.OWN:
            return self._own(buttons)
        return {"sys_full_json_obj": self._shape(buttons)}

    def closed(self, text: str, *, failed: bool) -> dict[str, str]:
        """Of a card in its final state. Own templates follow `flowStatus` too, as their compiled markup shows."""
        state = FAILED if failed else DONE
        if self.family is Family.OWN:
            return {self.content_key: text, "flowStatus": state}
        return self._shared(state, text)

    def _own(self, buttons: Sequence[Button]) -> dict[str, str]:
        return {
            self.buttons_key: _json(
                [
                    {
                        "text": button.text,
                        "color": button.color,
                        "status": "normal",
                        # Said twice: where the action's id comes back depends on the client, its parameters do not.
                        "event": {
                            "type": "sendCardRequest",
                            "params": {"actionId": button.action, "params": {"action": button.action + button.mark}},
                        },
                    }
                    for button in buttons
                ]
            )
        }

    def _shared(self, state: str, text: str, buttons: Sequence[Button] = ()) -> dict[str, str]:
        return {
            "flowStatus": state,
            self.content_key: text,
            "staticMsgContent": "",
            "sys_full_json_obj": self._shape(buttons),
            **_WIDE,
        }

    def _shape(self, buttons: Sequence[Button]) -> str:
        """Of the shared template: what it shows, in which order."""
        if not buttons:
            return _json({"order": [self.content_key]})
        pressed = [
            {"text": button.text, "color": button.color, "id": button.action, "request": True} for button in buttons
        ]
        return _json({"order": [self.content_key, "msgButtons"], "msgButtons": pressed})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


SHARED_TEMPLATE = Template("02fcf2f4-5e02-4a85-b672-46d1f715543e.schema", "msgContent", Family.PUBLIC)
"""DingTalk's public AI card. Seen: the official connector uses it in every app; nobody promises that it stays."""
