"""Recorded answers of one sampler of the model matrix: AlpacaEval outputs of one model."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.matrix import axis_of
from data.readers.logged_formats import LoggedCompletion, read_completions
from data.readers.prompts import prompt_id
from data.recipes.logged import LoggedConfig
from data.recipes.methods import Place
from data.schemas import COMPLETIONS, MATRIX_PAIRS, PROMPTS


def read_answers(path: str | Path) -> dict[str, LoggedCompletion]:
    """The answers in a file by the id of their prompt, which is that of the prompt's text.

    Raises:
        InputError: with file and line for what cannot be read, a prompt answered twice or a second
            generator; a file without answers.
    """
    config = LoggedConfig(format="alpaca_eval", completions=str(path))
    found: dict[str, LoggedCompletion] = {}
    generator = None
    for row in read_completions(config, [Path(path)]):
        generator = generator or row.sample
        if row.sample != generator:
            raise InputError(
                f"{row.place}: an answer of {row.sample!r} after some of {generator!r}; "
                "give every model a file and a cell of its own"
            )
        if found.setdefault(prompt_id(row.messages), row) is not row:
            raise InputError(f"{row.place}: answers a prompt that is there twice; remove one")
    if not found:
        raise InputError(f"{path}: holds no answers; name a file that does")
    return found


def answered_prompts(paths: Sequence[str | Path]) -> pa.Table:
    """PROMPTS that at least one of the files answers, in the order they first come."""
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        for key, answer in read_answers(path).items():
            prompt = {"prompt_id": key, "messages": answer.messages, "dataset": answer.dataset}
            rows.setdefault(key, prompt)
    return pa.Table.from_pylist(list(rows.values()), schema=PROMPTS)


def cell_completions(path: str | Path, cell: str, prompts: pa.Table) -> pa.Table:
    """COMPLETIONS of a cell for those of the prompts that the file answers, joined by text."""
    answers = read_answers(path)
    rows = []
    for prompt in prompts.to_pylist():
        answer = answers.get(prompt_id(prompt["messages"]))
        if answer is not None:
            rows.append(
                {
                    "completion_id": f"{prompt['prompt_id']}/{cell}/0",
                    "prompt_id": prompt["prompt_id"],
                    "sample": 0,
                    "completion": answer.text,
                    "finish_reason": answer.finish_reason,
                    "n_tokens": None,
                }
            )
    return pa.Table.from_pylist(rows, schema=COMPLETIONS)


def matrix_pairs(preferences: pa.Table, places: Sequence[Place]) -> pa.Table:
    """MATRIX_PAIRS: the preferences with the places of the two models.

    Of a swapped pair the axis is that of the presumed order.
    """
    place = {cell.name: cell for cell in places}
    rows = []
    for row in preferences.to_pylist():
        chosen, rejected = place[row["chosen_model"]], place[row["rejected_model"]]
        model = chosen if rejected.human else rejected
        rows.append(
            {name: row[name] for name in MATRIX_PAIRS.names if name in row}
            | {
                "instruction": row["messages"][-1]["content"],
                "chosen_version": chosen.version,
                "chosen_scale": chosen.scale,
                "rejected_version": rejected.version,
                "rejected_scale": rejected.scale,
                "family": model.family,
                "axis": axis_of(row["source"]),
            }
        )
    return pa.Table.from_pylist(rows, schema=MATRIX_PAIRS)


def lengths_by_axis(pairs: pa.Table) -> dict[str, dict[str, float]]:
    """{axis: chosen_longer, length_ratio} of MATRIX_PAIRS.

    Share of pairs whose chosen answer has more characters, and the median of its length over that
    of the rejected one.
    """
    ratios: dict[str, list[float]] = {}
    for row in pairs.select(["axis", "chosen", "rejected"]).to_pylist():
        ratio = len(row["chosen"]) / len(row["rejected"])
        ratios.setdefault(row["axis"], []).append(ratio)
    return {
        axis: {
            "chosen_longer": sum(ratio > 1 for ratio in values) / len(values),
            "length_ratio": statistics.median(values),
        }
        for axis, values in ratios.items()
    }
