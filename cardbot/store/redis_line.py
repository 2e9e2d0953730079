"""The line of each conversation over all replicas: tickets in a list on the Redis server.

Who waits asks again and again. To be woken instead would take a connection for each who waits, or a subscription
that can break unnoticed; what waits here is the end of an answer, which takes seconds.
"""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from anyio import CancelScope, sleep
from redis.asyncio import Redis

from cardbot.errors import LineFull, StoreError
from cardbot.ports import ConversationKey, tell_nobody
from cardbot.store.redis_calls import PREFIX, translated, translated_within
from cardbot.store.redis_scripts import STAND_IN_LINE
from cardbot.store.turns import LINE, text_of

PAUSE = 0.25
"""Seconds before who is next asks again; who is further back asks the more rarely. Our choice: nobody notices so short
a delay before an answer, and with a full line in a hundred conversations the server gets a thousand small calls a
second at most."""

JITTER = 0.2
"""Part of the pause by which it is longer or shorter, so that replicas do not ask in step. Our choice."""

LEAVING = 1.0
"""Seconds to give a ticket back in. Our choice: a healthy server takes a millisecond, and a card's last word may be
waiting for this; what does not succeed is done with a later beat."""

LINE_LIFE = 24 * 60 * 60
"""Seconds that a line is kept in which nobody came to stand. Our choice: longer than any answer takes, so that only
tickets of the dead are ever lost that way."""

NO_LIMIT = -1
"""The limit for a ticket that stands in line already, or did until the server lost it."""


class RedisLine:
    """The lines as one process sees them."""

    def __init__(self, redis: Redis, *, where: str, process: str) -> None:
        self._redis = redis
        self._where = where
        self._process = process
        self._stand = redis.register_script(STAND_IN_LINE)
        self._not_given_back: dict[str, str] = {}

    @asynccontextmanager
    async def turn(self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody) -> AsyncGenerator[None]:
        """Stand in this conversation's line. See `cardbot.ports.Store.turn`.

        A server that loses its memory loses the lines too: who waits stands in line again, and the turn under way
        may then get company.
        """
        name = f"{PREFIX}line:{text_of(key)}"
        ticket = self._process + uuid4().hex
        try:
            ahead = await self._ahead(name, ticket, longest=LINE)
            if ahead < 0:
                raise LineFull(waiting=LINE)
            if ahead:
                on_wait()
            while ahead:
                await sleep(PAUSE * ahead * random.uniform(1 - JITTER, 1 + JITTER))
                ahead = await self._ahead(name, ticket, longest=NO_LIMIT)
            yield
        finally:
            await self._give_back(name, ticket)

    async def tidy(self) -> None:
        """Give back the tickets that could not be given back in time, or they would hold up their lines for ever."""
        for ticket, name in list(self._not_given_back.items()):
            with translated(self._where):
                await self._redis.lrem(name, 0, ticket)
            self._not_given_back.pop(ticket, None)

    async def _ahead(self, name: str, ticket: str, *, longest: int) -> int:
        with translated(self._where):
            return int(await self._stand(keys=[name], args=[PREFIX, self._process, ticket, longest, LINE_LIFE]))

    async def _give_back(self, name: str, ticket: str) -> None:
        with CancelScope(shield=True):
            self._not_given_back[ticket] = name
            try:
                with translated_within(LEAVING, self._where):
                    await self._redis.lrem(name, 0, ticket)
            except StoreError:
                return  # not lost: `tidy` does it
            self._not_given_back.pop(ticket, None)  # which may have done it meanwhile
