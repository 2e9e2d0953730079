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
    too_long: str
    """The question has more characters than the app's input takes; `{limit}`."""
    file_needed: str
    """The app requires a file, and the question has none."""
    form_closed: str
    """The form that somebody handed in is not taken any more, and nobody can say how the flow goes on."""
    form_kept: str
    """Below a form that is shown once more: nobody knows whether the AI service has it."""
    form_refused: str
    """Below a form that is shown once more: `{reason}` is what the AI service says of it."""
    form_taken: str
    """Before the answer: somebody had handed the form in before, maybe in another way."""
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
    stop: str
    """On the button that stops the answer."""
    paused: str
    """The flow waits for a person who is not in this chat."""
    fill_in: str
    """Below a form: what to write; `{fields}` are their names."""
    filled_in: str
    """Below a form: what has been written so far; `{fields}` are names and values."""
    choose: str
    """Below a form: which actions there are; `{actions}` are their names."""
    expired: str
    """Nobody filled in the form in time."""
    chosen: str
    """Below a form: which action was taken; `{action}` is its name."""
    internal: str
    """cardbot itself failed; `{reference}` finds it in the log."""
    unreadable: str
    """The message is of a kind that DingTalk does not show to robots."""
    renewed: str
    """The conversation is forgotten; the next message begins a new one."""
    nothing_to_stop: str
    """No answer is under way."""
    help: str
    """What the bot can do; `{new}` are the words that begin a new conversation."""
    empty: str
    """The message said nothing."""
    withheld: str
    """DingTalk's content check does not let the answer pass."""
    elsewhere: str
    """Left in a card that cannot take the answer; the answer follows as a plain reply."""
    withdrawn: str
    """In a further card of a long answer whose text was replaced by a shorter one."""
    answer_title: str
    """Title of a plain reply whose text has no line to take one from."""
    quoted: str
    """Before a question: what the person quotes, as a markdown quote; `{quote}`. Dify reads it, not the person."""
    about_files: str
    """The question of a message that is nothing but files."""
    about_quote: str
    """The question of a message that quotes another and says nothing."""
    a_picture: str
    a_voice: str
    a_video: str
    a_file: str
    """What a file without a name is called in the sentences below."""
    comma: str
    """Between the names of several files."""
    file_not_wanted: str
    """The app takes no files; here and below `{name}` is one file or several."""
    file_of_wrong_type: str
    """The app takes files, but not of this kind."""
    file_too_large: str
    """More than `{limit}` MB."""
    file_too_large_there: str
    """Dify finds it too large and does not say what its limit is."""
    file_too_many: str
    """A question may carry `{limit}` files only, and these are more."""
    file_too_slow: str
    """On its way from DingTalk to Dify, for longer than anybody waits."""
    file_not_fetched: str
    """DingTalk does not give the file out, or it broke off."""
    file_not_handed_on: str
    """Dify could not take the file, for a reason of its own."""
    voice_not_heard: str
    """A voice message that nobody could turn into text."""


