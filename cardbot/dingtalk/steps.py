"""The calls that a card of DingTalk is made of."""

from enum import Enum

from cardbot.pacing import Rank

CREATE_PATH = "/v1.0/card/instances/createAndDeliver"
STREAM_PATH = "/v1.0/card/streaming"
UPDATE_PATH = "/v1.0/card/instances"


class Step(Enum):
    """One call, by its name, rank and API path. The name tells those apart that have the same rank and path."""

    CREATE = ("create", Rank.NEW, CREATE_PATH)
    BEGIN = ("begin", Rank.NEW, UPDATE_PATH)
    """Shared template only: to the writing state."""
    OFFER = ("offer", Rank.NEW, UPDATE_PATH)
    """Other buttons than before: somebody is to press one."""
    FRAME = ("frame", Rank.LIVE, STREAM_PATH)
    FINAL = ("final", Rank.FINAL, STREAM_PATH)
    CLOSE = ("close", Rank.FINAL, UPDATE_PATH)
    """Shared template: to the done or failed state. Own template: last resort, when the final frame is refused."""

    def __init__(self, _: str, rank: Rank, path: str) -> None:
        self.rank = rank
        self.path = path
