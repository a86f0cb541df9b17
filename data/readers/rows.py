"""Rows of a user's file (JSONL, JSON, Parquet, CSV, also .gz), each with the place it came from.

Whatever the bytes, the outcome is rows or an InputError that names file and line. Rows come one by
one: a file of JSON lines or Parquet is never in memory as a whole.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import InputError
from data.files import check_regular

# Arrow's own pools keep what is freed, and torch could not use it after the reading.
pa.set_memory_pool(pa.system_memory_pool())

Row = tuple[str, dict[str, Any]]  # ("file.jsonl line 3", {"prompt": ...})

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
_LARGEST = 2**31  # bytes of text; a small .gz or Parquet file can hold terabytes
csv.field_size_limit(_LARGEST)  # Python's own refuses texts of 131,073 characters
_BATCH = 1024  # rows of Parquet that are Python objects at a time
# Rows that are read at a time: with each the reader copies every text that a row group had so far.
_MOST_ROWS, _BYTES = 2**15, 2**26


def read_rows(path: str | Path, columns: Collection[str] | None = None) -> Iterator[Row]:
    """Yield (place, row) for every record of a file. Raises InputError naming file and line.

    With `columns` no other column of a Parquet file is read, and two others of a table may have
    one name: what nobody uses cannot be wrong.
    """
    path = Path(path)
    suffix = format_of(path)
    check_regular(path)
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: unknown format; give a {', '.join(SUFFIXES)} file (or .gz)")
    if suffix == ".parquet":
        yield from _parquet(path, columns)
    elif suffix == ".jsonl":
        yield from _json_lines(path)
    elif suffix == ".json":
        yield from _json(path)
    else:
        yield from _csv(path, _text(path), columns)


def format_of(path: Path) -> str:
    """The suffix that names the format, behind which .gz may stand."""
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.suffix.lower()


def column_names(path: str | Path) -> list[str] | None:
    """All columns of a Parquet file, whichever are read; None: a row of the file has them all."""
    if format_of(Path(path)) != ".parquet":
        return None
    with pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


@contextmanager
def _bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked."""
    try:
        with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
            yield cast(BinaryIO, file)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({_short(error)})") from error


def _check_size(path: Path, size: int) -> None:
    if size > _LARGEST:
        raise InputError(f"{path}: holds more than {_LARGEST} bytes of text; split it")


def _text(path: Path) -> str:
    """The whole text of a file."""
    with _bytes(path) as file:
        data = file.read(_LARGEST + 1)
    _check_size(path, len(data))
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path} line {line}: not UTF-8 text; save the file as UTF-8") from None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of every line that is not blank."""
    # By bytes: text files also end lines at U+2028, which JSON text may hold.
    size = number = 0
    with _bytes(path) as file:
        while line := file.readline(_LARGEST + 1 - size):
            size, number = size + len(line), number + 1
            _check_size(path, size)
            place = f"{path} line {number}"
            try:
                text = str(line, "utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{place}: not UTF-8 text; save the file as UTF-8") from None
            if text.strip():
                yield place, text


def _json_lines(path: Path) -> Iterator[Row]:
    for place, text in _lines(path):
        yield place, _object(_parse(text, place), place)


def _json(path: Path) -> Iterator[Row]:
    """An array of objects, one object, or JSON lines under another name, as many tools write."""
    text = _text(path)
    if text.lstrip().startswith("{") and _several(text):
        yield from _json_lines(path)
        return
    values = _parse(text, str(path))
    if isinstance(values, dict):
        yield str(path), values
        return
    if not isinstance(values, list):
        raise InputError(f"{path}: must be a JSON array of objects, or one object per line")
    for number, value in enumerate(values, start=1):
        place = f"{path} row {number}"
        yield place, _object(value, place)


