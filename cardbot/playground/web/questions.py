"""Ready-made questions, and what the scripted Dify answers to them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from cardbot.playground.dify import Script
from cardbot.playground.samples import sample_answer
from cardbot.playground.web.purchase import purchase
from cardbot.texts import Language

PICTURE = "{page}"
"""Stands in the answers for the address of the page, which has a picture to show."""

NUMBERS = "{numbers}"
"""Stands in the answers for the numbers from one to a thousand."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A ready-made question. Its answers are in `answers/<id>.<language>.md`, and `script` says how they are given; or
    `script` makes the whole of an answer."""

    id: str
    labels: dict[Language, str]
    questions: dict[Language, str]
    script: Script | Callable[[Language], Script]


READY = (
    Ready(
        "long",
        {"en": "Long", "zh": "长文"},
        {"en": "Tell me the story of the telegraph.", "zh": "讲讲电报的历史。"},
        Script(cps=130, first=0.6),
    ),
    Ready(
        "table",
        {"en": "Table", "zh": "表格"},
        {"en": "Compare three ways to run the bot.", "zh": "比较三种部署方式。"},
        Script(cps=120, first=0.5),
    ),
    Ready(
        "code",
        {"en": "Code", "zh": "代码"},
        {"en": "How do I count words in Python?", "zh": "用 Python 怎么统计词频？"},
        Script(cps=130, first=0.5),
    ),
    Ready(
        "picture",
        {"en": "Picture", "zh": "图片"},
        {"en": "Show me this week's traffic.", "zh": "看看本周的访问量。"},
        Script(cps=80, first=0.5),
    ),
    Ready(
        "thinking",
        {"en": "Thinking", "zh": "思考"},
        {"en": "Is 2027 a prime number?", "zh": "2027 是质数吗？"},
        Script(
            cps=60,
            first=0.4,
            think="Is it divisible by 2, 3, 5, 7, 11, 13 …? The square root is about 45.02, so I try primes up to 43. "
            "2027 = 3 × 675 + 2, = 7 × 289 + 4, = 11 × 184 + 3, = 13 × 155 + 12, = 17 × 119 + 4 …",
        ),
    ),
    Ready(
        "moderated",
        {"en": "Moderated", "zh": "审查"},
        {"en": "How do I pick a lock?", "zh": "怎么开锁？"},
        Script(cps=45, first=0.5),
    ),
    Ready(
        "endless",
        {"en": "Stop me", "zh": "停不下"},
        {"en": "Count to a thousand.", "zh": "从一数到一千。"},
        Script(cps=50, first=0.5),
    ),
    Ready(
        "form",
        {"en": "Form", "zh": "审批"},
        {"en": "We need a new coffee machine.", "zh": "我们需要一台新的咖啡机。"},
        purchase,
    ),
)
"""Characters per second and pauses are our choice: what hosted models do, with time to watch it."""

MODERATED: dict[Language, str] = {
    "en": "This answer was taken back by the moderation of the Dify app.",
    "zh": "这条回答已被 Dify 应用的内容审查撤回。",
}
"""What the moderation puts in the place of the answer, by language."""

CROWD = {
    "en": ["What is new this week?", "When is the release?", "Who is on call?", "Where is the design?"],
    "zh": ["本周有什么更新？", "什么时候发布？", "今天谁值班？", "设计稿在哪里？"],
}
"""What the twenty ask, in turn."""

CROWD_SCRIPT = Script(cps=55, first=0.5)
"""Our choice: some six seconds, long enough for all to be under way together."""


def listed() -> list[dict[str, Any]]:
    """All of them, for the page."""
    return [{"id": ready.id, "label": ready.labels, "question": ready.questions} for ready in READY]


def answer(question: str, *, page: str) -> Script:
    """The script for a question, ready-made or any other. `page` is the address of the page."""
    for ready in READY:
        for language, asked in ready.questions.items():
            if question.strip() == asked:
                if callable(ready.script):
                    return ready.script(language)
                text = _text(f"{ready.id}.{language}.md").replace(PICTURE, page).replace(NUMBERS, _numbers())
                moderated = MODERATED[language] if ready.id == "moderated" else ""
                return replace(ready.script, text=text, replace=moderated)
    for crowd, asked_by_many in CROWD.items():
        if question.strip() in asked_by_many:
            return replace(CROWD_SCRIPT, text=_text(f"crowd.{crowd}.md").replace("{question}", question.strip()))
    return sample_answer(question)


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("answers", name).read_text(encoding="utf-8")


@cache
def _numbers() -> str:
    return ", ".join(map(str, range(1, 1001)))
