"""One fault at a time while somebody sends a file, stops an answer or fills in a form: it ends in one final state.

The cases run side by side, each with a bot and a world of its own; each test then looks at one verdict.
"""

from collections.abc import Mapping

import anyio
import pytest

from tests.faults.doors import DOORS, Door, Seen, play
from tests.virtual import run_with_sockets


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Mapping[int, Seen | Exception]:
    """What came of each case that a selected test asks for."""
    here = [item for item in request.session.items if isinstance(item, pytest.Function) and item.parent is request.node]
    doors = [door for item in here if isinstance(door := item.callspec.params.get("door"), Door)]
    return run_with_sockets(_play_all, doors)


async def _play_all(doors: list[Door]) -> dict[int, Seen | Exception]:
    found: dict[int, Seen | Exception] = {}

    async def one(door: Door) -> None:
        try:
            found[id(door)] = await play(door)
        except Exception as broken:  # one case's failure is that test's
            found[id(door)] = broken

    async with anyio.create_task_group() as tasks:
        for door in doors:
            tasks.start_soon(one, door)
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_fault_leaves_one_final_state(door: Door, seen: Mapping[int, Seen | Exception]) -> None:
    verdict = seen[id(door)]
    if isinstance(verdict, Exception):
        raise verdict
    assert verdict.objections == []
    assert verdict.unmet == []
    assert verdict.asked == door.asked
    assert verdict.sight.way == door.way
    assert verdict.typed == door.typed
