"""What the tests of the page have in common."""

import pytest

from cardbot.playground.platform import Platform


@pytest.fixture
def platforms(monkeypatch: pytest.MonkeyPatch) -> list[Platform]:
    """Each platform that was started. It has no other way out of a running playground."""
    started: list[Platform] = []
    enter = Platform.__aenter__

    async def noted(self: Platform) -> Platform:
        started.append(self)
        return await enter(self)

    monkeypatch.setattr(Platform, "__aenter__", noted)
    return started
