"""Texts of several domains from a user's file: prompts with their answers, checked and parted."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data.errors import InputError
from data.readers.messages import Messages, as_messages, check_text, unwritten
from data.readers.prompts import content_of, conversations
from data.readers.rows import read_rows
from data.recipes.domains import NOISE, TextColumns
from data.schemas import DEMONSTRATIONS
from data.tables import completion_id

PARTS = ("pool", "dev", "test")


class TextFile(NamedTuple):
    table: pa.Table  # DEMONSTRATIONS
    places: list[str]  # of each row: "texts.jsonl line 3"
    counts: dict[str, int]  # read = kept + duplicate


def read_texts(path: str, columns: TextColumns) -> TextFile:
    """The texts of a file; one that is there twice in its domain is dropped and counted.

    Raises:
        InputError: with file and line for what is no prompt with an answer and a domain; a file
            without two domains.
    """
    rows: dict[str, dict[str, Any]] = {}
    places, read = [], 0
    for place, row in read_rows(path, tuple(dict(columns).values())):
        read += 1
        value = unwritten(row.get(columns.prompt), place, columns.prompt)
        messages = as_messages(value, place, columns.prompt)
        answer, domain = (
            given(row, place, getattr(columns, name), f"texts.columns.{name}")
            for name in ("completion", "dataset")
        )
        one = text_row(messages, answer, domain)
        if rows.setdefault(one["prompt_id"], one) is one:
            places.append(place)
    table = pa.Table.from_pylist(list(rows.values()), schema=DEMONSTRATIONS)
    check_domains(domains_of(table), f"texts.path: '{path}'")
    return TextFile(table, places, {"read": read, "kept": len(rows), "duplicate": read - len(rows)})


def given(row: Mapping[str, Any], place: str, column: str, field: str) -> str:
    """The text in a column of a row. Raises InputError, naming the field that names the column."""
    if row.get(column) is None:
        raise InputError(f"{place}: has no {column!r}; fill it, or name its column in {field}")
    return check_text(row[column], place, column)


def text_row(messages: Messages, answer: str, domain: str, name: str = "") -> dict[str, Any]:
    """A row of DEMONSTRATIONS; by default named by its content."""
    content = "\0".join((domain, content_of(messages), answer))
    name = name or sha256(content.encode()).hexdigest()[:16]
    return {
        "prompt_id": name,
        "messages": messages,
        "dataset": domain,
        "completion_id": completion_id(name, 0),
        "completion": answer,
    }


def domains_of(table: pa.Table) -> list[str]:
    """Names of the domains of DEMONSTRATIONS, in the order that arrays of them have."""
    return sorted(set(table["dataset"].to_pylist()))


def check_domains(names: list[str], where: str) -> None:
    """InputError unless there are at least two domains to mix."""
    if len(names) < 2:
        if not names:
            raise InputError(f"{where} holds no text; give it rows of prompts with their answers")
        raise InputError(
            f"{where} has one domain, {names[0]!r}, and a mixture takes two; bring texts of "
            "others, or name in texts.columns.dataset the column that tells them apart"
        )


def check_known(wanted: tuple[str, ...], names: list[str], field: str) -> None:
    """InputError unless all the domains that a recipe names are there."""
    for name in wanted:
        if name not in names:
            known = ", ".join(map(repr, names[:8])) + ", ..." * (len(names) > 8)
            raise InputError(f"{field}: no text is of the domain {name!r}; there are {known}")


def parted(table: pa.Table, dev_size: int, test_size: int, seed: int) -> dict[str, pa.Table]:
    """DEMONSTRATIONS to learn ("pool") and held out ("dev", "test"), so many of each domain.

    Each text has a rank that follows from the seed and its prompt: the lowest are tested on, the
    next are dev texts. No prompt of a domain is in two parts: what repeats one held out is left
    out.

    Raises:
        InputError: a domain has no text left to learn.
    """
    contents = np.array([content_of(messages) for messages in conversations(table)])
    ranks = np.array([sha256(f"{seed} {one}".encode()).hexdigest() for one in contents])
    datasets = np.array(table["dataset"].to_pylist())
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    for name in domains_of(table):
        rows = np.flatnonzero(datasets == name)
        rows = rows[np.argsort(ranks[rows], kind="stable")]
        test, rest = rows[:test_size], rows[test_size:]
        dev = rest[:dev_size][~np.isin(contents[rest[:dev_size]], contents[test])]
        held_out = contents[np.concatenate([test, dev])]
        pool = rest[dev_size:][~np.isin(contents[rest[dev_size:]], held_out)]
        if not (len(pool) and len(dev)):
            raise InputError(
                f"texts.path: the domain {name!r} has {len(rows)} text{'s' * (len(rows) != 1)}, of "
                f"which none is left to learn beside {dev_size} + {test_size} that are held out; "
                "bring more, or lower texts.dev_size and texts.test_size"
            )
        for part, found in zip(PARTS, (pool, dev, test), strict=True):
            parts[part] += found.tolist()
    return {part: table.take(pa.array(sorted(rows))) for part, rows in parts.items()}


def with_noise(table: pa.Table, seed: int) -> pa.Table:
    """DEMONSTRATIONS and a domain more, of the others' average size: prompts and answers as long as
    theirs, of all their words in random order.

    Raises:
        InputError: there is a domain of that name.
    """
    names = domains_of(table)
    if NOISE in names:
        raise InputError(
            f"texts.noise: there is a domain {NOISE!r} already; rename it, or set noise to false"
        )
    number = max(1, round(len(table) / len(names)))
    like = np.linspace(0, len(table) - 1, number).round().astype(int)
    rows = table.take(pa.array(like)).to_pylist()
    rng = np.random.default_rng(seed)
    said = [turn["content"] for row in rows for turn in row["messages"]]
    prompts, answers = _shuffled(said, rng), _shuffled([row["completion"] for row in rows], rng)
    left = iter(prompts)
    noise = [
        text_row(
            [{**turn, "content": next(left)} for turn in row["messages"]],
            answer,
            NOISE,
            f"{NOISE}-{row['prompt_id']}",
        )
        for row, answer in zip(rows, answers, strict=True)
    ]
    return pa.concat_tables([table, pa.Table.from_pylist(noise, schema=DEMONSTRATIONS)])


def _shuffled(texts: list[str], rng: np.random.Generator) -> list[str]:
    """Texts of as many words, dealt anew from the words of all."""
    lengths = [len(text.split()) for text in texts]
    words = np.array([word for text in texts for word in text.split()], dtype=object)
    parts = np.split(rng.permutation(words), np.cumsum(lengths)[:-1])
    return [" ".join(part) for part in parts]
