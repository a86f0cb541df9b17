"""Shards: a long stage works on one slice of its prompts after the other, each its own artifact.

A crash loses the shard in flight and nothing else. A row depends on its own prompt alone, so
neither the size nor the number of the shards is part of the stage's key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.portions import Portions
from data.schemas import TABLES
from data.store.artifacts import TABLE, Artifact
from data.store.digests import digest_of
from data.store.store import Store
from data.tables import write_tables


class Cut:
    """The prompts of a table, at most `size` a shard, and the rows of every table by shard.

    Where in a table the rows of a shard are is looked up once for all shards. Pickled it is the
    name of the table alone.
    """

    def __init__(self, store: Store, table: Artifact, size: int) -> None:
        self._named = store, table, size
        self._portions = Portions(store.open(table), size)
        self._tables = {table.digest: self._portions.own}
        self._made: dict[str, Any] = {}

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, asked for it once."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._named

    def __len__(self) -> int:
        return len(self._portions)

    def name(self, number: int) -> str:
        """What tells a shard from others in its key: a digest of its prompts' ids."""
        return digest_of(self._portions.prompts(number).to_pylist())

    def share(self, number: int) -> float:
        """Of all prompts, those of a shard."""
        return len(self._portions.prompts(number)) / len(self._portions.ids)

    def table(self, artifact: Artifact, number: int) -> pa.Table:
        """Of a table the rows of the shard's prompts, in the order of the table."""
        if artifact.digest not in self._tables:
            self._tables[artifact.digest] = self._portions.of(self._named[0].open(artifact))
        return self._tables[artifact.digest][number]


@dataclass(frozen=True)
class Shard:
    """One of them."""

    cut: Cut
    number: int  # from 0

    def table(self, artifact: Artifact) -> pa.Table:
        return self.cut.table(artifact, self.number)

    @property
    def name(self) -> str:
        return self.cut.name(self.number)

    @property
    def share(self) -> float:
        """Of all prompts, those of the shard."""
        return self.cut.share(self.number)


def join(out: Path, store: Store, parts: list[Artifact]) -> dict[str, Any]:
    """Write the rows of all parts, in order; returns what they counted, added up."""
    kind = parts[0].kind
    write_tables(out / TABLE, (store.table(part) for part in parts), TABLES[kind])
    return {name: _together([part.meta[name] for part in parts]) for name in parts[0].meta}


def _together(counts: list[Any]) -> Any:
    """The sum of counts; of texts the first that says something."""
    if isinstance(counts[0], str):
        return next(filter(None, counts), "")
    return sum(counts)
