"""What all JSON of the front has in common. The OpenAPI document is made of these shapes too."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


Sendable = Annotated[str, AfterValidator(_sendable)]
"""A text of Dify's. Half of a surrogate pair, which UTF-8 cannot carry, becomes a question mark, as in a card."""


class Shape(BaseModel):
    """A JSON object. Types are taken strictly: `"1"` is no number, 1 is no truth."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Sparse(Shape):
    """A JSON object that has only the fields that were given."""

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}
