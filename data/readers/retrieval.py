"""Texts for encoders: files of them, retrieval collections as BEIR has them, scored pairs."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.readers.rows import read_rows
from data.schemas import RELEVANCE, TEXT_PAIRS, TEXTS

CORPUS, ASKED, JUDGED = "corpus.jsonl", "queries.jsonl", "qrels/test.tsv"
Counts = dict[str, int]


def text_id(text: str) -> str:
    """The name of a text that has none of its own."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def read_texts(files: Iterable[tuple[str | Path, str, str]]) -> tuple[pa.Table, Counts]:
    """TEXTS of files, each given with the column of the text and the name of its data set.

    A text that is there twice counts once, with its first file. Counts: rows = empty + repeated +
    texts. Raises InputError for a row without the column, or with something else in it.
    """
    found: dict[str, tuple[str, str]] = {}
    counts = {"rows": 0, "empty": 0, "repeated": 0}
    for path, column, name in files:
        for place, row in read_rows(path, [column]):
            text = _text(row, column, place).strip()
            counts["rows"] += 1
            key = text_id(text)
            if not text:
                counts["empty"] += 1
            elif key in found:
                counts["repeated"] += 1
            else:
                found[key] = text, name
    return _texts([(key, text, name) for key, (text, name) in found.items()]), counts


def read_corpus(folder: str | Path, name: str) -> pa.Table:
    """TEXTS: the documents of a collection, title and text. Raises InputError."""
    return _named(Path(folder) / CORPUS, name, ("title", "text"))


def read_queries(folder: str | Path, name: str) -> pa.Table:
    """TEXTS: its queries that have a judgment above 0; the others cannot be measured. Raises
    InputError."""
    table = _named(Path(folder) / ASKED, name, ("text",))
    judged = set(read_relevance(folder)["query_id"].to_pylist())
    asked = [row for row in table.to_pylist() if row["text_id"] in judged]
    return pa.Table.from_pylist(asked, TEXTS)


def read_relevance(folder: str | Path) -> pa.Table:
    """RELEVANCE of those of its queries that have a judgment above 0.

    Raises InputError for a line that is no judgment, for one of a query or document that is not
    there, and where none is above 0.
    """
    path = Path(folder) / JUDGED
    queries, documents = (_ids(Path(folder) / name) for name in (ASKED, CORPUS))
    rows: dict[tuple[str, str], int] = {}
    for number, line in enumerate(_lines(path), start=1):
        place, parts = f"{path} line {number}", line.split("\t")
        if number == 1 and parts[-1:] == ["score"]:
            continue
        if len(parts) != 3 or not re.fullmatch(r"-?[0-9]+", parts[2]):
            raise InputError(f"{place}: must be query, document and a whole number, by tabs")
        query, document, score = parts[0], parts[1], int(parts[2])
        for what, key, known in (("query", query, queries), ("document", document, documents)):
            if key not in known:
                raise InputError(f"{place}: there is no {what} {key!r} in the collection")
        rows[query, document] = score
    useful = {query for (query, _), score in rows.items() if score > 0}
    if not useful:
        raise InputError(f"{path}: no judgment is above 0, so there is nothing to find")
    kept = [(q, d, score) for (q, d), score in rows.items() if q in useful]
    return pa.table(list(map(list, zip(*kept, strict=True))), schema=RELEVANCE)


def read_pairs(path: str | Path) -> tuple[pa.Table, pa.Table]:
    """TEXT_PAIRS of a file, and the TEXTS that they are of. Raises InputError."""
    names, texts, pairs = ("sentence1", "sentence2", "score"), dict[str, str](), []
    for number, (place, row) in enumerate(read_rows(path, names)):
        left, right = (_text(row, name, place).strip() for name in names[:2])
        if not left or not right:
            raise InputError(f"{place}: a text is empty; remove the row")
        for text in (left, right):
            texts[text_id(text)] = text
        pairs.append((str(number), text_id(left), text_id(right), _score(row, place)))
    if not pairs:
        raise InputError(f"{path}: holds no pair; name a file of rows with {', '.join(names)}")
    if len({score for *_, score in pairs}) < 2:
        raise InputError(
            f"{path}: every pair has the score {pairs[0][-1]:g}, so they have no order to compare "
            "with; name pairs of different scores, or leave the file out"
        )
    columns = list(map(list, zip(*pairs, strict=True)))
    name = Path(path).name.split(".")[0]
    return pa.table(columns, schema=TEXT_PAIRS), _texts([(k, t, name) for k, t in texts.items()])


def _named(path: Path, dataset: str, columns: Sequence[str]) -> pa.Table:
    """The texts of rows that have an `_id`. Raises InputError."""
    found: dict[str, tuple[str, str, str]] = {}
    for place, row in read_rows(path):
        key = _text(row, "_id", place)
        if key in found:
            raise InputError(f"{place}: the _id {key!r} is there twice; give each its own")
        parts = [_text(row, name, place) for name in columns if name != "title" or name in row]
        found[key] = key, " ".join(part.strip() for part in parts if part.strip()), dataset
    if not found:
        raise InputError(f"{path}: is empty")
    return _texts(list(found.values()))


def _ids(path: Path) -> set[str]:
    return {_text(row, "_id", place) for place, row in read_rows(path)}


def _texts(rows: list[tuple[str, str, str]]) -> pa.Table:
    columns = list(map(list, zip(*rows, strict=True))) if rows else [[], [], []]
    return pa.table(columns, schema=TEXTS)


def _text(row: dict[str, Any], column: str, place: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        said = "is no text" if column in row else "is missing"
        raise InputError(f"{place}: the column {column!r} {said}; name another, or correct it")
    return value


def _score(row: dict[str, Any], place: str) -> float:
    try:
        score = float(row["score"])
    except (KeyError, TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        said = "holds no number" if "score" in row else "is missing"
        raise InputError(f"{place}: the column 'score' {said}; correct it")
    return score


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); check it") from None
