"""A Dify that answers as it is told: recorded byte for byte, or from a script, with every way to fail."""

from cardbot.playground.dify.replay import Replay
from cardbot.playground.dify.script import Drop, Hang, Html, Pause, Refuse, Script
from cardbot.playground.dify.server import FakeDify

__all__ = ["Drop", "FakeDify", "Hang", "Html", "Pause", "Refuse", "Replay", "Script"]
