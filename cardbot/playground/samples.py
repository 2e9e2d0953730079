"""What the scripted Dify answers in the playground."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from cardbot.playground.dify.files import Upload
from cardbot.playground.dify.script import Script

SPEED = 60.0
"""Characters per second: about what a hosted model writes."""

_CHINESE = re.compile(r"[\u4e00-\u9fff]")

_ZH = """\
## 你问：{question}

这张卡片由 cardbot 逐字打出，没有用到任何钉钉账号或 Dify 账号：

1. 模拟的钉钉平台把你的消息推送给机器人；
2. 机器人立刻投放一张 AI 卡片，同时向模拟的 Dify 提问；
3. 回答一边生成，一边写进卡片，直到 `message_end`。

| 环节 | 换成真的 |
|---|---|
| 平台 | 你的钉钉应用（Stream 模式） |
| 回答 | 你的 Dify 应用 |

```bash
DIFY_API_KEY=app-… cardbot playground --once "{question}"
```

设置 `DIFY_API_KEY` 之后，上面这行命令会把问题交给你自己的 Dify 应用。
"""

_EN = """\
## You asked: {question}

cardbot typed this card, without any account at DingTalk or Dify:

1. a simulated DingTalk pushed your message to the robot;
2. the robot put an AI card into the chat at once, and asked a scripted Dify;
3. the answer goes into the card while it is generated, until `message_end`.

| part | in real life |
|---|---|
| platform | your DingTalk app, in Stream mode |
| answer | your Dify app |

```bash
DIFY_API_KEY=app-… cardbot playground --once "{question}"
```

With `DIFY_API_KEY` set, the line above asks your own Dify app.
"""

_FILES_ZH = """\
我收到了 {total}。

| 文件 | 类型 | 大小 |
|---|---|--:|
{rows}

机器人用下载码从模拟的钉钉取来文件，再上传到 Dify。

这里的 Dify 是模拟的，不会去看内容；换成你自己的应用就会。
"""

_FILES_EN = """\
I was given {total}.

| file | kind | size |
|---|---|--:|
{rows}

The bot fetched this from the simulated DingTalk and uploaded it to Dify.

This Dify is scripted and does not look inside; an app of your own would.
"""

_QUOTE_ZH = "引用的消息也一起交给了 Dify：共 {characters} 个字符。"
_QUOTE_EN = "What you quoted went to Dify too: {characters} characters."

_KINDS = {
    "image": ("{n} 张图片", "{n} image", "{n} images"),
    "document": ("{n} 份文档", "{n} document", "{n} documents"),
    "audio": ("{n} 段音频", "{n} recording", "{n} recordings"),
    "video": ("{n} 段视频", "{n} video", "{n} videos"),
    "custom": ("{n} 个文件", "{n} file", "{n} files"),
}
"""What so many files of a kind are called: in Chinese, one in English, several."""

AMR = b"#!AMR\n"
"""How a recording begins that DingTalk's client made. documented: RFC 4867, section 5.1."""


def language_of(question: str) -> Literal["zh", "en"]:
    """The language to answer in."""
    return "zh" if _CHINESE.search(question) else "en"


def sample_answer(question: str) -> Script:
    """A few paragraphs with a list, a table and code, in the language of the question."""
    quote, words = _parted(question)
    chinese = language_of(words) == "zh"
    title, _, rest = (_ZH if chinese else _EN).partition("\n\n")
    note = (_QUOTE_ZH if chinese else _QUOTE_EN).format(characters=len(quote)) if quote else ""
    text = "\n\n".join(filter(None, [title, note, rest]))
    return Script(text.replace("{question}", words), cps=SPEED, first=0.3)


def about_files(question: str, files: Sequence[Upload]) -> Script:
    """What came with the question: how many files of which kind, their names and sizes."""
    chinese = language_of(question) == "zh"
    kinds = Counter(file.kind for file in files)
    counted = [_KINDS[kind][0 if chinese else 1 if n == 1 else 2].format(n=n) for kind, n in kinds.items()]
    total = ("，" if chinese else ", ").join([*counted, _bytes(sum(len(file.content) for file in files))])
    rows = "\n".join(f"| {_cell(file.name)} | {file.kind} | {_bytes(len(file.content))} |" for file in files)
    text = (_FILES_ZH if chinese else _FILES_EN).format(total=total, rows=rows)
    return Script(text, cps=SPEED, first=0.3)


def recorded(words: str) -> bytes:
    """A recording of these words, for `heard` alone: no sound is in it."""
    return AMR + words.encode()


def heard(recording: bytes) -> str:
    """What was said in it."""
    return recording.removeprefix(AMR).decode(errors="replace")


def _parted(question: str) -> tuple[str, str]:
    """What is quoted in markdown at the beginning, and the words after it. A question without words is its own."""
    lines = question.splitlines()
    quoted = [index for index, line in enumerate(lines) if line.startswith(">")]
    words = "\n".join(lines[quoted[-1] + 1 :]).strip() if quoted else ""
    return ("\n".join(lines[index][2:] for index in quoted), words) if words else ("", question)


def _bytes(count: int) -> str:
    """As the page says it."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.{int(count < 10_000)}f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _cell(name: str) -> str:
    """A name that neither ends its cell nor is markdown."""
    return f"`{name.replace('`', '').replace('|', '/')}`"
