"""Prompts from a user's file or a `datasets` id: checked, named by content, free of doubles."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data.errors import InputError
from data.paths import is_url
from data.readers.hub import quiet_hub
from data.readers.rows import SUFFIXES, Row, read_rows
from data.schemas import PROMPTS
from data.store.digests import digest_of

ROLES = ("system", "user", "assistant")
_OTHER_ROLES = {"human": "user", "gpt": "assistant", "developer": "system"}
Messages = list[dict[str, str]]


class PromptFile(NamedTuple):
    table: pa.Table  # PROMPTS
    places: pa.ChunkedArray  # text of each row: "prompts.jsonl line 3"
    counts: dict[str, int]  # read = kept + duplicate; of these, rows mended by what was dropped


_COLUMNS = ("prompt", "messages", "conversations", "prompt_id", "dataset", "source")
_OF_FILES = (*SUFFIXES, ".gz", ".txt", ".tsv", ".yaml", ".xlsx", ".arrow")
_AT_A_TIME = 1024  # rows that are Python objects at one time
# org/name or name, with an optional revision and split: org/name@refs/convert/parquet:test
_DATASET_ID = re.compile(
    r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?(:(?P<split>[\w.\[\]%:+-]+))?"
)


def read_prompts(
    path: str | Path, dataset_name: str | None = None
) -> tuple[pa.Table, dict[str, int]]:
    """Prompts as a PROMPTS table, and counts; see `read_prompt_file`."""
    found = read_prompt_file(path, dataset_name)
    return found.table, found.counts


def read_prompt_file(path: str | Path, dataset_name: str | None = None) -> PromptFile:
    """Prompts as a table, where each stands, and counts.

    A row has `prompt` (text or messages) or `messages`, or both where the talk in `messages` begins
    with the prompt; optionally `prompt_id` and `dataset` (or `source`), which otherwise come from
    the content and from `dataset_name` or the file's name. Of `messages` that end with an answer,
    the answer is dropped; so are turns of the system without a word, and rows that repeat another's
    messages, up to white space around each; all are counted. Raises InputError with file and line
    for what cannot be a prompt.
    """
    rows, name = source_rows(path)
    # Arrow's texts, not Python's: those of 200,000 rows would take more than the prompts.
    done: list[pa.RecordBatch] = []
    where: list[pa.Array] = []
    kept: list[dict[str, Any]] = []
    places: list[str] = []  # of the kept rows
    ids: set[str] = set()
    contents: set[bytes] = set()
    counts = {"read": 0, "kept": 0, "duplicate": 0}
    for place, row in rows:
        counts["read"] += 1
        prompt, mended = prompt_of(row, place, dataset_name or name)
        for what in mended:
            counts[what] = counts.get(what, 0) + 1
        content = bytes.fromhex(content_of(prompt["messages"]).removeprefix("sha256:"))
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
    found = pa.chunked_array([*where, pa.array(places, pa.string())])
    return PromptFile(table, pa.chunked_array([found.combine_chunks()]), counts)


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


def without_prompts(pool: pa.Table, held_out: Iterable[pa.Table]) -> pa.Table:
    """The prompts of `pool` whose content is in none of the `held_out` tables."""
    # By their text: two files may give the same prompt different ids.
    gone = {content_of(messages) for table in held_out for messages in conversations(table)}
    keep = [content_of(messages) not in gone for messages in conversations(pool)]
    return pool.filter(pa.array(keep, pa.bool_()))


def conversations(prompts: pa.Table) -> Iterator[Messages]:
    """The messages of PROMPTS one by one: as Python objects, a table is many times as large."""
    for batch in prompts.select(["messages"]).to_batches(max_chunksize=_AT_A_TIME):
        yield from batch["messages"].to_pylist()


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


def content_of(messages: Messages) -> str:
    """Equal for prompts that are one: the id of the messages less the white space around each.

    Many chat templates trim, and then the models cannot tell such prompts apart.
    """
    return prompt_id([message | {"content": message["content"].strip()} for message in messages])


def as_messages(value: Any, place: str, field: str = "prompt") -> Messages:
    """Text or a list of messages, as checked messages that end with the user's turn.

    Turns of the system that say nothing are left out.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": check_text(value, place, field)}]
    messages = _conversation(value, place, field)
    if not messages or messages[-1]["role"] != "user":
        raise InputError(f"{place}: {field} must end with the user's message; drop the answer")
    return messages


def _conversation(value: Any, place: str, field: str) -> Messages:
    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: {field} must be text or a list of messages")
    return [_message(item, place, field) for item in value if not _silent_system(item)]


def _silent_system(item: Any) -> bool:
    """Whether a message is a turn of the system without a word, as many data sets have."""
    if not isinstance(item, dict) or item.get("role") != "system":
        return False
    content = joined_text(item.get("content"))
    return content is None or (isinstance(content, str) and not content.strip())


