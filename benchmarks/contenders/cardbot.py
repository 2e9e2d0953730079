"""cardbot, by its public settings only. Logs as a service does: JSON lines at INFO to standard error."""

import anyio

from benchmarks.children import parameters
from benchmarks.meter import measured
from cardbot import logs
from cardbot.bot import Bot
from cardbot.collector import settle
from cardbot.settings import Settings


async def main() -> None:
    """Run the bot until the parent has gone."""
    where = parameters()
    settings = Settings.of(
        {
            "DINGTALK_CLIENT_ID": "bench",
            "DINGTALK_CLIENT_SECRET": "secret",
            "DINGTALK_CARD_TEMPLATE_ID": where["template"],
            "DINGTALK_OPENAPI_ENDPOINT": where["dingtalk"],
            "DIFY_API_KEY": "app-bench",
            "DIFY_BASE_URL": where["dify"],
            "CARDBOT_STORE": "memory:",
            "CARDBOT_DRAIN_SECONDS": "0",
            "CARDBOT_FRAMES": where["frames"],
            "CARDBOT_MAX_ANSWERS": "1000",  # nobody is to wait in line here
        }
    )
    leave = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Bot(settings).run, leave)
        await measured()
        leave.set()


if __name__ == "__main__":
    logs.set_up("INFO")
    settle()
    anyio.run(main, backend_options={"use_uvloop": parameters().get("loop") == "uvloop"})
