"""Several robots in one process: what fails in one of them is nothing to the others."""

from collections.abc import Sequence
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup
from structlog.contextvars import bound_contextvars

from cardbot.bot import Bot
from cardbot.errors import CardbotError, NoRobotRuns
from cardbot.robots import Robot

AGAIN_AFTER = 60.0
"""Seconds until a robot that has failed is started again, as long as another one runs. Our choice: what is wrong is
mended by a person, at DingTalk or at the store, and one call a minute is nothing to either."""

log = structlog.get_logger(__name__)


async def run(robots: Sequence[Robot], leave: anyio.Event) -> None:
    """Answer messages until `leave` is set and each robot has finished what it was about.

    With several, the log says `robot` in each line, and one that fails is started again later.

    Raises:
        CardbotError: when the only robot cannot start.
        NoRobotRuns: when of several none runs any more.
    """
    if len(robots) == 1:
        await Bot(robots[0].settings).run(leave)
        return
    down: dict[str, str] = {}
    async with anyio.create_task_group() as tasks:
        for robot in robots:
            tasks.start_soon(partial(_keep_running, robot, leave, down=down, of=len(robots), tasks=tasks))
    if len(down) == len(robots) and not leave.is_set():
        raise NoRobotRuns({robot.name: down[robot.name] for robot in robots})


async def _keep_running(robot: Robot, leave: anyio.Event, *, down: dict[str, str], of: int, tasks: TaskGroup) -> None:
    """Run one robot again and again. The last of them that goes down ends the waiting of all."""
    with bound_contextvars(robot=robot.name):
        while not leave.is_set():
            down.pop(robot.name, None)
            try:
                await Bot(robot.settings).run(leave)
            except CardbotError as exc:
                log.error("robot_failed", error=str(exc), again_in_seconds=AGAIN_AFTER)
                down[robot.name] = str(exc)
            except Exception as exc:  # one robot's failure must not stop another
                log.exception("robot_failed", again_in_seconds=AGAIN_AFTER)
                down[robot.name] = f"failed with {type(exc).__name__}, see the log"
            if len(down) == of:
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(AGAIN_AFTER):
                await leave.wait()
