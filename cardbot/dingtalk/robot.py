"""What the robot API takes and tells: messages that answer no message. Pure.

documented: help.dingtalk.io chatbots-send-one-on-one-chat-messages-in-batches and the-robot-sends-a-group-message,
read 2026-11.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alibabacloud_dingtalk.robot_1_0 import models

from cardbot import paging
from cardbot.errors import DingTalkUnreachable
from cardbot.harmless import harmless

ROBOT_MESSAGE_LIMIT = 15_000
"""Bytes of the `msgParam` of one robot message. Documented: open.dingtalk.com robot-message-type, read 2026-11."""

PEOPLE_OF_A_CALL = 20
"""People whom one call may name. Documented: the pages above."""

NOT_THERE = frozenset({"staffId.notExisted", "invalid.openConversationId", "openConversationId.notExisted"})
"""The codes for a person whom the organisation does not have, and for a group that there is not or that the robot is
not in. The first one was seen, in public programs that name one person; documented is the list `invalidStaffIdList`, so
of a call with many either is to be expected. The others: documented, error codes of the robot APIs."""


@dataclass(frozen=True, slots=True)
class SendReport:
    """Whom a robot message did not reach, by staff id."""

    invalid: tuple[str, ...]
    flow_controlled: tuple[str, ...]
    """Too many messages to them at the moment; may be repeated."""
    filtered: tuple[str, ...]


def markdown_param(title: str, markdown: str) -> str:
    """The `msgParam` of a markdown message: JSON as text."""
    message = {"title": harmless(title), "text": harmless(markdown)}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def robot_pieces(title: str, markdown: str) -> list[str]:
    """The text in as many pieces as it takes messages. The title is short: about a line."""
    return paging.parcels(markdown, ROBOT_MESSAGE_LIMIT, lambda piece: len(markdown_param(title, piece).encode()))


def people_request(robot_code: str, user_ids: Sequence[str], *, title: str, markdown: str) -> Any:
    """The typed request for a markdown message to people, each in their own chat with the robot."""
    return models.BatchSendOTORequest(
        robot_code=robot_code,
        user_ids=list(user_ids),
        msg_key="sampleMarkdown",
        msg_param=markdown_param(title, markdown),
    )


def group_request(robot_code: str, open_conversation_id: str, *, title: str, markdown: str) -> Any:
    """The typed request for a markdown message to a group."""
    return models.OrgGroupSendRequest(
        robot_code=robot_code,
        open_conversation_id=open_conversation_id,
        msg_key="sampleMarkdown",
        msg_param=markdown_param(title, markdown),
    )


def send_report(body: Any) -> SendReport:
    """The lists of an answer about people; one that is not there is an empty one.

    Raises `DingTalkUnreachable` if they cannot be read: who got the message is not known.
    """
    lists = (body.invalid_staff_id_list, body.flow_controlled_staff_id_list, body.filtered_staff_id_list)
    if not all(ids is None or isinstance(ids, list) for ids in lists):
        raise DingTalkUnreachable("DingTalk's answer does not say whom the message reached: it may have been sent.")
    return SendReport(*(tuple(map(str, ids or ())) for ids in lists))
