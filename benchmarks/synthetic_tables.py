"""Synthetic tables of any size for `benchmarks.tables`: prompts, their answers and rewards."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.schemas import COMPLETIONS, MESSAGES, PROMPTS, SCORES
from data.store.artifacts import TABLE, Artifact
from data.store.store import Store
from data.tables import write_tables

_BLOCK = 4_096  # prompts that are made at a time
_WORDS = "the plan for a small house with two rooms and a garden in these hills is old".split()
# The kind of each table and the number of answers it has of a prompt, 0 for K.
KINDS = {
    "prompts": ("prompts", 1),
    "completions": ("completions", 0),
    "older completions": ("completions", 0),
    "first answers": ("completions", 1),
    "second answers": ("completions", 1),
    "scores": ("scores", 0),
    "first scores": ("scores", 0),
    "first answers' scores": ("scores", 1),
    "second answers' scores": ("scores", 1),
}


def made(store: Store, name: str, prompts: int, k: int, seed: int) -> Artifact:
    """A table of this name; the same arguments give the same rows."""
    kind, each = KINDS[name]
    key = {"synthetic": name, "prompts": prompts, "k": each or k, "seed": seed}

    def body(out: Path) -> dict[str, Any]:
        make = {"prompts": _prompts, "completions": _completions, "scores": _scores}[kind]
        schema = {"prompts": PROMPTS, "completions": COMPLETIONS, "scores": SCORES}[kind]
        blocks = (
            make(start, min(_BLOCK, prompts - start), each or k, name, seed)
            for start in range(0, prompts, _BLOCK)
        )
        write_tables(out / TABLE, blocks, schema)
        return {"prompts": prompts}

    return store.put(kind, key, body)


def _ids(start: int, n: int) -> pa.Array:
    """Prompt ids in no order: 16 hex digits, as those of real prompts."""
    numbers = (np.arange(start, start + n, dtype=np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
    return pa.array([f"{number:016x}" for number in numbers.tolist()])


def _owners(start: int, n: int, k: int) -> tuple[pa.Array, pa.Array]:
    """The prompt and the sample of every answer."""
    rows = np.repeat(np.arange(n), k)
    return _ids(start, n).take(pa.array(rows)), pa.array(np.tile(np.arange(k), n), pa.int32())


def _draw(start: int, name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, start, *name.encode()])


def _phrases(words: int) -> pa.Array:
    draw = np.random.default_rng(words)
    return pa.array([" ".join(draw.choice(_WORDS, words)) for _ in range(1_000)])


def _answer_ids(owners: pa.Array, samples: pa.Array, stream: str) -> pa.Array:
    texts = samples.cast(pa.string())
    return pc.binary_join_element_wise(owners, stream.split()[0], texts, "/")


def _stream(name: str) -> str:
    """Answers and their rewards have one name for what they were asked for."""
    words = {"older completions": "older", "first answers": "first", "second answers": "second"}
    known = {**words, "first answers' scores": "first", "second answers' scores": "second"}
    return known.get(name, "round")


def _prompts(start: int, n: int, k: int, name: str, seed: int) -> pa.Table:
    draw = _draw(start, name, seed)
    phrases = _phrases(20).take(pa.array(draw.integers(0, 1_000, n)))
    texts = pc.binary_join_element_wise(pa.array(map(str, range(start, start + n))), phrases, " ")
    roles = pa.array(["user"] * n)
    turns = pa.StructArray.from_arrays([roles, texts], fields=list(MESSAGES.value_type))
    messages = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32), turns)
    return pa.table([_ids(start, n), messages, pa.array(["made"] * n)], schema=PROMPTS)


def _completions(start: int, n: int, k: int, name: str, seed: int) -> pa.Table:
    draw, rows = _draw(start, name, seed), n * k
    owners, samples = _owners(start, n, k)
    phrases = _phrases(24).take(pa.array(draw.integers(0, 1_000, rows)))
    marks = pa.array(draw.integers(0, 40, rows)).cast(pa.string())
    texts = pc.binary_join_element_wise(phrases, marks, " ")
    same = pa.array(draw.random(rows) < 0.03)  # one short answer in place of many
    texts = pc.if_else(same, pa.scalar("Yes."), texts)
    texts = pc.if_else(pa.array(draw.random(rows) < 0.005), pa.scalar("  "), texts)
    reasons = pc.if_else(pa.array(draw.random(rows) < 0.05), "length", "stop")
    lengths = draw.integers(20, 45, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    tokens = pa.array(draw.integers(0, 50_000, offsets[-1]), pa.int32())
    token_ids = pa.ListArray.from_arrays(offsets, tokens)
    ids = _answer_ids(owners, samples, _stream(name))
    columns = [ids, owners, samples, texts, reasons, pa.array(lengths, pa.int32()), token_ids]
    return pa.table(columns, schema=COMPLETIONS)


def _scores(start: int, n: int, k: int, name: str, seed: int) -> pa.Table:
    draw, rows = _draw(start, name, seed), n * k
    owners, samples = _owners(start, n, k)
    rewards = np.round(draw.normal(size=rows), 2)  # with ties
    known = pa.array(rewards, mask=draw.random(rows) < 0.005)
    return pa.table([_answer_ids(owners, samples, _stream(name)), owners, known], schema=SCORES)