ZH = Texts(
    thinking="思考中…",
    waiting="正在排队等待 Dify 处理…",
    working="正在执行：{step}…",
    preview="回答：{question}",
    no_answer="（没有生成任何内容）",
    failed="⚠️ 回答出错：{reason}",
    unavailable="⚠️ 暂时无法连接 AI 服务，请稍后再试。",
    misconfigured="⚠️ AI 应用的配置有误，请联系管理员。",
    too_long="⚠️ 问题太长，这个应用最多接受 {limit} 个字符，请缩短后再发一次。",
    file_needed="⚠️ 这个应用需要文件：请发送文件，或引用一条文件消息来提问。",
    form_closed="⚠️ 这个表单已经提交过，或已过期。",
    form_kept="⚠️ AI 服务没有确认收到表单。已填写的内容都在，请再选一次。",
    form_refused="⚠️ 表单未被接受（{reason}）。请修改后再选一次。",
    form_taken="ℹ️ 这个表单之前已经提交，流程按那次的选择继续。",
    busy="⚠️ 当前提问的人较多，请稍后再试。",
    in_line="正在排队，等前面的消息回答完…",
    line_full="⚠️ 排队的消息太多，这条没有提问，请稍后再发一次。",
    crowded="当前提问的人较多，正在排队…",
    not_allowed="抱歉，您在这里没有使用权限，如有需要请联系管理员。",
    too_fast="您发得太快了，请在 {seconds} 秒后再发一次。",
    interrupted="⚠️ 回答被中断，以上是已生成的部分。",
    lost="⚠️ 回答中断，没有收到任何内容，请再问一次。",
    stopped="⏹ 已停止。",
    stop="⏹ 停止",
    paused="⏸ 流程正在等待人工处理。",
    fill_in="✍️ 请直接回复：{fields}",
    filled_in="已填写：{fields}",
    choose="👉 请点按钮，或回复其名称：{actions}",
    expired="⏸ 等待处理已超时。",
    chosen="✅ {action}",
    internal="⚠️ 出现内部错误，请联系管理员（编号 {reference}）。",
    unreadable="抱歉，机器人看不到这类消息，请换成文字、图片或文件发给我。",
    renewed="✅ 已开始新会话。",
    nothing_to_stop="现在没有正在生成的回答。",
    help=(
        "直接向我提问即可，群里请先 @我；也可以发图片、文件或语音。\n\n"
        "- 发送 {new}：忘掉之前的对话，重新开始\n"
        "- 发送 /stop，或点卡片上的“停止”：停止正在生成的回答\n"
        "- 发送 /help：显示本说明"
    ),
    empty="请写上您的问题。",
    withheld="⚠️ 回答未通过钉钉的内容检查，无法显示。",
    elsewhere="回答见下一条消息。",
    withdrawn="（内容已更新，见上一张卡片）",
    answer_title="回答",
    quoted="引用的消息：\n\n{quote}",
    about_files="请看我发送的内容并回答。",
    about_quote="请回答引用的消息。",
    a_picture="图片",
    a_voice="语音",
    a_video="视频",
    a_file="文件",
    comma="、",
    file_not_wanted="⚠️ 未读取{name}：当前应用不接收文件。",
    file_of_wrong_type="⚠️ 未读取{name}：当前应用不接收这种类型的文件。",
    file_too_large="⚠️ 未读取{name}：超过 {limit} MB。",
    file_too_large_there="⚠️ 未读取{name}：文件太大。",
    file_too_many="⚠️ 未读取{name}：一次最多接收 {limit} 个文件。",
    file_too_slow="⚠️ 未读取{name}：传送时间过长，请稍后重新发送。",
    file_not_fetched="⚠️ 未读取{name}：下载失败，请重新发送。",
    file_not_handed_on="⚠️ 未读取{name}：暂时无法交给 AI 服务，请稍后重新发送。",
    voice_not_heard="⚠️ 没有听懂{name}，请用文字发送。",
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
    too_long="⚠️ The question is too long: this app takes {limit} characters. Please shorten it and send it again.",
    file_needed="⚠️ This app needs a file: please send one, or quote a message with one and ask.",
    form_closed="⚠️ This form was handed in already, or its time is over.",
    form_kept="⚠️ The AI service did not confirm the form. What you filled in is kept: please choose again.",
    form_refused="⚠️ The form was not accepted ({reason}). Please correct it and choose again.",
    form_taken="ℹ️ This form was handed in before; the flow goes on with that choice.",
    busy="⚠️ Many people are asking right now. Please try again in a moment.",
    in_line="In line behind earlier messages…",
    line_full="⚠️ Too many messages are in line. This one was not asked; please send it again later.",
    crowded="Many people are asking right now. Waiting in line…",
    not_allowed="Sorry, you have no access here. If you need it, please ask the administrator.",
    too_fast="You are writing too fast. Please send this again in {seconds} s.",
    interrupted="⚠️ The answer was interrupted. The part above is what was generated.",
    lost="⚠️ The answer broke off before its first word. Please ask again.",
    stopped="⏹ Stopped.",
    stop="⏹ Stop",
    paused="⏸ The flow is waiting for a person.",
    fill_in="✍️ Please reply with: {fields}",
    filled_in="Filled in: {fields}",
    choose="👉 Press a button, or reply with its name: {actions}",
    expired="⏸ Nobody answered in time.",
    chosen="✅ {action}",
    internal="⚠️ Something went wrong inside. Please tell the administrator (reference {reference}).",
    unreadable="Sorry, robots are not shown this kind of message. Please send text, a picture or a file.",
    renewed="✅ A new conversation has begun.",
    nothing_to_stop="No answer is being written right now.",
    help=(
        "Just ask me; in a group, mention me first. You can send pictures, files and voice messages too.\n\n"
        "- {new}: forget what was said and begin a new conversation\n"
        "- /stop, or the button on the card: stop the answer that is being written\n"
        "- /help: show this"
    ),
    empty="Please write your question.",
    withheld="⚠️ The answer did not pass DingTalk's content check and cannot be shown.",
    elsewhere="The answer is in the next message.",
    withdrawn="(The text was updated; see the card above.)",
    answer_title="Answer",
    quoted="Quoted message:\n\n{quote}",
    about_files="Please look at what I have sent and answer it.",
    about_quote="Please answer the quoted message.",
    a_picture="picture",
    a_voice="voice message",
    a_video="video",
    a_file="file",
    comma=", ",
    file_not_wanted="⚠️ Not read: {name}. This app takes no files.",
    file_of_wrong_type="⚠️ Not read: {name}. This app takes no files of this type.",
    file_too_large="⚠️ Not read: {name}. More than {limit} MB.",
    file_too_large_there="⚠️ Not read: {name}. Too large.",
    file_too_many="⚠️ Not read: {name}. A question may carry at most {limit} files.",
    file_too_slow="⚠️ Not read: {name}. It took too long; please send it again later.",
    file_not_fetched="⚠️ Not read: {name}. The download failed; please send it again.",
    file_not_handed_on="⚠️ Not read: {name}. The AI service could not take it right now; please send it again later.",
    voice_not_heard="⚠️ Not understood: {name}. Please send it as text.",
)


def texts_in(language: Language) -> Texts:
    """The sentences in `language`."""
    return {"zh": ZH, "en": EN}[language]
