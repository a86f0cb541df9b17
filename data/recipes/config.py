"""The base of every section of a recipe, and what their fields share."""

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
)
from pydantic.json_schema import GetJsonSchemaHandler

# More than any machine has room or time for is a slip of the keyboard, and said at once.
Count = Annotated[int, Field(le=10_000_000)]  # rows: prompts, pairs, resamples
Size = Annotated[int, Field(le=1_048_576)]  # tokens of a text
Times = Annotated[int, Field(le=65_536)]  # repetitions, rows of a batch, ranks
# numpy, which the trainers seed too, takes 32 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]

WORLD = "world"  # a model or prompt source of this name is made by the embedded world
SMALL = "world-small"  # a smaller policy of the embedded world
NONE = "none"  # no model at all, where the field allows it
FRESH = "fresh"  # a student of this name is made from the logged texts
TEMPLATES = ("plain", "chatml")  # chat templates of these names are this project's

# Of fields whose default follows from the models named: `flows.preflight.fitting` fills in what
# is left out.
BY_MODELS: dict[str, JsonValue] = {"by_models": True}
BY_PROMPTS: dict[str, JsonValue] = {"by_prompts": True}  # so too, by how many prompts there are

# YAML has no tuples, and recipes are read strictly.
FROM_LIST = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Fields a stage does not read itself: what they name reaches it as an artifact, by content.
    not_in_key: ClassVar[frozenset[str]] = frozenset()

    def gives(self, field: str) -> bool:
        """Whether the recipe says it, where else a default would stand."""
        return field in self.model_fields_set


class AnyOf:
    """Of a discriminated union, in its annotation: its JSON schema is plain `anyOf`.

    Prefect's UI draws a choice for `anyOf` and nothing for `oneOf`.
    """

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = dict(handler(core_schema))
        schema.pop("discriminator", None)
        if "oneOf" in schema:
            schema["anyOf"] = schema.pop("oneOf")
        return schema


def _day(text: str) -> str:
    """ISO text of a day, as it is. Raises ValueError for any other."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        date.fromisoformat(text)
        return text
    raise ValueError("date: must be a day such as '2026-01-31', quoted")


Day = Annotated[str, AfterValidator(_day)]


AUTO: Literal["auto"] = "auto"  # where the machine decides


def _auto_or_number(value: Any) -> Any:
    if isinstance(value, str) and value != AUTO:
        raise ValueError(f"must be {AUTO} or a whole number, got {value!r:.60}")
    return value


# Told apart by a function, so that an error speaks of the one that was meant.
TokenBudget = Annotated[
    Annotated[Literal["auto"], Tag("str")] | Annotated[Count, Field(ge=64), Tag("int")],
    Discriminator(lambda value: "str" if value == AUTO else "int"),
    AnyOf(),
    BeforeValidator(_auto_or_number),
]
