"""Tables on disk and joins by id: exact schemas in, exact schemas out, cardinality asserted."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import ArtifactError, CardinalityError

# Fixed, so that the same table gives the same bytes whatever its chunks were.
_ROW_GROUP = 65_536
_LARGE_ROWS = 256  # of rows with numbers by the thousand, so that a group fits into memory


def write_table(path: str | Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write `table` as Parquet (zstd, no foreign metadata); equal rows give equal bytes.

    Raises ArtifactError where a column differs from `schema`, an id is null or a number is not
    finite.
    """
    write_tables(path, [table], schema)


def write_tables(path: str | Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write the rows of all tables, in order, as `write_table` those of one.

    No more of them is in memory than a row group and the table at hand. Raises ArtifactError.
    """
    groups = _row_groups(_plain(tables, schema, str(path)), schema)
    first = next(groups)  # of one table all is checked before there is a file
    with pq.ParquetWriter(
        path, schema, compression="zstd", version="2.6", use_dictionary=True
    ) as file:
        for group in chain([first], groups):
            file.write_table(group, row_group_size=_rows_per_group(schema))


def _plain(tables: Iterable[pa.Table], schema: pa.Schema, where: str) -> Iterator[pa.Table]:
    for table in tables:
        check_schema(table.schema, schema, where)
        _check_values(table, where)
        # Taking the columns under our own schema sheds metadata that pandas or a reader attached.
        yield pa.Table.from_arrays(table.columns, schema=schema)


def _row_groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of all tables in groups of one chunk each, of which the last may be smaller.

    Without a row there is one empty group.
    """
    left, size = schema.empty_table(), _rows_per_group(schema)
    for table in tables:
        left = pa.concat_tables([left, table])
        while len(left) > size:
            yield left.slice(0, size).combine_chunks()
            left = left.slice(size)
    yield left.combine_chunks()


def _rows_per_group(schema: pa.Schema) -> int:
    lists = (field.type.value_type for field in schema if pa.types.is_list(field.type))
    return _LARGE_ROWS if any(map(pa.types.is_floating, lists)) else _ROW_GROUP


def read_table(path: str | Path, schema: pa.Schema | None = None) -> pa.Table:
    """The Parquet table at `path`; with `schema`, exactly of that schema. Raises ArtifactError."""
    try:
        # Not pq.read_table: that one reads column names out of folder names.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run the stage again") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise ArtifactError(f"{path}: not a readable Parquet file; run the stage again") from error
    if schema is not None:
        check_schema(table.schema, schema, str(path))
    return table.replace_schema_metadata(None)


def check_schema(found: pa.Schema, wanted: pa.Schema, where: str) -> None:
    """Raise ArtifactError naming the first column of `found` that is not as in `wanted`."""
    missing = [name for name in wanted.names if name not in found.names]
    extra = [name for name in found.names if name not in wanted.names]
    if missing:
        raise ArtifactError(f"{where}: column {missing[0]!r} is missing; add it")
    if extra:
        raise ArtifactError(f"{where}: column {extra[0]!r} is not in the schema; drop it")
    for field in wanted:
        if found.field(field.name).type != field.type:
            raise ArtifactError(
                f"{where}: column {field.name!r} is {found.field(field.name).type}, must be "
                f"{field.type}; build the table with its schema"
            )
    if found.names != wanted.names:
        raise ArtifactError(f"{where}: columns must come in the order {', '.join(wanted.names)}")


def _check_values(table: pa.Table, where: str) -> None:
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name.endswith("_id") and column.null_count:
            raise ArtifactError(f"{where}: column {name!r} holds a null; every row needs its id")
        if pa.types.is_floating(column.type):
            finite = pc.all(pc.is_finite(column)).as_py()  # None for a column of nulls
            if finite is False:
                raise ArtifactError(f"{where}: column {name!r} holds a NaN or infinite value")


def completion_id(prompt_id: str, sample: int) -> str:
    """Id of sample number `sample` of a prompt, unique within a round."""
    return f"{prompt_id}-{sample}"


def as_sampled(table: pa.Table, text: str, token_ids: str) -> list[str | list[int]]:
    """Every row's completion: the token ids it was sampled as, or its text where none are known."""
    columns = (table[name].to_pylist() for name in (text, token_ids))
    return [words if ids is None else ids for words, ids in zip(*columns, strict=True)]


def index_by(table: pa.Table, column: str) -> dict[str, int]:
    """Row number of each id in `column`. Raises CardinalityError for an id that occurs twice."""
    index: dict[Any, int] = {}
    for row, value in enumerate(table[column].to_pylist()):
        if index.setdefault(value, row) != row:
            raise CardinalityError(f"{column} {value!r}: occurs more than once, must be unique")
    return index


def mapping(table: pa.Table, key: str, value: str) -> dict[str, Any]:
    """Column `value` by the unique ids in column `key`. Raises CardinalityError."""
    index_by(table, key)
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))


def assert_same_ids(a: pa.Table, b: pa.Table, column: str) -> None:
    """Both tables hold the same ids, each once. Raises CardinalityError naming one that differs."""
    in_a, in_b = index_by(a, column), index_by(b, column)
    for one, other, side in ((in_a, in_b, "second"), (in_b, in_a, "first")):
        lost = [value for value in one if value not in other]
        if lost:
            raise CardinalityError(
                f"{column} {lost[0]!r}: missing from the {side} table ({len(lost)} such ids)"
            )


def take_ids(table: pa.Table, column: str, ids: Sequence[str]) -> pa.Table:
    """The rows of `table` whose `column` is in `ids`, one per id and in the order of `ids`.

    Raises CardinalityError for an id that is missing or, in the table, not unique.
    """
    index = index_by(table, column)
    lost = [value for value in ids if value not in index]
    if lost:
        raise CardinalityError(f"{column} {lost[0]!r}: not in the table ({len(lost)} such ids)")
    return table.take(pa.array([index[value] for value in ids], pa.int64()))
