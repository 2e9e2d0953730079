"""One fault at a time while somebody sends a file, stops an answer or fills in a form: it ends in one final state.

The cases run side by side, each with a bot and a world of its own; each test then looks at one verdict.
"""

import pytest

from tests.faults.doors import DOORS, Door, Seen, play
from tests.faults.side_by_side import Verdicts, played, wanted


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Verdicts[Door, Seen]:
    """What came of each case that a selected test asks for."""
    return played(wanted(request, Door), play)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_fault_leaves_one_final_state(door: Door, verdicts: Verdicts[Door, Seen]) -> None:
    verdict = verdicts.of(door)
    assert verdict.objections == []
    assert verdict.unmet == []
    assert verdict.asked == door.asked
    assert verdict.sight.way == door.way
    assert verdict.typed == door.typed
