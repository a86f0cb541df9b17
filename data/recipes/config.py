"""The base of every section of a recipe."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

# More than any machine has room or time for is a slip of the keyboard, and said at once.
Count = Annotated[int, Field(le=10_000_000)]  # rows: prompts, pairs, resamples
Size = Annotated[int, Field(le=1_048_576)]  # tokens of a text
Times = Annotated[int, Field(le=65_536)]  # repetitions, rows of a batch, ranks


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Fields a stage does not read itself: what they name reaches it as an artifact, by content.
    not_in_key: ClassVar[frozenset[str]] = frozenset()
