"""Joins by id of tables that are too large to be Python objects."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.table_file import Sliced
from data.tables import assert_same_ids, index_by

_AT_A_TIME = 65_536  # rows

Hashes = npt.NDArray[np.uint64]


def column_by_id(table: Sliced, other: Sliced, key: str, value: str) -> pa.ChunkedArray:
    """Column `value` of `other` in the order of `table`, joined by the ids in column `key`.

    Where both have their ids in one order, which is usual, neither is in memory as a whole.

    Raises:
        CardinalityError: the tables do not hold the same ids, or hold one twice.
    """
    ids, rows = table.select([key]), other.select([key, value])
    if len(ids) == len(rows):
        hashes: list[Hashes] = []
        values: list[pa.Array] = []
        for start in range(0, len(ids), _AT_A_TIME):
            own, part = ids.slice(start, _AT_A_TIME)[key], rows.slice(start, _AT_A_TIME)
            if not own.equals(part[key]):
                break
            hashes.append(_hashes(own))
            values += part[value].chunks
        else:
            if _all_differ(hashes):
                return pa.chunked_array(values, other.slice(0, 0).schema.field(value).type)
    return _joined(ids.slice(0, len(ids)), rows.slice(0, len(rows)), key, value)


def _joined(ids: pa.Table, rows: pa.Table, key: str, value: str) -> pa.ChunkedArray:
    places = pc.index_in(ids[key], value_set=rows[key])
    each_once = all(pc.count_distinct(one[key]).as_py() == len(one) for one in (ids, rows))
    if not each_once or len(ids) != len(rows) or places.null_count:
        assert_same_ids(ids, rows, key)  # which says what is wrong
    return rows[value].take(places)


def assert_unique(tables: Sequence[Sliced], key: str) -> None:
    """No id in column `key` stands twice in these tables. Raises CardinalityError."""
    parts = [table.select([key]) for table in tables]
    starts = [(part, start) for part in parts for start in range(0, len(part), _AT_A_TIME)]
    if not _all_differ([_hashes(part.slice(start, _AT_A_TIME)[key]) for part, start in starts]):
        index_by(pa.concat_tables([part.slice(0, len(part)) for part in parts]), key)


def gathered(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """The rows of these numbers, as `table.take`, which fails where a column's texts exceed 2 GiB.

    Column by column, and of each some rows at a time from chunk after chunk.
    """
    columns = [_gathered(column, rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _gathered(column: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> pa.ChunkedArray:
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    pieces = []
    for start in range(0, len(rows), _AT_A_TIME):
        piece = rows[start : start + _AT_A_TIME]
        chunks = np.searchsorted(ends, piece, side="right")
        order = np.argsort(chunks, kind="stable")
        found = []
        for number in np.unique(chunks).tolist():
            chunk = column.chunk(number)
            wanted = piece[order][chunks[order] == number] - (ends[number] - len(chunk))
            found.append(chunk.take(pa.array(wanted)))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        pieces.append(pa.concat_arrays(found).take(pa.array(back)))
    return pa.chunked_array(pieces, column.type)


def _hashes(ids: pa.ChunkedArray) -> Hashes:
    """Of 64 bits: equal ids have one, and others hardly ever."""
    import pandas as pd  # takes half a second that a run with nothing to do does not have

    return pd.util.hash_array(ids.to_numpy(), categorize=False)


def _all_differ(hashes: Sequence[Hashes]) -> bool:
    known = np.sort(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64)
    return bool(np.all(known[1:] != known[:-1]))
