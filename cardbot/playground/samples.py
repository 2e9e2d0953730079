"""What the scripted Dify answers in the playground."""

import re
from typing import Literal

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


def language_of(question: str) -> Literal["zh", "en"]:
    """The language to answer in."""
    return "zh" if _CHINESE.search(question) else "en"


def sample_answer(question: str) -> Script:
    """A few paragraphs with a list, a table and code, in the language of the question."""
    text = _ZH if language_of(question) == "zh" else _EN
    return Script(text.replace("{question}", question), cps=SPEED, first=0.3)
