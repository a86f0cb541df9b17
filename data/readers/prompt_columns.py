"""Columns of a prompt file beside the prompt, which reward functions read by name."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.readers.layouts import COLUMNS
from data.readers.prompts import AS_NAMED, all_names, content_of, prompt_of
from data.readers.sources import found_rows
from data.recipes.prompts import PromptColumns
from data.schemas import PROMPT_COLUMNS

_AT_A_TIME = 1024  # rows that are Python objects at one time


def read_columns(
    path: str | Path, names: Sequence[str], columns: PromptColumns = AS_NAMED
) -> tuple[pa.Table, dict[str, int]]:
    """A PROMPT_COLUMNS table, a row for each prompt, and how many prompts have each column.

    Of prompts that are one, the first counts, as `read_prompts` has it. Raises InputError.
    """
    source = found_rows(path, {*COLUMNS, *columns.named().values(), *names})
    seen: set[str] = set()
    batches: list[pa.RecordBatch] = []
    kept: list[dict[str, str]] = []
    counts = dict.fromkeys(names, 0)
    for place, row in source.rows:
        others = partial(all_names, source, list(row))
        prompt, *_ = prompt_of(row, columns, place, others, source.name)
        content = content_of(prompt["messages"])
        if content in seen:
            continue
        seen.add(content)
        values = {name: row[name] for name in names if row.get(name) is not None}
        for given in values:
            counts[given] += 1
        kept.append({"content": content, "columns": _json(values, place)})
        if len(kept) == _AT_A_TIME:
            batches.append(pa.RecordBatch.from_pylist(kept, schema=PROMPT_COLUMNS))
            kept = []
    batches.append(pa.RecordBatch.from_pylist(kept, schema=PROMPT_COLUMNS))
    return pa.Table.from_batches(batches), counts


def _json(values: dict[str, Any], place: str) -> str:
    try:
        return json.dumps(values, ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {', '.join(values)}: {error}; give plain values") from None


class ByContent:
    """Values of prompts by their content; of two tables that have one, those of the first."""

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        table = pa.concat_tables(tables or [PROMPT_COLUMNS.empty_table()])
        self._texts = table["columns"]
        self._rows: dict[str, int] = {}
        for row, content in enumerate(table["content"].to_pylist()):
            self._rows.setdefault(content, row)

    def of(self, contents: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The values of those prompts that are there."""
        rows = {content: self._rows[content] for content in contents if content in self._rows}
        return {content: json.loads(self._texts[row].as_py()) for content, row in rows.items()}