def _several(text: str) -> bool:
    """Whether more text follows the first JSON value."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.msg == "Extra data"
    except (ValueError, RecursionError):
        pass
    return False


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)  # NaN, which is no JSON, may stand where nobody reads
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error.msg}); correct it") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not usable JSON ({_short(error)}); correct it") from None


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: must be an object with named fields, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")


def _csv(path: Path, text: str, columns: Collection[str] | None) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        if len(names) == 1 and (sign := next((one for one in ";\t|" if one in names[0]), None)):
            raise InputError(f"{path}: separates its fields by {sign!r}; save it with commas")
        _check_names(_used(names, columns), path)
        for row in reader:
            place = f"{path} line {reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{place}: has more or fewer fields than the header; correct it")
            yield place, row
    except csv.Error as error:
        raise InputError(
            f"{path} line {reader.reader.line_num}: not CSV ({error}); correct it"
        ) from None


def _parquet(path: Path, columns: Collection[str] | None) -> Iterator[Row]:
    number = size = 0
    try:
        with _parquet_file(path) as file:
            names = file.schema_arrow.names
            used = _used(names, columns)
            _check_names(used, path)
            if len(used) == len(names):  # else what is not read may be large
                _check_size(path, _unpacked_size(file.metadata))
            if not used:  # rows without a field, each of which will be refused by its place
                for number in range(1, file.metadata.num_rows + 1):
                    yield f"{path} row {number}", {}
            for part in _parts(file, used):
                part.validate(full=True)  # Parquet readers do not check that text is UTF-8
                size += sum(_text_size(column) for column in part.columns)
                _check_size(path, size)
                for start in range(0, len(part), _BATCH):
                    for row in part.slice(start, _BATCH).to_pylist():
                        number += 1
                        yield f"{path} row {number}", _decoded(row)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({_short(error)})") from error


def _parquet_file(path: Path) -> pq.ParquetFile:
    """The file, its texts read as dictionaries: of a text that is repeated, memory holds one."""
    with pq.ParquetFile(path) as file:
        leaves = [file.schema.column(i) for i in range(len(file.schema))]
    kinds = ("STRING", "NONE")
    texts = [
        leaf.path
        for leaf in leaves
        if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in kinds
    ]
    return pq.ParquetFile(path, read_dictionary=texts, buffer_size=2**16)


def _unpacked_size(metadata: pq.FileMetaData) -> int:
    """Bytes of all columns as the file itself declares them.

    Not column by column: pyarrow ends the process where the record of one is damaged.
    """
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    return sum(group.total_byte_size for group in groups)


def _parts(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The columns, some rows at a time, none of two row groups: each has dictionaries of its own,
    which Arrow cannot put together within lists."""
    if not columns:
        return
    size = _rows_at_a_time(file.metadata)
    for group in range(file.num_row_groups):
        yield from file.iter_batches(size, [group], columns=columns, use_threads=False)


def _rows_at_a_time(metadata: pq.FileMetaData) -> int:
    each: int = _unpacked_size(metadata) // max(1, metadata.num_rows)
    return max(1, min(_MOST_ROWS, _BYTES // max(1, each)))


def _text_size(column: pa.Array) -> int:
    """Bytes of all texts in a column, each as often as it comes; of other values their own."""
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _text_size(column.flatten())
    if pa.types.is_struct(kind):
        return sum(_text_size(part) for part in column.flatten())
    return int(column.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string)
    return any(test(kind) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary))


def _decoded(value: Any) -> Any:
    """`value` with text for bytes: older writers do not mark text as such."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {name: _decoded(inner) for name, inner in value.items()}
    return [_decoded(inner) for inner in value] if isinstance(value, list) else value


def _used(names: Sequence[str], columns: Collection[str] | None) -> list[str]:
    return [name for name in names if columns is None or name in columns]


def _check_names(names: Sequence[str], path: Path) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: has two columns named {twice[0]!r}; rename or drop one")


def _short(error: BaseException) -> str:
    """First line of an error's text, so that ours stays one line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:120]
