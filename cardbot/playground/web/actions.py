"""What people do on the page: write, send files, press buttons, switch faults. JSON in, deeds at the platform out."""

import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from cardbot.playground.platform import contents
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.incoming import BOT_ID, direct_conversation
from cardbot.playground.platform.pushes import Message
from cardbot.playground.samples import recorded
from cardbot.playground.web.asides import fills_in, stops
from cardbot.playground.web.feed import Feed
from cardbot.playground.web.people import ALL_HANDS, EVERYONE, GROUPS, PEOPLE, ROBOT, Person
from cardbot.playground.web.questions import CROWD
from cardbot.playground.web.switches import SWITCHES, Switchboard, UnknownSwitch
from cardbot.playground.web.threads import Threads
from cardbot.playground.world import World

TEXT_LIMIT = 6000
"""Characters of a message. Our choice: some pages; DingTalk's own limit is not published."""

MENTION = re.compile(rf"(?<![a-z0-9_+-])@{ROBOT}(?![a-z0-9_-]|\.[a-z0-9])", re.IGNORECASE)
"""The robot's name after an @, in any case. Not in "a@cardbot.com"; Chinese may stand close to it."""

SECOND_PUSH = 1.0
"""Seconds until a message is pushed again while redelivery is on. Our choice: while the answer is being written."""

RECONNECTS_WITHIN = 180.0
"""Seconds a message waits for the bot to connect again: longer than it takes to notice a dead connection (75 s)."""

PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
"""Content types that the page shows. Our choice: no SVG, which can carry scripts."""


class BadAction(Exception):
    """Raised for an action that the page would not send. The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that somebody sent, as the page shows it again."""

    content: bytes
    type: str


