"""Columns of a prompt file beside the prompt, which reward functions read by name."""

import json
from collections.abc import Sequence
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


def columns_by_content(tables: Sequence[pa.Table], contents: set[str]) -> dict[str, dict[str, Any]]:
    """Values of the prompts of these contents; of two tables that have one, those of the first."""
    found: dict[str, dict[str, Any]] = {}
    for table in tables:
        for batch in table.to_batches(max_chunksize=_AT_A_TIME):
            for content, text in zip(batch["content"], batch["columns"], strict=True):
                key = content.as_py()
                if key in contents and key not in found:
                    found[key] = json.loads(text.as_py())
    return found
