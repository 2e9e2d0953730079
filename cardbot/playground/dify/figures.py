"""What an answer has cost, in the words of each release. Pure. Recorded from 0.15.8 and 1.14.1 in 2026-11."""

from cardbot.playground.dify.release import Json, Release


def metadata(tokens: int, release: Release, *, is_graph: bool) -> Json:
    """The `metadata` of an answer of so many tokens."""
    cost = {"usage": usage(tokens, release, is_graph=is_graph)}
    return cost if release.old_json else {"annotation_reply": None, "retriever_resources": [], **cost}


def usage(tokens: int, release: Release, *, is_graph: bool) -> Json:
    """Its `usage`: all zero for a stopped one."""
    price = "0E-7" if tokens else "0.0"
    counted: Json = {
        "prompt_tokens": tokens and 8,
        "prompt_unit_price": "0",
        "prompt_price_unit": "0",
        "prompt_price": price,
        "completion_tokens": tokens,
        "completion_unit_price": "0",
        "completion_price_unit": "0",
        "completion_price": price,
        "total_tokens": tokens and tokens + 8,
        "total_price": price,
        "currency": "USD",
        "latency": 0.15 if tokens else 0.0,
    }
    if release.old_json:
        return counted
    measured = 0.05 if tokens and is_graph else None
    return {**counted, "time_to_first_token": measured, "time_to_generate": measured}
