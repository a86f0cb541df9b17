"""The base of every section of a recipe."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Fields a stage does not read itself: what they name reaches it as an artifact, by content.
    not_in_key: ClassVar[frozenset[str]] = frozenset()
