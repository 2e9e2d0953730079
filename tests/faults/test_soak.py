"""A small soak: the command of `benchmarks.soak`, as far as a test's time goes."""

from pathlib import Path

import pytest

from benchmarks.soak import as_table, memory
from benchmarks.soaking import Soaked, soak
from tests.faults.seed import SEED

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"seed {seed}")
async def test_a_small_soak_leaves_one_final_state_each(seed: int, tmp_path: Path) -> None:
    soaked = await soak(tmp_path, messages=60, faults=0.7, rate=15.0, seed=seed)
    assert soaked.objections == []
    assert soaked.finals.total() + soaked.unacknowledged == soaked.messages == 60
    assert soaked.faults.total() >= 20
    assert soaked.rss


def test_memory_is_told_after_the_warm_up_in_the_middle_and_at_the_end() -> None:
    assert memory([1.0] * 10 + [50.0] * 10 + [60.0] * 70 + [80.0] * 10) == (50.0, 60.0, 80.0)


def test_the_table_names_what_was_injected_and_how_it_ended() -> None:
    soaked = Soaked(messages=2, objections=["u1: lost"], rss=[90.0], seconds=3.0, cpu=0.1)
    soaked.faults["dify"] += 1
    soaked.finals["card, done"] += 2
    text = as_table(soaked, 7).markdown()
    assert "| faults | 1 |" in text
    assert "| card, done | 2 |" in " ".join(text.split())
    assert "| violations | 1 |" in text
