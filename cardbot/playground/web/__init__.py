"""The playground in the browser: the chat as people see it, the wire beside it, and everything that can go wrong.

It listens on the loopback interface only, and takes requests from its own page only: see `guard`.
"""

from cardbot.playground.web.recording import BadRecording
from cardbot.playground.web.serve import BadPort, playground, replay

__all__ = ["BadPort", "BadRecording", "playground", "replay"]
