"""The robot endpoints: messages without a prior question.

documented: open.dingtalk.com robot APIs and message types, read 2026-11; the codes about `userIds` and `msgKey` as in
help.dingtalk.io the-robot-sends-ordinary-messages-in-a-person-to-person-conversation, read 2026-11. seen: public
programs report `staffId.notExisted` for a call that names one unknown person, so either reading can be chosen.
"""

import json
import uuid
from typing import Literal

from cardbot.playground.http import Response
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Json, Refused
from cardbot.playground.platform.ledger import Ledger, Reply
from cardbot.playground.platform.spaces import Directory

PARAM_LIMIT = 15_000
"""Bytes of `msgParam`. documented: error text of the robot APIs, read 2026-11."""

USER_LIMIT = 20
"""Users of one call. documented: oToMessages/batchSend, read 2026-11."""

_FIELDS = {
    "sampleText": ("content",),
    "sampleMarkdown": ("title", "text"),
    "sampleImageMsg": ("photoURL",),
    "sampleLink": ("text", "title", "messageUrl"),
    "sampleFile": ("mediaId", "fileName", "fileType"),
}
"""Required fields of each `msgKey` that is known here."""


class RobotApi:
    """Sends as the robot."""

    def __init__(self, ledger: Ledger, *, directory: Directory, robot_code: str) -> None:
        self.flow_controlled: dict[str, int] = {}
        self.filtered: set[str] = set()
        self.unknown_users: Literal["list", "refuse"] = "list"
        self._ledger = ledger
        self._directory = directory
        self._robot_code = robot_code

    def endpoints(self) -> dict[str, Endpoint]:
        """What is served here, by method and path."""
        return {
            "POST /v1.0/robot/oToMessages/batchSend": Endpoint(self._send_to_users),
            "POST /v1.0/robot/groupMessages/send": Endpoint(self._send_to_group),
        }

    def _send_to_users(self, call: Incoming) -> Response:
        key, param = self._read_message(call.body)
        users = call.body.get("userIds")
        if not isinstance(users, list) or not users or not all(isinstance(user, str) for user in users):
            raise Refused(400, "invalidParameter.userIds.empty", "userIds is a list of strings")
        if len(users) > USER_LIMIT:
            raise Refused(400, "invalidParameter.userIds.overMax", f"more than {USER_LIMIT} users")
        if len(set(users)) < len(users):
            self._ledger.objection("oToMessages/batchSend: names somebody twice")
        unknown = [user for user in users if user not in self._directory.users]
        if unknown and self.unknown_users == "refuse":
            raise Refused(400, "staffId.notExisted", "员工不存在")
        held = [user for user in users if user not in unknown and self.flow_controlled.get(user, 0) > 0]
        for user in held:
            self.flow_controlled[user] -= 1
        kept = [user for user in users if user not in (*unknown, *held) and user in self.filtered]
        reached = tuple(user for user in users if user not in (*unknown, *held, *kept))
        if reached:
            self._ledger.replies.append(
                Reply(call.now, "oToMessages", "", reached, key, param.get("title", ""), _text_of(param))
            )
        return Response.json(
            {
                "processQueryKey": uuid.uuid4().hex,
                "invalidStaffIdList": unknown,
                "flowControlledStaffIdList": held,
                "filteredStaffIdList": kept,
            }
        )

    def _send_to_group(self, call: Incoming) -> Response:
        key, param = self._read_message(call.body)
        group = call.body.get("openConversationId")
        if group not in self._directory.groups:
            raise Refused(400, "invalid.openConversationId", f"no group {group}")
        self._ledger.replies.append(
            Reply(call.now, "groupMessages", group, (), key, param.get("title", ""), _text_of(param))
        )
        return Response.json({"processQueryKey": uuid.uuid4().hex})

    def _read_message(self, body: Json) -> tuple[str, Json]:
        self._check_robot_code(body)
        key, text = body.get("msgKey"), body.get("msgParam")
        if key not in _FIELDS:
            raise Refused(400, "invalidParameter.msgKey.invalid", f"msgKey is one of {', '.join(_FIELDS)}")
        invalid = Refused(400, "invalidParameter.msgParam.invalid", f"{key} needs {_FIELDS[key]} in a JSON string")
        if not isinstance(text, str) or len(text.encode()) > PARAM_LIMIT:
            raise invalid
        try:
            param = json.loads(text)
        except ValueError as error:
            raise invalid from error
        if not isinstance(param, dict) or not all(isinstance(param.get(name), str) for name in _FIELDS[key]):
            raise invalid
        return key, param

    def _check_robot_code(self, body: Json) -> None:
        if body.get("robotCode") != self._robot_code:
            raise Refused(400, "invalidParameter.robotCode.auth", "robotCode is not the app's")


def _text_of(param: Json) -> str:
    text = param.get("text", param.get("content", ""))
    return text if isinstance(text, str) else ""
