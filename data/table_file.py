"""A table on disk of which rows are read as they are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import ArtifactError
from data.tables import check_schema


class Sliced(Protocol):
    """A table in memory or on disk: what both give of it."""

    def __len__(self) -> int: ...

    def column(self, name: str, /) -> Any:
        """A column, whole: a ChunkedArray, of texts perhaps as a dictionary."""

    def select(self, names: list[str], /) -> Any:
        """The same rows with these columns alone."""

    def append_column(self, name: str, column: pa.ChunkedArray, /) -> Any:
        """The same rows with one column more, behind the others."""

    def slice(self, offset: int, length: int, /) -> Any:
        """So many rows from there on, a pa.Table."""


class TableFile:
    """The table in a Parquet file.

    The row group that was read last is kept: parts in the order of the file read it once in all.
    """

    def __init__(self, path: str | Path, schema: pa.Schema) -> None:
        """Raises ArtifactError, as every other method does where the file cannot be read."""
        self._path, self._schema = Path(path), schema
        with self._opened() as file:
            self._metadata = file.metadata
            check_schema(file.schema_arrow, schema, str(path))
        self._added: dict[str, pa.ChunkedArray] = {}
        groups = (self._metadata.row_group(i) for i in range(self._metadata.num_row_groups))
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        self._last: tuple[int, pa.Table] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def select(self, names: list[str]) -> "TableFile":
        """The same rows with these columns of the file alone; no others are read."""
        table = copy(self)
        table._schema = pa.schema([self._schema.field(name) for name in names])
        table._added, table._last = {}, None
        return table

    def append_column(self, name: str, column: pa.ChunkedArray) -> "TableFile":
        """The same rows with a column of memory behind those that are read."""
        table = copy(self)
        table._added = self._added | {name: column}
        return table

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of the file, whole; texts as dictionaries, each row group with its own."""
        is_text = self._schema.field(name).type == pa.string()
        with self._opened([name] if is_text else []) as file:
            return file.read(columns=[name]).column(name)

    def slice(self, offset: int, length: int) -> pa.Table:
        """So many rows from there on, as far as there are any."""
        at, end, parts = offset, min(offset + length, len(self)), []
        while at < end:
            number = int(np.searchsorted(self._starts, at, side="right")) - 1
            start, stop = self._starts[number], min(end, self._starts[number + 1])
            parts.append(self._group(number).slice(at - start, stop - at))
            at = stop
        table = pa.concat_tables(parts) if parts else self._schema.empty_table()
        for name, column in self._added.items():
            table = table.append_column(name, column.slice(offset, length))
        return table

    def _group(self, number: int) -> pa.Table:
        if self._last is None or self._last[0] != number:
            self._last = None  # not two of them in memory
            with self._opened() as file:
                group = file.read_row_group(number, self._schema.names).replace_schema_metadata(
                    None
                )
            self._last = number, group
        return self._last[1]

    @contextmanager
    def _opened(self, as_dictionary: list[str] | None = None) -> Iterator[pq.ParquetFile]:
        metadata = getattr(self, "_metadata", None)
        try:
            with pq.ParquetFile(
                self._path, metadata=metadata, read_dictionary=as_dictionary
            ) as file:
                yield file
        except FileNotFoundError:
            raise ArtifactError(f"{self._path}: missing; run the stage again") from None
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise ArtifactError(
                f"{self._path}: not a readable Parquet file; run the stage again"
            ) from error
