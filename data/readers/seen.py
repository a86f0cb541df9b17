"""Prompts as they are looked at before a run: few at a time, each with its place, and counted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import pyarrow as pa

from data.readers.messages import Messages
from data.readers.prompts import conversations

# Why a prompt of the pool is never drawn, in words behind their number.
LOST = {
    "repeated": "are of an earlier source too",
    "held_out": "are held out too",
    "exact": "are held out too but for case and white space",
    "8gram": "share eight words in a row with a held-out prompt",
}


class Prompt(NamedTuple):
    """A conversation that every model must be able to read, and where it stands."""

    place: str
    messages: Messages


@dataclass(frozen=True)
class PromptTable:
    """Prompts of a table, of which few at a time are Python objects."""

    table: pa.Table  # "messages" as in PROMPTS, and "place"
    notes: tuple[str, ...] = ()  # on the prompts as a whole: what is no error

    def __iter__(self) -> Iterator[Prompt]:
        places = chain.from_iterable(self.table["place"].chunks)
        return (
            Prompt(place.as_py(), messages)
            for place, messages in zip(places, conversations(self.table), strict=True)
        )


def lost_in_words(lost: Sequence[Mapping[str, int]]) -> str:
    """How many prompts of sources leave the pool and why, in brackets; "" where none does."""
    sums = {why: sum(one.get(why, 0) for one in lost) for why in LOST}
    said = "; ".join(f"{number} {LOST[why]}" for why, number in sums.items() if number)
    return f" ({said})" if said else ""


Prompts = Sequence[Prompt] | PromptTable


@dataclass(frozen=True)
class File:
    """A file of prompts: `read` rows, of which `kept` are prompts; what became of the others."""

    field: str
    name: str
    read: int
    kept: int
    counts: dict[str, int]  # duplicate: dropped; answer_dropped, empty_system: mended
    layouts: dict[str, int]  # rows, by how their prompt was recognised
    weight: float | None = None  # of one of several sources of the pool


@dataclass
class Counted:
    """How many prompts a recipe has."""

    files: list[File] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)  # prompts of the pool that leave it, by why
    parts: dict[str, int] = field(default_factory=dict)  # prompts: pool, dev, test
    rows: dict[str, int] = field(default_factory=dict)  # of files, for tasks.running.bounds
