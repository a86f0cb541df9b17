"""Rows to train on: pairs that a model of two layers can learn to tell apart in a few steps."""

import hashlib
import random
from pathlib import Path

import pyarrow as pa

from data.schemas import PREFERENCES, REFERENCE_LOGPS

_WORDS = "pear apple fig cherry lemon grape red green blue".split()


def text(rng: random.Random, longest: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(1, longest)))


def preferences(n: int, seed: int = 0) -> pa.Table:
    """PREFERENCES of `n` pairs whose chosen side begins with "yes", the rejected with "no"."""
    rng = random.Random(seed)
    rows = [
        {
            "pair_id": f"p{i}",
            "prompt_id": f"p{i}",
            "messages": [{"role": "user", "content": text(rng, 12)}],
            "dataset": "fruit",
            "chosen": "yes " + text(rng, 6),
            "rejected": "no " + text(rng, 6),
            "chosen_id": f"p{i}-0",
            "rejected_id": f"p{i}-1",
            "chosen_model": "policy",
            "rejected_model": "policy",
            "source": "best_worst",
            "margin": 1.0,
            "weight": 1.0,
            "swapped": False,
            "round": 1,
        }
        for i in range(n)
    ]
    return pa.Table.from_pylist(rows, schema=PREFERENCES)


def reference(pairs: pa.Table, seed: int = 0) -> pa.Table:
    """REFERENCE_LOGPS of no model in particular."""
    rng = random.Random(seed)
    rows = [
        {
            "pair_id": i,
            "chosen_logp": rng.uniform(-90, -50),
            "rejected_logp": rng.uniform(-90, -50),
        }
        for i in pairs["pair_id"].to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=REFERENCE_LOGPS)


def conversations(n: int, seed: int = 0) -> list[list[dict[str, str]]]:
    pairs = preferences(n, seed).to_pylist()
    return [[*p["messages"], {"role": "assistant", "content": p["chosen"]}] for p in pairs]


def file_digests(folder: Path) -> dict[str, str]:
    """Digest of every file below `folder`, by relative name."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
