"""Says in the log which app answers, or what is wrong with it, before the first person asks."""

from collections.abc import Mapping

import structlog

from cardbot.dify.client import DifyClient
from cardbot.dify.concerns import concerns
from cardbot.errors import DifyError

log = structlog.get_logger(__name__)


async def introduce(dify: DifyClient, *, template: Mapping[str, object], system: str, **which: str) -> None:
    """Ask Dify about the app.

    Args:
        dify: The client of the app.
        template: The values of its inputs, as `concerns` takes them.
        system: How the app is to behave.
        which: What tells it from other apps of this process; in each line.
    """
    try:
        app = await dify.app()
    except DifyError as exc:
        log.error(
            "dify_not_ready",
            **which,
            error=str(exc),
            remedy="ask it with `cardbot ask hello` (of several with --robot) to see what to change",
        )
        return
    log.info("dify_ready", **which, app=app.name, mode=app.mode, version=app.version)
    for concern in concerns(app, dify.form, template=template, system=system):
        if concern.fatal:
            log.error(concern.event, **which, problem=concern.sentence)
        else:
            log.warning(concern.event, **which, problem=concern.sentence)
