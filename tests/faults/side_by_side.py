"""Plays the cases of a test module side by side, each in a world of its own; each test then looks at its verdict."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio
import pytest

from tests.virtual import run_with_sockets

_Case = TypeVar("_Case")
_Verdict = TypeVar("_Verdict")


class Verdicts(Generic[_Case, _Verdict]):
    """What came of each case."""

    def __init__(self) -> None:
        self._found: dict[int, _Verdict | Exception] = {}

    def of(self, case: _Case) -> _Verdict:
        """The verdict on one. Raises what broke it: that is this test's failure, and no other's."""
        found = self._found[id(case)]
        if isinstance(found, Exception):
            raise found
        return found

    async def gather(self, cases: Sequence[_Case], play: Callable[[_Case], Awaitable[_Verdict]]) -> None:
        """Play them all."""

        async def one(case: _Case) -> None:
            try:
                self._found[id(case)] = await play(case)
            except Exception as broken:
                self._found[id(case)] = broken

        async with anyio.create_task_group() as tasks:
            for case in cases:
                tasks.start_soon(one, case)


def wanted(request: pytest.FixtureRequest, kind: type[_Case]) -> list[_Case]:
    """The cases that the selected tests of the asking module have among their parameters."""
    here = [item for item in request.session.items if isinstance(item, pytest.Function) and item.parent is request.node]
    return [case for item in here for case in item.callspec.params.values() if isinstance(case, kind)]


def played(cases: Sequence[_Case], play: Callable[[_Case], Awaitable[_Verdict]]) -> Verdicts[_Case, _Verdict]:
    """All of them, played in virtual time."""
    verdicts: Verdicts[_Case, _Verdict] = Verdicts()
    run_with_sockets(verdicts.gather, cases, play)
    return verdicts
