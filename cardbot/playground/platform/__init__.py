"""A DingTalk open platform on the loopback interface: it talks to one bot, and judges it."""

from cardbot.playground.platform.cards import State
from cardbot.playground.platform.server import TEMPLATE_ID, Platform

__all__ = ["TEMPLATE_ID", "Platform", "State"]