def joined_text(content: Any) -> Any:
    """The text of content that is given in parts, if all of them are text; else as it is."""
    if isinstance(content, list) and content:
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
        if len(texts) == len(content):
            return "".join(texts)
    return content


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
    if "role" not in item and "from" in item:
        raise InputError(
            f"{place}: {field} has turns with 'from' and 'value'; name them 'role' and 'content', "
            "human as user, gpt as assistant"
        )
    extra = [key for key, value in item.items() if key not in ("role", "content") and value]
    if extra:
        raise InputError(f"{place}: {field} has a message with {extra[0]!r}; only role and content")
    role = item.get("role")
    if role not in ROLES:
        known = _OTHER_ROLES.get(role) if isinstance(role, str) else None
        remedy = f"call it {known!r}" if known else f"use {', '.join(ROLES)}"
        raise InputError(f"{place}: {field} has the role {repr(role)[:40]}; {remedy}")
    content = joined_text(item.get("content"))
    if isinstance(content, list):
        raise InputError(f"{place}: {field} has content that is not text alone; remove the row")
    return {"role": role, "content": check_text(content, place, f"{field} content")}


def prompt_of(row: dict[str, Any], place: str, dataset: str) -> tuple[dict[str, Any], list[str]]:
    """A row of PROMPTS, and what was left out of it: "answer_dropped", "empty_system"."""
    field, value = _field(row, place)
    mended = []
    if isinstance(value, list):
        if any(_silent_system(item) for item in value):
            mended.append("empty_system")
        last = value[-1] if value else None
        if field == "messages" and isinstance(last, dict) and last.get("role") == "assistant":
            value = value[:-1]
            mended.append("answer_dropped")
    messages = as_messages(value, place, field)
    given = row.get("prompt_id")
    source = next((row[name] for name in ("dataset", "source") if row.get(name)), dataset)
    prompt = {
        "prompt_id": prompt_id(messages)
        if given is None
        else check_text(given, place, "prompt_id"),
        "messages": messages,
        "dataset": check_text(source, place, "dataset"),
    }
    return prompt, mended


def _field(row: dict[str, Any], place: str) -> tuple[str, Any]:
    """Name and value of the field that is the prompt.

    `messages` is the whole talk where a `prompt` stands beside it, as in ultrafeedback_binarized
    and ultrachat; then it has to begin with the prompt.
    """
    prompt, messages = row.get("prompt"), row.get("messages")
    if prompt is None and messages is None:
        if row.get("conversations") is not None:
            raise InputError(
                f"{place}: 'conversations' is no field of prompts; name it 'messages', its turns "
                "with 'role' and 'content' in place of 'from' and 'value', human as user, gpt as "
                "assistant"
            )
        raise InputError(f"{place}: needs exactly one of the fields 'prompt' and 'messages'")
    if prompt is None:
        if isinstance(messages, str):
            raise InputError(f"{place}: messages must be a list; name the field 'prompt' for text")
        return "messages", messages
    if messages is not None:
        _check_beginning(as_messages(prompt, place), messages, place)
    return "prompt", prompt


def _check_beginning(prompt: Messages, messages: Any, place: str) -> None:
    """InputError unless the talk begins with the prompt, but for what the system says first."""
    talk = _conversation(messages, place, "messages") if isinstance(messages, list) else []
    if prompt[0]["role"] != "system" and talk and talk[0]["role"] == "system":
        raise InputError(
            f"{place}: messages has a turn of the system that prompt has not; drop the field "
            "'prompt' to use it, or 'messages' to leave it out"
        )
    if _trimmed(talk[: len(prompt)]) != _trimmed(prompt):
        raise InputError(
            f"{place}: needs exactly one of the fields 'prompt' and 'messages', or messages that "
            "begin with the prompt; drop one of the two"
        )


def _trimmed(messages: Messages) -> list[tuple[str, str]]:
    return [(message["role"], message["content"].strip()) for message in messages]


def source_rows(path: str | Path, columns: Sequence[str] = ()) -> tuple[Iterable[Row], str]:
    """The rows behind a path or `datasets` id, with these columns too, and a name for them."""
    text = str(path)
    found = _DATASET_ID.fullmatch(text)
    if looks_like_file(text) or found is None:
        return read_rows(text, (*_COLUMNS, *columns)), Path(text).name.split(".")[0] or "prompts"
    rows = _dataset_rows(found["name"], found["split"] or "train", found["revision"])
    return rows, found["name"]


def looks_like_file(name: str) -> bool:
    """Whether a name is that of a file, there or not, and no `datasets` id."""
    known = Path(name).suffix.lower() in _OF_FILES
    return known or is_url(name) or not name.strip() or name[0] in "./~" or os.path.exists(name)


def _dataset_rows(name: str, split: str, revision: str | None) -> Iterator[Row]:
    import datasets

    try:
        with quiet_hub():
            rows = datasets.load_dataset(name, split=split, revision=revision)
    except Exception as error:  # the library's and its network client's errors have no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise InputError(
            f"{name}: neither a file nor a data set that can be loaded ({reason})"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{name}:{split} row {number}", dict(row)
