"""Tells from two clocks that the machine slept. Pure.

A suspended machine wakes up with sockets that look open and are not: the other side, or a box between, dropped them
long ago. The clock of timeouts may have stood still meanwhile (Linux, macOS) or gone on (Windows); wall time has gone
on everywhere. So whichever clock moved further tells.
"""


class Watch:
    """Looked at every few seconds; says how much time passed unseen between two looks."""

    def __init__(self, *, wall: float, monotonic: float) -> None:
        self._wall = wall
        self._monotonic = monotonic

    def missed(self, *, wall: float, monotonic: float, expected: float) -> float:
        """Seconds since the last look beyond those `expected`.

        A wall clock that is set forward looks the same, one that is set back like nothing.
        """
        passed = max(wall - self._wall, monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        return max(0.0, passed - expected)
