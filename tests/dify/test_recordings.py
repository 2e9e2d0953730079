"""Every recorded stream of a real Dify, folded: the text shown is the text that the server kept."""

import json
from collections import Counter

import pytest

from cardbot.answer import Answer, Outcome
from cardbot.dify.ending import Ending
from cardbot.dify.refusal import reason
from cardbot.dify.wire import EventReader
from cardbot.events import Event, Identified
from cardbot.sse import Decoder
from cardbot.texts import EN
from cardbot.thinking import ThinkingSplitter
from tests.dify.recordings import Step, events_of, runs, steps, stored

STREAMS = [step for step in steps() if step.streamed]
ENDS = frozenset(["message_end", "workflow_finished", "workflow_paused", "error"])


def fold(step: Step, *, chunk: int = 0) -> tuple[Answer, Ending]:
    """The answer to which a stream adds up, read in chunks of a size, as far as a client reads."""
    decoder, reader, ending, answer = Decoder(), EventReader(), Ending(), Answer(EN)
    size = chunk or len(step.body) or 1
    for start in range(0, len(step.body), size):
        for sse in decoder.feed(step.body[start : start + size]):
            for event in reader.read(sse.data):
                ending.saw(event)
                answer.apply(event)
            if ending.grace == 0:
                break
    assert not reader.unknown
    assert not reader.malformed
    answer.close()
    return answer, ending


def visible(text: str) -> str:
    splitter = ThinkingSplitter()
    splitter.feed(text)
    splitter.close()
    return splitter.answer


def test_the_recordings_are_there() -> None:
    assert Counter(step.name.split("/")[0] for step in STREAMS) == {"v0.15.8": 106, "v1.14.1": 133}


@pytest.mark.parametrize("step", STREAMS, ids=lambda step: step.name)
def test_text_equals_what_the_server_kept(step: Step) -> None:
    answer, ending = fold(step)
    names = [event["event"] for event in events_of(step)]
    kept = stored().get(answer.ids.message_id)
    run = runs().get(answer.ids.workflow_run_id)
    if not ENDS & set(names):
        assert answer.outcome is Outcome.INTERRUPTED
        assert ending.grace is None
    elif kept and kept["status"] == "error":
        assert answer.outcome is Outcome.FAILED
        assert answer.reason.removeprefix("Run failed: ") == reason(kept["error"]).removeprefix("Run failed: ")
    elif "workflow_paused" in names:
        assert answer.outcome is Outcome.PAUSED
    elif kept and kept["answer"]:  # 0.15 shows a chatflow's moderation preset and keeps nothing
        assert answer.text.strip() == visible(kept["answer"]).strip()
        assert answer.outcome in (Outcome.SUCCEEDED, Outcome.STOPPED)
    elif run and not answer.ids.conversation_id:
        outputs = run["outputs"] if isinstance(run["outputs"], dict) else json.loads(run["outputs"] or "{}")
        assert not outputs or answer.text in outputs.values()
    else:  # nobody asked the server: the deltas themselves say
        deltas = [event["answer"] for event in events_of(step) if event["event"] in ("message", "agent_message")]
        assert answer.failed or answer.outcome in (Outcome.STOPPED, Outcome.SUCCEEDED)
        if answer.ids.conversation_id and "message_replace" not in names:
            assert answer.text.strip() == visible("".join(deltas)).strip()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize(
    "name",
    [
        "v1.14.1/chat-emoji/01-request",
        "v0.15.8/chat-emoji/01-request",
        "v1.14.1/chatflow-think/01-request",
        "v1.14.1/agent-tool/01-request",
        "v0.15.8/chatflow-moderated/04-output-keyword-end",
    ],
)
def test_text_does_not_depend_on_chunk_boundaries(name: str, chunk: int) -> None:
    step = next(step for step in STREAMS if step.name == name)
    whole, cut = fold(step)[0], fold(step, chunk=chunk)[0]
    assert (cut.text, cut.reasoning, cut.outcome) == (whole.text, whole.reasoning, whole.outcome)


@pytest.mark.parametrize("step", STREAMS, ids=lambda step: step.name)
def test_ids_are_those_of_the_first_event_that_carries_them(step: Step) -> None:
    reader = EventReader()
    first: dict[str, str] = {}
    for event in events_of(step):
        for name in ("conversation_id", "message_id", "task_id", "workflow_run_id"):
            if event.get(name):
                first.setdefault(name, event[name])
        got: list[Event] = list(reader.read(json.dumps(event)))
        assert reader.ids == Identified(**first)
        assert not [e for e in got if isinstance(e, Identified) and e != reader.ids]
