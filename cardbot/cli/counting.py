"""`cardbot usage`: what this month has cost."""

import math
import time

from cardbot.cli.options import DEFAULT_ENV_FILE, EnvFile, load
from cardbot.cli.terminal import run_async, stop


def usage(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Show how many calls the robot and `send` have made this month, and how many it will be at its end."""
    from cardbot.budget import month_at, projected, stretch
    from cardbot.ports import Usage
    from cardbot.settings import StoreSettings
    from cardbot.store import open_store

    settings = load(StoreSettings, env_file)
    if settings.store == "memory:":
        stop("CARDBOT_STORE is memory:, which ends with the bot: there is no count to show.")
    now = time.time()
    month = month_at(now)
    found: list[Usage] = []

    async def look() -> None:
        async with open_store(settings.store) as store:
            found.append(await store.usage(month.name))

    run_async(look)
    calls, answers = found[0].calls, found[0].answers
    budget = settings.monthly_calls
    print(f"{month.name} (China time)")
    print(f"  calls so far        {calls:>9,}" + (f" of {budget:,}" if budget else ""))
    print(f"  answers in cards    {answers:>9,}")
    print(f"  calls per answer    {f'{calls / answers:.1f}' if answers else '–':>9}")
    print(f"  at the month's end  {projected(found[0], now):>9,}, if it goes on like this")
    if budget and budget - calls < 2:  # the least that a card takes
        print("The budget is spent: answers are plain replies until the next month.")
    elif budget and (times := stretch(calls, budget, now)) > 1:
        print(
            "To make the budget last, an answer has no text frames between its first and its last call."
            if times == math.inf
            else f"To make the budget last, cards are updated {times:.1f} times more rarely than CARDBOT_FRAMES says."
        )
