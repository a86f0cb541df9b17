"""Rows of a user's file (JSONL, JSON, Parquet, CSV, also .gz), each with the place it came from.

Whatever the bytes, the outcome is rows or an InputError that names file and line.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import InputError

Row = tuple[str, dict[str, Any]]  # ("file.jsonl line 3", {"prompt": ...})

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
_LARGEST = 2**31  # bytes of text; a small .gz file can hold terabytes


def read_rows(path: str | Path) -> Iterator[Row]:
    """Yield (place, row) for every record of a file. Raises InputError naming file and line."""
    path = Path(path)
    suffix = format_of(path)
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: unknown format; give a {', '.join(SUFFIXES)} file (or .gz)")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if suffix == ".parquet":
        yield from _parquet(path)
        return
    text = _text(path)
    readers = {".jsonl": _json_lines, ".json": _json_array, ".csv": _csv}
    yield from readers[suffix](path, text)


def format_of(path: Path) -> str:
    """The suffix that names the format, behind which .gz may stand."""
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def _text(path: Path) -> str:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise InputError(f"{path}: holds more than {_LARGEST} bytes; split it or use Parquet")
        return str(data, "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path} line {line}: not UTF-8 text; save the file as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({_short(error)})") from error


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    # Not splitlines(): that one also splits at U+2028, which JSON text may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path} line {number}"
            yield place, _object(_parse(line, place), place)


def _json_array(path: Path, text: str) -> Iterator[Row]:
    values = _parse(text, str(path))
    if not isinstance(values, list):
        raise InputError(f"{path}: must be a JSON array of objects; for one per line use .jsonl")
    for number, value in enumerate(values, start=1):
        place = f"{path} row {number}"
        yield place, _object(value, place)


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error.msg}); correct it") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not usable JSON ({_short(error)}); correct it") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: must be an object with named fields, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")


def _csv(path: Path, text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _check_names(reader.fieldnames or [], path)
        for row in reader:
            place = f"{path} line {reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{place}: has more or fewer fields than the header; correct it")
            yield place, row
    except csv.Error as error:
        raise InputError(
            f"{path} line {reader.reader.line_num}: not CSV ({error}); correct it"
        ) from None


def _parquet(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            _check_names(file.schema_arrow.names, path)
            table = file.read()
        table.validate(full=True)  # Parquet readers do not check that text is UTF-8
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({_short(error)})") from error
    for number, row in enumerate(rows, start=1):
        yield f"{path} row {number}", row


def _check_names(names: Sequence[str], path: Path) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: has two columns named {twice[0]!r}; rename or drop one")


def _short(error: BaseException) -> str:
    """First line of an error's text, so that ours stays one line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:120]
