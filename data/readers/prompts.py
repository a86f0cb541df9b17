"""Prompts from a user's file or a `datasets` id: checked, named by content, free of doubles."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.errors import InputError
from data.readers.layouts import COLUMNS, asked, mapped
from data.readers.messages import (
    Messages,
    as_messages,
    check_text,
    content_in,
    role_of,
    silent_system,
)
from data.readers.sources import Found, found_rows
from data.recipes.prompts import PromptColumns
from data.schemas import PROMPTS

AS_NAMED = PromptColumns()


class PromptFile(NamedTuple):
    table: pa.Table  # PROMPTS
    places: pa.ChunkedArray  # text of each row: "prompts.jsonl line 3"
    counts: dict[str, int]  # read = kept + duplicate; of these, rows mended by what was dropped
    layouts: dict[str, int]  # rows read, by how their prompt was recognised


_AT_A_TIME = 1024  # rows that are Python objects at one time


def read_prompts(
    path: str | Path, dataset_name: str | None = None, columns: PromptColumns = AS_NAMED
) -> tuple[pa.Table, dict[str, int]]:
    """Prompts as a PROMPTS table, and counts; see `read_prompt_file`."""
    found = read_prompt_file(path, dataset_name, columns)
    return found.table, found.counts


def read_prompt_file(
    path: str | Path, dataset_name: str | None = None, columns: PromptColumns = AS_NAMED
) -> PromptFile:
    """Prompts as a table, where each stands, and counts.

    `data.readers.layouts` says where the prompt of a row is; `columns` says it where names do not.
    A row may have `prompt_id` and `dataset` (or `source`), which otherwise come from the content
    and from `dataset_name` or the file's name. Of a talk that ends with an answer, the answer is
    dropped; so are turns of the system without a word, and rows that repeat another's messages, up
    to white space around each; all are counted. Raises InputError with file and line for what
    cannot be a prompt.
    """
    source = found_rows(path, {*COLUMNS, *columns.named().values()})
    # Arrow's texts, not Python's: those of 200,000 rows would take more than the prompts.
    done: list[pa.RecordBatch] = []
    where: list[pa.Array] = []
    kept: list[dict[str, Any]] = []
    places: list[str] = []  # of the kept rows
    ids: set[str] = set()
    contents: set[bytes] = set()
    counts = {"read": 0, "kept": 0, "duplicate": 0}
    layouts: Counter[str] = Counter()
    for place, row in source.rows:
        counts["read"] += 1
        others = partial(all_names, source, list(row))
        prompt, layout, mended = prompt_of(row, columns, place, others, dataset_name or source.name)
        layouts[layout] += 1
        for what in mended:
            counts[what] = counts.get(what, 0) + 1
        content = bytes.fromhex(content_of(prompt["messages"]))
        if content in contents:
            counts["duplicate"] += 1
            continue
        contents.add(content)
        kept.append(prompt)
        places.append(place)
        if prompt["prompt_id"] in ids:
            other = _place_of(prompt["prompt_id"], [*done, _batch(kept)], [*where, places])
            raise InputError(
                f"{place}: prompt_id {prompt['prompt_id']!r} is that of another prompt ({other})"
            )
        ids.add(prompt["prompt_id"])
        if len(kept) == _AT_A_TIME:
            done.append(_batch(kept))
            where.append(pa.array(places, pa.string()))
            kept, places = [], []
    if not ids:
        raise InputError(f"{path}: holds no prompts; give at least one")
    counts["kept"] = len(ids)
    table = pa.Table.from_batches([*done, _batch(kept)]).combine_chunks()
    every = pa.chunked_array([*where, pa.array(places, pa.string())])
    return PromptFile(table, pa.chunked_array([every.combine_chunks()]), counts, dict(layouts))


def all_names(source: Found, read: list[str]) -> list[str]:
    """All columns of a row, of which some may not have been read."""
    return source.columns() or read


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=PROMPTS)


def _place_of(
    prompt_id: str, batches: Iterable[pa.RecordBatch], places: Iterable[Iterable[object]]
) -> str:
    """Where the first prompt of that id stands."""
    ids = chain.from_iterable(batch["prompt_id"] for batch in batches)
    return next(
        str(place)
        for known, place in zip(ids, chain.from_iterable(places), strict=True)
        if known.as_py() == prompt_id
    )


def conversations(prompts: pa.Table) -> Iterator[Messages]:
    """The messages of PROMPTS one by one: as Python objects, a table is many times as large."""
    for batch in prompts.select(["messages"]).to_batches(max_chunksize=_AT_A_TIME):
        yield from batch["messages"].to_pylist()


def prompt_id(messages: Messages) -> str:
    """Id of a prompt by its content: 16 hex digits."""
    return sha256(_canonical(messages)).hexdigest()[:16]


def _canonical(messages: Messages) -> bytes:
    """`canonical_json` of messages, in a fraction of its time: a million prompts are hashed."""
    turns = (
        f'{{"content":{quoted(turn["content"])},"role":{quoted(turn["role"])}}}'
        for turn in messages
    )
    return f"[{','.join(turns)}]".encode()


def content_of(messages: Messages) -> str:
    """Equal for prompts that are one: the id of the messages less the white space around each.

    Many chat templates trim, and then the models cannot tell such prompts apart.
    """
    return prompt_id([message | {"content": message["content"].strip()} for message in messages])


def prompt_of(
    row: dict[str, Any],
    columns: PromptColumns,
    place: str,
    others: Callable[[], Sequence[str]],
    dataset: str,
) -> tuple[dict[str, Any], str, list[str]]:
    """A row of PROMPTS, how it was recognised, and what was left out of it.

    That is "answer_dropped" or "empty_system". `others` are all columns, for messages.
    """
    row = mapped(row, columns, place, others)
    found = asked(row, place, others)
    value, mended = found.value, []
    if isinstance(value, list):
        if any(silent_system(item) for item in value):
            mended.append("empty_system")
        if found.whole and value and role_of(value[-1]) == "assistant":
            if content_in(value[-1]):
                mended.append("answer_dropped")
            while value and role_of(value[-1]) == "assistant":  # some talks end with two
                value = value[:-1]
            if not value:
                raise InputError(
                    f"{place}: {found.column} has no turn of the user; add it or remove the row"
                )
    messages = as_messages(value, place, found.column)
    given = row.get("prompt_id")
    source = next((row[name] for name in ("dataset", "source") if row.get(name)), dataset)
    prompt = {
        "prompt_id": prompt_id(messages)
        if given is None
        else check_text(given, place, "prompt_id"),
        "messages": messages,
        "dataset": check_text(source, place, "dataset"),
    }
    return prompt, found.layout, mended
