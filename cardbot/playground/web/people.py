"""Who is in the playground's organisation, and the chats they have with the robot."""

from dataclasses import dataclass
from typing import Any

from cardbot.playground.platform.incoming import direct_conversation

ROBOT = "cardbot"
"""The robot's name in the chats. People mention it as `@cardbot`."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the organisation. `id` is the staff id."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group with the robot in it. `titles` by language."""

    id: str
    titles: dict[str, str]
    members: tuple[Person, ...]


TEAM = tuple(Person(f"user{number:04}", name) for number, name in enumerate(["Ada", "林薇", "Mateo", "陈晨"], start=1))
# fmt: off
_OTHERS = [
    "Grace", "王芳", "Linus", "李娜", "Edsger", "张伟", "Barbara", "刘洋",
    "Alan", "赵敏", "Margaret", "孙磊", "Donald", "周婷", "Radia", "吴昊",
]
# fmt: on
EVERYONE = TEAM + tuple(Person(f"user{number:04}", name) for number, name in enumerate(_OTHERS, start=len(TEAM) + 1))
"""Twenty: as many as ask at once."""

PRODUCT = Group("cidPRODUCT0001==", {"en": "Product team", "zh": "产品讨论组"}, TEAM)
ALL_HANDS = Group("cidALLHANDS001==", {"en": "All hands", "zh": "全员群"}, EVERYONE)
GROUPS = {group.id: group for group in (PRODUCT, ALL_HANDS)}
PEOPLE = {person.id: person for person in EVERYONE}


def listed() -> dict[str, Any]:
    """All of them, for the page."""
    chats = [{"id": direct_conversation(person.id), "kind": "direct", "members": [person.id]} for person in EVERYONE]
    groups = [
        {"id": group.id, "kind": "group", "title": group.titles, "members": [person.id for person in group.members]}
        for group in GROUPS.values()
    ]
    return {
        "robot": ROBOT,
        "people": [{"id": person.id, "name": person.name} for person in EVERYONE],
        "chats": chats + groups,
    }
