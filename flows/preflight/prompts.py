"""The prompts that preflight looks at, few at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import pyarrow as pa

from data.readers.prompts import Messages, conversations


class Prompt(NamedTuple):
    """A conversation that every model must be able to read, and where it stands."""

    place: str
    messages: Messages


@dataclass(frozen=True)
class PromptTable:
    """Prompts of a table, of which few at a time are Python objects."""

    table: pa.Table  # "messages" as in PROMPTS, and "place"

    def __iter__(self) -> Iterator[Prompt]:
        places = chain.from_iterable(self.table["place"].chunks)
        return (
            Prompt(place.as_py(), messages)
            for place, messages in zip(places, conversations(self.table), strict=True)
        )


Prompts = Sequence[Prompt] | PromptTable
