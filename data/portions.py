"""Some prompts at a time, and the rows that any table has of them.

Prompts come in the order in which they first stand in one table. Of a table that has them in this
order too a portion is a slice; one that has them in another order is put into this one, once. Texts
for encoders, which are of no prompt, are divided alike.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.joins import gathered
from data.table_file import Sliced

Numbers = npt.NDArray[np.int32]


class Portion:
    """The rows of one table, by portions of the prompts."""

    def __init__(self, table: Sliced, portions: Numbers, number: int, left_out: pa.Array) -> None:
        """`portions`: of every row, below 0 for one that is in none; `number` of them there are."""
        self.left_out = left_out  # ids of prompts whose rows are in none
        if len(portions) and (portions[0] < 0 or np.any(np.diff(portions) < 0)):
            order = np.argsort(portions, kind="stable")
            order = order[np.searchsorted(portions[order], 0) :]
            whole = table.slice(0, len(table))
            table, portions = gathered(whole, order), portions[order]
        self._table = table
        self._bounds = np.searchsorted(portions, np.arange(number + 1)).tolist()

    def __getitem__(self, number: int) -> pa.Table:
        start, stop = self._bounds[number : number + 2]
        return self._table.slice(start, stop - start)


class Portions:
    """The prompts of a table, at most `size` at a time."""

    def __init__(self, table: Sliced, size: int) -> None:
        self._table, self.size = table, size
        known = table.slice(0, 0).schema.names
        self._key = "prompt_id" if "prompt_id" in known else "text_id"
        self._codes, self.ids = numbered(table.column(self._key))

    def __len__(self) -> int:
        return -(-len(self.ids) // self.size)

    def prompts(self, number: int) -> pa.Array:
        """The ids of a portion's prompts."""
        return self.ids.slice(number * self.size, self.size)

    def of(self, table: Sliced) -> Portion:
        """The rows of another table."""
        codes, ids = numbered(table.column(self._key))
        places = pc.index_in(ids, value_set=self.ids)
        known = pc.fill_null(places, -1).to_numpy().astype(np.int32)
        return self._divided(table, known[codes], ids.filter(pc.is_null(places)))

    @cached_property
    def own(self) -> Portion:
        """The rows of the table whose prompts these are."""
        return self._divided(self._table, self._codes, self.ids.slice(0, 0))

    def __iter__(self) -> Iterator[pa.Table]:
        return (self.own[number] for number in range(len(self)))

    def _divided(self, table: Sliced, codes: Numbers, left_out: pa.Array) -> Portion:
        return Portion(table, codes // self.size, len(self), left_out)


def numbered(column: pa.ChunkedArray) -> tuple[Numbers, pa.Array]:
    """Of every row the number of its text, and the texts, in the order they first come."""
    if not len(column):
        return np.zeros(0, np.int32), pa.array([], pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    else:
        column = column.dictionary_encode()  # one dictionary for all chunks
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    texts = column.chunk(column.num_chunks - 1).dictionary
    first = pc.unique(pa.array(codes)).to_numpy()
    numbers = np.zeros(len(texts), np.int32)
    numbers[first] = np.arange(len(first), dtype=np.int32)
    return numbers[codes], texts.take(pa.array(first))


def in_order_of(table: pa.Table, column: str) -> pa.Table:
    """The rows by a column of texts, those of one text in the order they come."""
    codes, texts = numbered(table[column])
    ranks = np.empty(len(texts), np.int64)
    ranks[pc.sort_indices(texts).to_numpy()] = np.arange(len(texts))
    return gathered(table, np.argsort(ranks[codes], kind="stable"))
