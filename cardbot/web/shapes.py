"""What all JSON of the front has in common. The OpenAPI document is made of these shapes too."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from cardbot.surrogates import mended

Sendable = Annotated[str, AfterValidator(mended)]
"""A text of Dify's, as it is in a card too."""


class Shape(BaseModel):
    """A JSON object. Types are taken strictly: `"1"` is no number, 1 is no truth."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Sparse(Shape):
    """A JSON object that has only the fields that were given."""

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}
