"""One robot, running: builds the parts, owns their lifetimes, lets answers finish before it leaves."""

import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import anyio
import structlog

from cardbot.budget import Budget
from cardbot.counting import keep_count, save_count
from cardbot.desk import Desk
from cardbot.dify.client import DifyClient
from cardbot.dify.introduction import introduce
from cardbot.dingtalk.assistant_replies import AssistantReplies
from cardbot.dingtalk.cards import CardWriter
from cardbot.dingtalk.deliveries import Report
from cardbot.dingtalk.media import Media
from cardbot.dingtalk.no_cards import NoCards
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.outbox import Outbox
from cardbot.dingtalk.stream import Stream
from cardbot.dingtalk.template import SHARED_TEMPLATE, Template
from cardbot.dingtalk.webhook import Replies
from cardbot.errors import CardbotError
from cardbot.inbox import Inbox
from cardbot.pacing import Frames
from cardbot.recovery import watch
from cardbot.settings import PUBLIC_TEMPLATE, Settings
from cardbot.store import open_store
from cardbot.texts import texts_in
from cardbot.words import Words

log = structlog.get_logger(__name__)


class Bot:
    """One robot and its Dify app."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = Budget(settings.monthly_calls)
        self._outbox: Outbox

    async def run(self, leave: anyio.Event) -> None:
        """Answer messages until `leave` is set; then let answers finish, close what is left, and return.

        Raises:
            CardbotError: when the robot cannot start, such as with a wrong client secret.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            # First in, last out: answers are kept to the end, and what is wrong with it is not wrapped by a task group.
            store = await stack.enter_async_context(open_store(settings.store, app=settings.client_id))
            stack.push_async_callback(save_count, self._budget, store)
            api = await stack.enter_async_context(
                OpenApi(
                    client_id=settings.client_id,
                    client_secret=settings.client_secret.get_secret_value(),
                    robot_code=settings.robot,
                    endpoint=settings.openapi_endpoint,
                    billed=lambda: self._budget.call(time.time()),
                )
            )
            dify = await stack.enter_async_context(DifyClient.of(settings))
            desk = Desk(
                source=dify,
                cards=await stack.enter_async_context(self._cards(api)),
                webhook=Replies(api, texts=texts_in(settings.language)),
                files=Media(api, max_mb=settings.max_file_mb),
                store=store,
                words=Words(store),
                texts=texts_in(settings.language),
                app=dify.fingerprint,
                places=anyio.CapacityLimiter(settings.max_answers),
                session=settings.session,
                inputs=settings.dify_inputs,
                system=settings.dify_system_prompt,
                base=settings.dify_base_url,
            )
            assistants = replace(
                desk, cards=NoCards("An assistant has no card to type into."), webhook=AssistantReplies(api)
            )
            self._outbox = Outbox(api)
            await save_count(self._budget, store)  # what this month has cost before the first card is opened
            tasks = await stack.enter_async_context(anyio.create_task_group())
            inbox = Inbox(settings, desk=desk, assistants=assistants, tasks=tasks)
            stream = Stream(
                api.http,
                endpoint=api.endpoint,
                client_id=settings.client_id,
                client_secret=settings.client_secret.get_secret_value(),
                receivers=inbox.receivers(),
            )

            def share(processes: int) -> None:
                desk.cards.share(processes)
                desk.words.share(processes)

            tasks.start_soon(
                partial(introduce, dify, template=settings.dify_inputs, system=settings.dify_system_prompt)
            )
            tasks.start_soon(keep_count, self._budget, store)
            tasks.start_soon(desk.words.keep_collecting)
            tasks.start_soon(partial(watch, store, share, inbox.resume, leaving=leave.is_set))
            refusal = await self._listen(stream, leave)
            desk.words.close()
            log.info("leaving", answers=inbox.under_way)
            with anyio.move_on_after(settings.drain_seconds):
                await inbox.drained()
            tasks.cancel_scope.cancel()
        if refusal:
            raise refusal

    async def send(self, markdown: str, *, users: Iterable[str] = (), chats: Iterable[str] = ()) -> Report:
        """Write to people, by their staff ids, and to groups, by their conversation ids, while the robot runs.

        The report says of each whether it was reached. See `dingtalk.outbox.Outbox.send`.
        """
        return await self._outbox.send(markdown, users=users, chats=chats)

    def _cards(self, api: OpenApi) -> "CardWriter | NoCards":
        settings = self._settings
        match settings.card_template_id:
            case "":
                log.warning(
                    "no_card_template",
                    effect="answers go out as plain replies, each in one piece at its end",
                    remedy="set DINGTALK_CARD_TEMPLATE_ID (card_template_id in cardbot.toml), see templates/README.md",
                )
                return NoCards()
            case name if name in (PUBLIC_TEMPLATE, SHARED_TEMPLATE.id):
                template = SHARED_TEMPLATE
            case name:
                template = Template(name, settings.card_content_key)
        return CardWriter(
            api,
            template,
            texts=texts_in(settings.language),
            budget=self._budget,
            qps=settings.card_qps,
            frames=Frames(settings.frames),
        )

    async def _listen(self, stream: Stream, leave: anyio.Event) -> CardbotError | None:
        """Take messages until told to leave, or until DingTalk refuses the app: that refusal is returned."""
        refusal: CardbotError | None = None

        async def run() -> None:
            nonlocal refusal
            try:
                await stream.run()
            except CardbotError as exc:
                refusal = exc
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await leave.wait()
            tasks.cancel_scope.cancel()
        return refusal
