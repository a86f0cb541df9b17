"""Prompts from a user's file or a `datasets` id: checked, named by content, free of doubles."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data.digests import digest_of
from data.errors import InputError
from data.rows import SUFFIXES, Row, read_rows
from data.schemas import PROMPTS

ROLES = ("system", "user", "assistant")
Messages = list[dict[str, str]]


class PromptFile(NamedTuple):
    table: pa.Table  # PROMPTS
    places: list[str]  # of each row: "prompts.jsonl line 3"
    counts: dict[str, int]  # read = kept + duplicate


# org/name or name, with an optional revision and split: org/name@refs/convert/parquet:test
_DATASET_ID = re.compile(
    r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?(:(?P<split>[\w.\[\]%:+-]+))?"
)


def read_prompts(
    path: str | Path, dataset_name: str | None = None
) -> tuple[pa.Table, dict[str, int]]:
    """Prompts as a PROMPTS table, and counts: read = kept + duplicate. See `read_prompt_file`."""
    found = read_prompt_file(path, dataset_name)
    return found.table, found.counts


def read_prompt_file(path: str | Path, dataset_name: str | None = None) -> PromptFile:
    """Prompts as a table, where each stands, and counts.

    A row has `prompt` (text or messages) or `messages`; optionally `prompt_id` and `dataset` (or
    `source`), which otherwise come from the content and from `dataset_name` or the file's name.
    Rows that repeat another's messages are dropped and counted. Raises InputError with file and
    line for anything that cannot be a prompt.
    """
    rows, name = _source(path)
    kept: list[dict[str, Any]] = []
    places: dict[str, str] = {}  # prompt_id -> where it stands
    contents: set[str] = set()
    read = 0
    for place, row in rows:
        read += 1
        prompt = _prompt(row, place, dataset_name or name)
        content = digest_of(prompt["messages"])
        if content in contents:
            continue
        if prompt["prompt_id"] in places:
            other = places[prompt["prompt_id"]]
            raise InputError(
                f"{place}: prompt_id {prompt['prompt_id']!r} is that of another prompt ({other})"
            )
        contents.add(content)
        places[prompt["prompt_id"]] = place
        kept.append(prompt)
    if not kept:
        raise InputError(f"{path}: holds no prompts; give at least one")
    counts = {"read": read, "kept": len(kept), "duplicate": read - len(kept)}
    return PromptFile(pa.Table.from_pylist(kept, schema=PROMPTS), list(places.values()), counts)


def without_prompts(pool: pa.Table, held_out: Iterable[pa.Table]) -> pa.Table:
    """The prompts of `pool` whose messages are in none of the `held_out` tables."""
    # By their text: two files may give the same prompt different ids.
    gone = {str(m) for table in held_out for m in table["messages"].to_pylist()}
    keep = [str(messages) not in gone for messages in pool["messages"].to_pylist()]
    return pool.filter(pa.array(keep, pa.bool_()))


def split_prompts(pool: pa.Table, dev_size: int, test_size: int, seed: int) -> dict[str, pa.Table]:
    """Disjoint parts "test", "dev" and "pool" of the prompts, by seed.

    Raises:
        InputError: fewer prompts than the held-out parts take.
    """
    if len(pool) <= dev_size + test_size:
        raise InputError(
            f"prompts.path: {len(pool)} prompts are too few to hold out {dev_size} + {test_size}; "
            "bring more, lower prompts.dev_size and prompts.test_size, or name dev_path, test_path"
        )
    order = np.random.default_rng(seed).permutation(len(pool))
    bounds = {
        "test": order[:test_size],
        "dev": order[test_size : test_size + dev_size],
        "pool": order[test_size + dev_size :],
    }
    return {part: pool.take(pa.array(np.sort(rows))) for part, rows in bounds.items()}


def prompt_id(messages: Messages) -> str:
    """Id of a prompt by its content: 16 hex digits."""
    return digest_of(messages).removeprefix("sha256:")[:16]


def as_messages(value: Any, place: str, field: str = "prompt") -> Messages:
    """Text or a list of messages, as checked messages that end with the user's turn."""
    if isinstance(value, str):
        value = [{"role": "user", "content": check_text(value, place, field)}]
    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: {field} must be text or a list of messages")
    messages = [_message(item, place, field) for item in value]
    if messages[-1]["role"] != "user":
        raise InputError(f"{place}: {field} must end with the user's message; drop the answer")
    return messages


def check_text(value: Any, place: str, field: str, blank: bool = False) -> str:
    """`value` if it is text that has UTF-8 and, unless `blank`, is not blank. Raises InputError."""
    if not isinstance(value, str):
        raise InputError(f"{place}: {field} must be text, got {type(value).__name__}")
    if not (blank or value.strip()):
        raise InputError(f"{place}: {field} is empty; fill it or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{place}: {field} holds a lone surrogate; remove it") from None
    return value


def _message(item: Any, place: str, field: str) -> dict[str, str]:
    if not isinstance(item, dict):
        raise InputError(f"{place}: {field} must be text or a list of messages")
    extra = [key for key, value in item.items() if key not in ("role", "content") and value]
    if extra:
        raise InputError(f"{place}: {field} has a message with {extra[0]!r}; only role and content")
    role = item.get("role")
    if role not in ROLES:
        raise InputError(f"{place}: {field} has the role {role!r}; use {', '.join(ROLES)}")
    return {"role": role, "content": check_text(item.get("content"), place, f"{field} content")}


def _prompt(row: dict[str, Any], place: str, dataset: str) -> dict[str, Any]:
    present = [name for name in ("prompt", "messages") if row.get(name) is not None]
    if len(present) != 1:
        raise InputError(f"{place}: needs exactly one of the fields 'prompt' and 'messages'")
    value = row[present[0]]
    if present[0] == "messages" and isinstance(value, str):
        raise InputError(f"{place}: messages must be a list; name the field 'prompt' for text")
    messages = as_messages(value, place, present[0])
    given = row.get("prompt_id")
    source = next((row[name] for name in ("dataset", "source") if row.get(name)), dataset)
    return {
        "prompt_id": prompt_id(messages)
        if given is None
        else check_text(given, place, "prompt_id"),
        "messages": messages,
        "dataset": check_text(source, place, "dataset"),
    }


def _source(path: str | Path) -> tuple[Iterable[Row], str]:
    """The rows behind a path or `datasets` id, and a name for them."""
    text = str(path)
    found = _DATASET_ID.fullmatch(text)
    is_file = Path(text).suffix in (*SUFFIXES, ".gz") or Path(text).exists()
    if is_file or found is None:
        return read_rows(text), Path(text).name.split(".")[0] or "prompts"
    rows = _dataset_rows(found["name"], found["split"] or "train", found["revision"])
    return rows, found["name"]


def _dataset_rows(name: str, split: str, revision: str | None) -> Iterator[Row]:
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split, revision=revision)
    except Exception as error:  # the library's and its network client's errors have no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise InputError(
            f"{name}: neither a file nor a data set that can be loaded ({reason})"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{name}:{split} row {number}", dict(row)
