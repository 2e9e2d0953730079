"""A form that a paused run waits for, and what a person in the chat makes of it: buttons pressed, texts typed. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from cardbot.errors import StoreError
from cardbot.events import FormRequested
from cardbot.ports import Button
from cardbot.texts import Texts
from cardbot.words import Word

FORM_ACTION = "form:"
"""How the action of a form's button begins, so that no form of a flow can be mistaken for Stop."""

MARK = 8
"""Characters of the hash of a form's token that tell its buttons from those of other forms. Our choice: the forms of
one answer are few, and nobody can find the token from them."""

COLORS = {"primary": "blue", "accent": "red"}
"""Dify's `button_style` in DingTalk's words; all others are gray."""

TYPED = "typed"
"""The type of a default that a person wrote. Dify has none of that name, and what is written may be empty."""

_PLACEHOLDER = re.compile(r"\{\{#\$output\.([^#{}]+)#\}\}")
"""Where a field stands in the text of a form. Seen: the form editor of Dify 1.13 and later."""

_NAMED = re.compile(r"([^:：]{1,100})[:：](.*)", re.DOTALL)
"""A line that names its field. No white space beside the groups: to divide it between them takes time without end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a waiting form can make use of. Kept in the store: the next message may come to another process."""

    person: str
    """Whom the form was shown to."""
    fields: bool
    actions: tuple[str, ...]
    """Ids and titles."""
    until: float
    """Unix time in seconds."""
    reply_id: str
    """Which answer shows the form: several of one person may wait, and a text is meant for one of them."""
    carriers: tuple[str, ...] = ()
    """What quotes of its cards refer to, as far as that is known."""
    aside: bool = False
    """Whether the person has begun anew since: what is typed is meant for it only if it quotes its card."""

    def fits(self, word: Word, now: float) -> bool:
        """Whether a typed text is meant for the form, and no question."""
        if word.person != self.person or now >= self.until or not word.text:
            return False
        return self.fields or _said(word.text) in {_said(name) for name in self.actions}


def kept_of(waiting: Sequence[Wanted]) -> str:
    """The forms of one person that wait, as they are kept; empty if there are none."""
    return json.dumps([asdict(wanted) for wanted in waiting], ensure_ascii=False) if waiting else ""


def meant(waiting: Sequence[Wanted], quoted_card: str) -> list[Wanted]:
    """Those that a message may be meant for: who quotes a card speaks of that one, be it a form's or another."""
    if quoted := [wanted for wanted in waiting if quoted_card and quoted_card in wanted.carriers]:
        return quoted
    return [wanted for wanted in waiting if not (wanted.aside or (quoted_card and wanted.carriers))]


def waiting_in(kept: str) -> tuple[Wanted, ...]:
    """The same, as they were kept, oldest first. Raises `StoreError` for what another version may have kept."""
    try:
        return tuple(
            Wanted(
                *(one["person"], one["fields"], tuple(one["actions"]), one["until"], one["reply_id"]),
                carriers=tuple(one.get("carriers", ())),
                aside=one.get("aside", False),
            )
            for one in (json.loads(kept) if kept else [])
        )
    except (ValueError, TypeError, KeyError):
        raise StoreError("The store holds a waiting form that this version cannot read.") from None


class FormReply:
    """One form as it is filled in. It is done when an action is chosen and every field has a value."""

    def __init__(self, form: FormRequested, texts: Texts) -> None:
        self.values: dict[str, str] = {}
        self._form = form
        self._texts = texts
        self._fields = [name for field in form.inputs if (name := _text(field, "output_variable_name"))]
        self._actions = {_text(action, "id"): _text(action, "title") or _text(action, "id") for action in form.actions}
        self._action = ""
        self._mark = f"#{sha256(form.token.encode()).hexdigest()[:MARK]}"
        self._remark = form.remark
        for field in form.inputs:
            default = field.get("default")
            if not isinstance(default, Mapping):
                continue
            kind, value = default.get("type"), _text(default, "value")
            if kind == TYPED or (kind == "constant" and value):
                self.values[_text(field, "output_variable_name")] = value

    @property
    def form(self) -> FormRequested:
        """The form with what is filled in: shown again, it begins with that."""
        fields = [
            {**field, "default": {"type": TYPED, "value": self.values[name]}} if name in self.values else field
            for field in self._form.inputs
            for name in [_text(field, "output_variable_name")]
        ]
        return replace(self._form, inputs=tuple(fields), remark=self._remark)

    @property
    def action(self) -> str:
        """The id of the action that was chosen; empty as long as something is missing."""
        return "" if self._missing else self._action

    @property
    def title(self) -> str:
        """What people call that action."""
        return self._actions.get(self._action, "")

    @property
    def buttons(self) -> tuple[Button, ...]:
        """One for each action."""
        return tuple(
            Button(
                f"{FORM_ACTION}{_text(action, 'id')}", self._actions[_text(action, "id")], _color(action), self._mark
            )
            for action in self._form.actions
        )

    def wanted(self, person: str, *, until: float, reply_id: str, carriers: Iterable[str] = ()) -> Wanted:
        """What may be typed."""
        names = (*self._actions, *self._actions.values())
        return Wanted(person, bool(self._fields), names, until, reply_id, tuple(carriers))

    def press(self, action: str) -> None:
        """A button of the card. One that is not of this form does nothing, as if pressed twice on the form before."""
        if not action.startswith(FORM_ACTION):
            return
        if (id_ := action.removeprefix(FORM_ACTION).removesuffix(self._mark)) in self._actions:
            self._action, self._remark = id_, ""

    def type(self, text: str) -> None:
        """A message: the name of an action, or what is to stand in a field, the first that has nothing yet."""
        self._remark = ""
        for id_, title in self._actions.items():
            if _said(text) in (_said(id_), _said(title)):
                self._action = id_
                return
        if named := self._named(text):
            self.values.update(named)
        elif self._fields:
            self.values[next(iter(self._missing), self._fields[-1])] = text
        if not self._missing and len(self._actions) == 1:
            self._action = next(iter(self._actions))

    @property
    def content(self) -> str:
        """The text of the form, with what is filled in."""
        shown = _PLACEHOLDER.sub(lambda field: self.values.get(field[1], f"**[{field[1]}]**"), self._form.content)
        return shown.strip()

    @property
    def markdown(self) -> str:
        """The form as it is now, and what is to be done."""
        parts = [self.content]
        if filled := [f"{name}: {self.values[name]}" for name in self._fields if name in self.values]:
            parts.append(self._texts.filled_in.format(fields="; ".join(filled)))
        if self._missing:
            parts.append(self._texts.fill_in.format(fields=", ".join(self._missing)))
        parts.append(self._remark)
        if self._actions and not self._action:
            parts.append(self._texts.choose.format(actions=" / ".join(self._actions.values())))
        return "\n\n".join(part for part in parts if part)

    @property
    def _missing(self) -> list[str]:
        return [name for name in self._fields if name not in self.values]

    def _named(self, text: str) -> dict[str, str]:
        """Lines such as `name: value`, if every line is one and names a field."""
        found: dict[str, str] = {}
        for line in text.splitlines():
            match = _NAMED.fullmatch(line)
            if match is None or match[1].strip() not in self._fields:
                return {}
            found[match[1].strip()] = match[2].strip()
        return found


def _said(text: str) -> str:
    return text.strip().casefold()


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _color(action: Mapping[str, Any]) -> str:
    return COLORS.get(_text(action, "button_style"), "gray")
