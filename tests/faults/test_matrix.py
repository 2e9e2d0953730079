"""Each fault alone, and pairs of them: whatever happens, a message ends in exactly one visible final state.

The cases run side by side, each with a bot and a world of its own; each test then looks at one verdict.

    CARDBOT_FAULT_PAIRS=500 CARDBOT_FAULT_SEED=7 python -m pytest tests/faults/test_matrix.py
"""

import os
import random

import pytest

from tests.faults.catalogue import ALL, OF_DIFY
from tests.faults.scene import Case, Verdict, alone, play
from tests.faults.seed import SEED
from tests.faults.side_by_side import Verdicts, played, wanted

PAIRS = int(os.environ.get("CARDBOT_FAULT_PAIRS", "60"))

MUTE = {"webhook", "quota"}
"""Without a webhook there is the robot's API, whose calls count as any: in a used-up month there is no way left."""

ALONE = [*map(alone, ALL), *(Case((trouble,), app="advanced-chat") for trouble in OF_DIFY)]


def some_pairs(seed: int, count: int) -> list[Case]:
    """Pairs of faults that befall different things, each in some app and with some template."""
    chance = random.Random(seed)
    pairs: list[Case] = []
    while len(pairs) < count:
        one, two = chance.sample(ALL, 2)
        if one.slot != two.slot and {one.slot, two.slot} != MUTE:
            app, template = chance.choice(["chat", "advanced-chat"]), chance.choice(["own", "public"])
            pairs.append(Case((one, two), app=app, template=template))  # type: ignore[arg-type]  # drawn from its values
    return pairs


PAIRED = some_pairs(SEED, PAIRS)


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Verdicts[Case, Verdict]:
    """What came of each case that a selected test asks for."""
    return played(wanted(request, Case), play)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", ALONE, ids=str)
def test_a_fault_alone_leaves_one_final_state(case: Case, verdicts: Verdicts[Case, Verdict]) -> None:
    verdict = verdicts.of(case)
    assert verdict.objections == []
    assert verdict.unmet == []
    assert verdict.sight.way == case.way


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", PAIRED, ids=lambda case: f"seed {SEED}, {case}")
def test_two_faults_leave_one_final_state(case: Case, verdicts: Verdicts[Case, Verdict]) -> None:
    verdict = verdicts.of(case)
    assert verdict.objections == []
