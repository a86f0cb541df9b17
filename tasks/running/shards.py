"""Shards: a long stage works on one slice of its prompts after the other, each its own artifact.

A crash loses the shard in flight and nothing else. A row depends on its own prompt alone, so
neither the size nor the number of the shards is part of the stage's key.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.schemas import TABLES
from data.store.artifacts import TABLE, Artifact
from data.store.store import Store
from data.tables import write_table


def slices(table: pa.Table, size: int) -> Iterator[pa.Array]:
    """The prompt ids of a table in the order they first come, at most `size` at a time."""
    ids = table["prompt_id"].unique()
    for start in range(0, len(ids), size):
        yield ids.slice(start, size)


def join(out: Path, store: Store, parts: list[Artifact]) -> dict[str, Any]:
    """Write the rows of all parts, in order; returns what they counted, added up."""
    kind = parts[0].kind
    tables = [store.table(part) for part in parts]
    write_table(out / TABLE, pa.concat_tables(tables), TABLES[kind])
    return {name: _together([part.meta[name] for part in parts]) for name in parts[0].meta}


def _together(counts: list[Any]) -> Any:
    """The sum of counts; of texts the first that says something."""
    if isinstance(counts[0], str):
        return next(filter(None, counts), "")
    return sum(counts)
