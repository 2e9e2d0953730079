"""A scripted purchase: the run waits for a person, who may change a number and decides."""

from collections.abc import Callable, Mapping

from cardbot.playground.dify import Pause, Script
from cardbot.texts import Language

SPEED = 80.0
"""Characters per second. Our choice: the form is what is to be seen, and it comes after the text."""

FIELD = {"type": "paragraph", "output_variable_name": "quantity", "default": {"type": "constant", "value": "1"}}
"""What may be typed. It has a value, so that a button can be pressed at once."""

_PROPOSAL: Mapping[Language, str] = {
    "en": """\
### A new coffee machine

| model | cups per day | price |
|---|--:|--:|
| *Morning 2* | 80 | ¥ 3,400 |
| **Office 6** | 250 | ¥ 8,900 |

The office drinks some 180 cups a day, so I would take the **Office 6**.
""",
    "zh": """\
### 采购咖啡机

| 型号 | 每天杯数 | 价格 |
|---|--:|--:|
| *晨光 2* | 80 | ¥ 3,400 |
| **办公 6** | 250 | ¥ 8,900 |

办公室每天约喝 180 杯，建议买**办公 6**。
""",
}

_FORM: Mapping[Language, str] = {
    "en": "Shall I order it? Quantity: {{#$output.quantity#}} (write another number to change it)",
    "zh": "要下单吗？数量：{{#$output.quantity#}}（回复其他数字可以修改）",
}

_ACTIONS: Mapping[Language, Mapping[str, str]] = {
    "en": {"approve": "Order it", "reject": "Not now"},
    "zh": {"approve": "下单", "reject": "先不买"},
}

_ORDERED: Mapping[Language, str] = {
    "en": "**Ordered**, {quantity} × Office 6. It will be here on Thursday.",
    "zh": "**已下单**：办公 6 × {quantity}，星期四送到。",
}

_NO_NUMBER: Mapping[Language, str] = {
    "en": "Nothing was ordered: “{quantity}” is no number.",
    "zh": "没有下单：“{quantity}”不是数字。",
}

_DROPPED: Mapping[Language, str] = {
    "en": "Nothing was ordered. Tea is fine, too.",
    "zh": "没有下单。喝茶也不错。",
}


def purchase(language: Language) -> Script:
    """A proposal, then a form in the same card; what follows depends on who decides how."""
    pause = Pause(then=_decided(language), content=_FORM[language], inputs=(FIELD,), actions=_ACTIONS[language])
    return Script(_PROPOSAL[language], cps=SPEED, first=0.4, pause=pause)


def _decided(language: Language) -> Callable[[str, Mapping[str, str]], Script]:
    def then(action: str, inputs: Mapping[str, str]) -> Script:
        texts = _DROPPED if action != "approve" else _ORDERED if inputs["quantity"].isdecimal() else _NO_NUMBER
        return Script("\n\n" + texts[language].format(quantity=inputs["quantity"]), cps=SPEED, first=0.6)

    return then
