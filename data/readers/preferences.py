"""Preferences from a user's file: what the student is reminded of while it learns new ones."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.readers.labelled_pairs import LabelledPair, read_pairs
from data.readers.prompts import prompt_id
from data.schemas import PREFERENCES

_LOST = {
    "tied": "have answers of which neither is better",
    "empty": "have an empty answer",
    "other": "have answers of different talks",
}


def read_preferences(path: str | Path) -> tuple[pa.Table, dict[str, int]]:
    """PREFERENCES of round 0, and counts: read = kept + tied + empty + other.

    In every layout that `data.readers.labelled_pairs` reads. `tied`: the answers are equal, or
    neither is the better; `empty`: one says nothing; `other`: they are of different talks.

    Raises:
        InputError: with file and line, for a row of no such layout; a file without a preference.
    """
    kept: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for number, (dataset, pair) in enumerate(read_pairs(path, Path(path).name.split(".")[0]), 1):
        if isinstance(pair, str):
            counts["tied" if pair == "same" else pair] += 1
        elif pair.label == "tie":
            counts["tied"] += 1
        else:
            kept.append(_preference(pair, dataset, number))
    if not kept:
        why = ", ".join(f"{n:,} {_LOST[name]}" for name, n in counts.items())
        raise InputError(
            f"{path}: holds no preferences{f' (of its rows {why})' if why else ''}; give at least "
            "one"
        )
    lost = {name: counts[name] for name in ("tied", "empty", "other")}
    return pa.Table.from_pylist(kept, PREFERENCES), {
        "read": len(kept) + sum(lost.values()),
        "kept": len(kept),
        **lost,
    }


def _preference(pair: LabelledPair, dataset: str, number: int) -> dict[str, Any]:
    name = f"{prompt_id(pair.messages)}-{number}"  # one prompt may have several pairs
    chosen, rejected = pair.answers
    return {
        "pair_id": name,
        "prompt_id": name,
        "messages": pair.messages,
        "dataset": dataset,
        "chosen": chosen,
        "rejected": rejected,
        "chosen_id": f"{name}/chosen",
        "rejected_id": f"{name}/rejected",
        "chosen_model": "given",
        "rejected_model": "given",
        "source": "given",
        "margin": 0.0,
        "weight": 1.0,
        "swapped": False,
        "round": 0,
    }
