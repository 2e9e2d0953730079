"""Where a card goes: `openSpaceId` with the models that belong to it.

documented: open.dingtalk.com create-and-deliver-cards, read 2026-11. Spaces other than a robot's direct chat and a
group do not occur with a chat bot and are refused.
"""

from dataclasses import dataclass, field

from cardbot.playground.platform.endpoint import Json, Refused

PREFIX = "dtv1.card//"

_MODELS = {
    "IM_ROBOT": ("imRobotOpenDeliverModel", "imRobotOpenSpaceModel"),
    "IM_GROUP": ("imGroupOpenDeliverModel", "imGroupOpenSpaceModel"),
}


@dataclass(slots=True)
class Directory:
    """Whom the organisation has: users who may get direct messages, and groups the robot is in."""

    users: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Space:
    """One chat a card can be shown in."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.kind}.{self.id}"


def check_space_models(body: Json) -> None:
    """A space model may be left out; a given one must say whether the card can be forwarded."""
    for _, name in _MODELS.values():
        if name not in body:
            continue
        model = body[name]
        if not isinstance(model, dict) or not isinstance(model.get("supportForward"), bool):
            raise Refused(400, "param.openSpaceModelInvalid", f"{name}.supportForward is required")


def read_spaces(body: Json, *, directory: Directory, robot_code: str) -> list[Space]:
    """The spaces to deliver to, each one known and with its deliver model."""
    value = body.get("openSpaceId")
    if not isinstance(value, str) or not value:
        raise Refused(400, "param.openSpaceIdEmpty", "openSpaceId is empty")
    return [_read_space(part, body, directory, robot_code) for part in value.split(";")]


def _read_space(text: str, body: Json, directory: Directory, robot_code: str) -> Space:
    kind, dot, space_id = text.removeprefix(PREFIX).partition(".")
    if not text.startswith(PREFIX) or not dot or kind not in _MODELS:
        raise Refused(400, "param.openSpaceIdInvalid", f"{text} is not {PREFIX}IM_ROBOT.… or {PREFIX}IM_GROUP.…")
    if kind == "IM_GROUP" and space_id not in directory.groups:
        raise Refused(400, "param.openSpaceIdInvalid", f"no group {space_id}")
    if kind == "IM_ROBOT" and space_id not in directory.users:
        raise Refused(400, "param.userIdNotExist", f"no user {space_id}")
    name, _ = _MODELS[kind]
    model = body.get(name)
    if not model:
        raise Refused(400, "param.openDeliverModelEmpty", f"{name} is empty")
    # The group model must name the robot; the official SDK sends the direct one with nothing but its type.
    named = isinstance(model, dict) and (kind != "IM_GROUP" or "robotCode" in model)
    if not named or model.get("robotCode", robot_code) != robot_code or model.get("spaceType", kind) != kind:
        raise Refused(400, "param.openDeliverModelError", f"{name} needs robotCode {robot_code}")
    return Space(kind, space_id)