class Actions:
    """Does what the page asks for, and puts the people's own messages on it.

    `look` looks at the platform when nothing happened there, only its settings changed.
    """

    def __init__(
        self, world: World, feed: Feed, threads: Threads, *, look: Callable[[], None], tasks: TaskGroup
    ) -> None:
        self.attachments: dict[str, Attachment] = {}
        self._platform = world.platform
        self._feed = feed
        self._threads = threads
        self._switchboard = Switchboard(world)
        self._look = look
        self._tasks = tasks
        self._count = 0
        self._said: dict[str, Json] = {}
        """Each message as a quote of it would have it."""
        self._put_switches()

    async def do(self, name: str, body: Mapping[str, Any]) -> None:
        """One action by name. Raises BadAction."""
        match name:
            case "say":
                await self._say(body)
            case "voice":
                await self._voice(body)
            case "click":
                self._click(body)
            case "switch":
                await self._turn(_text(body, "id"), on=body.get("on") is True)
            case "slide":
                self._slide(_text(body, "id"), body.get("value"))
            case "crowd":
                await self._crowd("zh" if body.get("language") == "zh" else "en")
            case _:
                raise BadAction(f"no action {name!r}")

    async def upload(self, *, chat: str, speaker: str, name: str, kind: str, content: bytes) -> None:
        """A picture or a file. Raises BadAction."""
        person = _person(speaker, chat)
        code = uuid.uuid4().hex
        self._platform.files[code] = content
        self.attachments[code] = Attachment(content, kind)
        is_picture = kind in PICTURES
        data = contents.picture(code) if is_picture else contents.file(code, name)
        shown: Json = {"content": data["msgtype"], "name": name, "size": len(content)}
        # Nobody can be mentioned in a file. The playground lets the robot have it all the same, and the page says so.
        shown |= {"media": code if is_picture else "", "assumed": chat in GROUPS}
        await self._push(data, person, chat, "", shown)

    async def _say(self, body: Mapping[str, Any]) -> None:
        text, chat = _text(body, "text").strip(), _text(body, "chat")
        if not text or len(text) > TEXT_LIMIT:
            raise BadAction(f"a text has 1 to {TEXT_LIMIT} characters")
        person = _person(_text(body, "speaker"), chat)
        shown: Json = {"content": "text", "text": text}
        quoted = self._quote(body.get("quote"))
        if quoted:
            shown["quote"] = quoted[1]
        in_group = chat in GROUPS
        if in_group and not MENTION.search(text):
            # documented: a robot in a group gets the messages that mention it, and no others.
            id = self._show(person, chat, {**shown, "unaddressed": True})
            self._said[id] = _quotable({"msgtype": "text", "text": {"content": text}}, person)
            return
        # DingTalk takes the robot's mention out of the text, and leaves the blank behind it.
        question = MENTION.sub("", text, count=1) if in_group else text
        data: Json = {"msgtype": "text", "text": {"content": question, **(quoted[0] if quoted else {})}}
        if card := self._platform.cards.get(str(body.get("quote"))):
            data["originalProcessQueryKey"] = card.carrier
        mentioned = [member for member in PEOPLE.values() if f"@{member.name}" in text]
        if in_group and mentioned:
            others = [{"dingtalkId": _sender(member), "staffId": member.id} for member in mentioned]
            data["atUsers"] = [{"dingtalkId": BOT_ID}, *others]
        if self._is_aside(question, person, chat):
            shown["aside"] = True
        await self._push(data, person, chat, question, shown)

    async def _voice(self, body: Mapping[str, Any]) -> None:
        """seen: the client's own transcript comes along as `recognition`, or does not; `duration` in milliseconds."""
        text, chat = _text(body, "text").strip(), _text(body, "chat")
        person = _person(_text(body, "speaker"), chat)
        seconds = max(1, round(len(text) / 6))
        code = uuid.uuid4().hex
        self._platform.files[code] = recorded(text)
        silent = body.get("transcript") is False
        data = contents.audio(code, "" if silent else text)
        data["content"]["duration"] = seconds * 1000
        shown: Json = {"content": "voice", "text": text, "seconds": seconds, "silent": silent}
        await self._push(data, person, chat, text, {**shown, "assumed": chat in GROUPS})

    def _click(self, body: Mapping[str, Any]) -> None:
        card = self._platform.cards.get(_text(body, "card"))
        action, user = _text(body, "action"), _text(body, "speaker")
        if card is None or not any(button.action == action and button.works for button in card.buttons):
            raise BadAction("no such button")

        async def click() -> None:
            # Nobody listens to callbacks, or nobody answered: the wire shows which. Or it is gone since the look above.
            with suppress(TimeoutError, ValueError):
                await self._platform.click(card, action, user=user)

        self._tasks.start_soon(click)

    async def _turn(self, id: str, *, on: bool) -> None:
        try:
            await self._switchboard.turn(id, on=on)
        except UnknownSwitch as exc:
            raise BadAction(f"no switch {id!r}") from exc
        self._put_switches()
        self._look()

    def _slide(self, id: str, value: object) -> None:
        if not isinstance(value, int | float):
            raise BadAction("a slider has a number")
        try:
            self._switchboard.slide(id, float(value))
        except UnknownSwitch as exc:
            raise BadAction(f"no slider {id!r}") from exc
        self._look()

    async def _crowd(self, language: str) -> None:
        """Everybody asks at the same moment."""
        for number, person in enumerate(EVERYONE):
            question = CROWD[language][number % len(CROWD[language])]
            await self._say({"chat": ALL_HANDS.id, "speaker": person.id, "text": f"@{ROBOT} {question}"})

    async def _push(self, data: Json, person: Person, chat: str, question: str, shown: Json) -> None:
        id = self._show(person, chat, shown)
        if not shown.get("aside"):
            self._threads.ask(id, chat=chat, user=person.id, text=question)
        who = {"senderStaffId": person.id, "senderId": _sender(person), "senderNick": person.name}
        where = {"conversationId": chat, "conversationTitle": GROUPS[chat].titles["en"]} if chat in GROUPS else {}
        self._said[id] = _quotable(data, person)
        message = await self._platform.push({**data, **who, **where})
        self._said[id]["msgId"] = message.id
        if not message.deliveries:
            self._feed.put("message", id, waits=True)
            self._tasks.start_soon(self._deliver_late, id, message)
        elif "redelivery" in self._switchboard.on:
            self._tasks.start_soon(self._deliver_twice, message)

    async def _deliver_late(self, id: str, message: Message) -> None:
        """Whether DingTalk pushes again what nobody took is disputed; here it does, so that each message has an end."""
        try:
            await self._platform.wait_for(lambda: self._platform.connections, timeout=RECONNECTS_WITHIN)
        except TimeoutError:
            self._feed.put("message", id, waits=False, lost=True)
            return
        self._feed.put("message", id, waits=False)
        await self._platform.push_again(message)

    async def _deliver_twice(self, message: Message) -> None:
        await anyio.sleep(SECOND_PUSH)
        await self._platform.push_again(message)

    def _show(self, person: Person, chat: str, fields: Json) -> str:
        self._count += 1
        id = f"message{self._count}"
        self._feed.put("message", id, chat=chat, sender=person.id, at=self._feed.now(), **fields)
        return id

    def _is_aside(self, question: str, person: Person, chat: str) -> bool:
        """Whether this is said to an answer that is under way, and gets none of its own: a stop, or a form's field."""
        messages = self._threads.under_way(chat=chat, user=person.id)
        if stops(question):
            return bool(messages)
        return any(fills_in(question, card) for card in self._feed.all("card") if card["message"] in messages)

    def _quote(self, id: object) -> tuple[Json, Json] | None:
        """What a quoted message adds to the text's fields, and what the page shows of it.

        seen: `isReplyMsg` and `repliedMsg`; of a robot's card there is its kind and its sender, and no text, but a key
        beside it.
        """
        if not isinstance(id, str) or not id:
            return None
        for kind in ("message", "card", "reply"):
            try:
                quoted = self._feed.get(kind, id)
            except KeyError:
                continue
            sender = PEOPLE[quoted["sender"]].name if kind == "message" else ROBOT
            text = str(quoted.get("text") or quoted.get("name") or "")
            replied: Json = {"createdAt": time.time_ns() // 1_000_000, "senderNick": sender}
            if kind == "message":
                replied |= self._said[id]
            else:
                replied |= {"msgType": "interactiveCard" if kind == "card" else "text", "senderId": BOT_ID}
                if kind == "reply":
                    replied["content"] = {"text": text}
            return {"isReplyMsg": True, "repliedMsg": replied}, {"id": id, "name": sender, "text": text[:120]}
        raise BadAction("no such message to quote")

    def _put_switches(self) -> None:
        for switch in SWITCHES:
            self._feed.put(
                "switch", switch.id, side=switch.side, form=switch.form, on=switch.id in self._switchboard.on
            )


def _quotable(data: Json, person: Person) -> Json:
    """seen: what a quote holds of a message: its kind and content, with the codes of its files, and its sender."""
    kind = data["msgtype"]
    content = {"text": data["text"]["content"]} if kind == "text" else data["content"]
    return {"msgType": kind, "content": content, "senderId": _sender(person), "senderNick": person.name}


def _sender(person: Person) -> str:
    return f"$:LWCP_v1:${person.id}=="


def _person(id: str, chat: str) -> Person:
    """Who speaks, if they are in this chat. Raises BadAction."""
    person = PEOPLE.get(id)
    members = GROUPS[chat].members if chat in GROUPS else ()
    if person is None or (person not in members and chat != direct_conversation(id)):
        raise BadAction("nobody of this name is in this chat")
    return person


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise BadAction(f"{name} is missing")
    return value
