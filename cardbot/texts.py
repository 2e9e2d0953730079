"""Every sentence that a person in a chat can see, in Chinese and English."""

from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Texts:
    """The sentences in one language. Fields with `{…}` are filled by `str.format`."""

    thinking: str
    """In the card while the model thinks and no answer text is there yet."""
    waiting: str
    """In the card when Dify has been silent for a while."""
    working: str
    """In the card while a tool or a workflow step runs and no answer text is there yet; `{step}`."""
    preview: str
    """In the chat list instead of the card; `{question}`."""
    no_answer: str
    """Dify ended properly and said nothing."""
    failed: str
    """Dify reported an error; `{reason}` is its own short text."""
    unavailable: str
    """Dify could not be asked at all."""
    misconfigured: str
    """Dify refuses the configured key or app; the log says why."""
    busy: str
    """Dify has no room for another answer."""
    in_line: str
    """In the card while earlier messages of the same conversation are answered."""
    line_full: str
    """Too many messages of the conversation wait already; this one was not asked."""
    crowded: str
    """In the card while all places for answers are taken."""
    not_allowed: str
    """Neither this person nor this chat is answered."""
    too_fast: str
    """The person has written more than one may in a minute; `{seconds}` until the next message is answered."""
    interrupted: str
    """The answer ends in the middle and nobody has the rest, also after a restart of the bot."""
    lost: str
    """The same, before the answer's first word."""
    stopped: str
    """Somebody stopped the answer."""
    paused: str
    """The flow waits for a person."""
    internal: str
    """cardbot itself failed; `{reference}` finds it in the log."""
    text_only: str
    """The message was of a kind that cannot be answered yet."""
    empty: str
    """The message mentioned the robot and said nothing."""
    withheld: str
    """DingTalk's content check does not let the answer pass."""
    elsewhere: str
    """Left in a card that cannot take the answer; the answer follows as a plain reply."""
    withdrawn: str
    """In a further card of a long answer whose text was replaced by a shorter one."""
    answer_title: str
    """Title of a plain reply whose text has no line to take one from."""


ZH = Texts(
    thinking="思考中…",
    waiting="正在排队等待 Dify 处理…",
    working="正在执行：{step}…",
    preview="回答：{question}",
    no_answer="（没有生成任何内容）",
    failed="⚠️ 回答出错：{reason}",
    unavailable="⚠️ 暂时无法连接 AI 服务，请稍后再试。",
    misconfigured="⚠️ AI 应用的配置有误，请联系管理员。",
    busy="⚠️ 当前提问的人较多，请稍后再试。",
    in_line="正在排队，等前面的消息回答完…",
    line_full="⚠️ 排队的消息太多，这条没有提问，请稍后再发一次。",
    crowded="当前提问的人较多，正在排队…",
    not_allowed="抱歉，您在这里没有使用权限，如有需要请联系管理员。",
    too_fast="您发得太快了，请在 {seconds} 秒后再发一次。",
    interrupted="⚠️ 回答被中断，以上是已生成的部分。",
    lost="⚠️ 回答中断，没有收到任何内容，请再问一次。",
    stopped="⏹ 已停止。",
    paused="⏸ 流程正在等待人工处理。",
    internal="⚠️ 出现内部错误，请联系管理员（编号 {reference}）。",
    text_only="目前只能回答文字消息，请把问题用文字发给我。",
    empty="请在 @我 之后写上您的问题。",
    withheld="⚠️ 回答未通过钉钉的内容检查，无法显示。",
    elsewhere="回答见下一条消息。",
    withdrawn="（内容已更新，见上一张卡片）",
    answer_title="回答",
)

EN = Texts(
    thinking="Thinking…",
    waiting="Waiting in line for Dify…",
    working="Running: {step}…",
    preview="Answer: {question}",
    no_answer="(nothing was generated)",
    failed="⚠️ The answer failed: {reason}",
    unavailable="⚠️ The AI service cannot be reached right now. Please try again later.",
    misconfigured="⚠️ The AI app is not set up correctly. Please tell the administrator.",
    busy="⚠️ Many people are asking right now. Please try again in a moment.",
    in_line="In line behind earlier messages…",
    line_full="⚠️ Too many messages are in line. This one was not asked; please send it again later.",
    crowded="Many people are asking right now. Waiting in line…",
    not_allowed="Sorry, you have no access here. If you need it, please ask the administrator.",
    too_fast="You are writing too fast. Please send this again in {seconds} s.",
    interrupted="⚠️ The answer was interrupted. The part above is what was generated.",
    lost="⚠️ The answer broke off before its first word. Please ask again.",
    stopped="⏹ Stopped.",
    paused="⏸ The flow is waiting for a person.",
    internal="⚠️ Something went wrong inside. Please tell the administrator (reference {reference}).",
    text_only="I can only answer text for now. Please send me your question in words.",
    empty="Please write your question after mentioning me.",
    withheld="⚠️ The answer did not pass DingTalk's content check and cannot be shown.",
    elsewhere="The answer is in the next message.",
    withdrawn="(The text was updated; see the card above.)",
    answer_title="Answer",
)


def texts_in(language: Language) -> Texts:
    """The sentences in `language`."""
    return {"zh": ZH, "en": EN}[language]
