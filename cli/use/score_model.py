"""How good is my teacher? A reward model or judge on labelled pairs, before any run. No Prefect."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cli.use.judge_measures import among_annotators, correct, measures
from cli.use.opinions import (
    OnProgress,
    asked,
    columns_of,
    functions_of,
    recalled,
    replied,
    rewarded_by,
    scored,
)
from data.errors import InputError
from data.readers.labelled_pairs import LabelledPair, by_dataset, read_labelled_pairs
from data.readers.prompts import prompt_id
from data.readers.recorded_verdicts import is_recorded, read_verdicts
from data.recipes.judges import Endpoint, spelt
from data.recipes.recipe import RuntimeConfig
from data.schemas import MESSAGES
from flows.preflight.folders import model_path
from models.checkpoints import context_length
from models.reward_files import check_reward_model, compares

UNLIMITED = 2**20  # tokens, of a model whose files set no limit
ROWS = pa.schema(
    [
        ("place", pa.string()),  # file and line
        ("dataset", pa.string()),
        ("prompt_id", pa.string()),
        ("messages", MESSAGES),
        ("chosen", pa.string()),  # the better answer by the label; of a tie the first
        ("rejected", pa.string()),
        ("tie", pa.bool_()),  # by the label
        ("chosen_reward", pa.float64()),  # null: too long, or a judge that only compares
        ("rejected_reward", pa.float64()),
        ("margin", pa.float64()),  # null: too long for the model
        ("correct", pa.float64()),  # 1, 0, or 0.5 where the judge cannot tell; null: tie, too long
    ]
)


@dataclass(frozen=True)
class ModelScore:
    """What a judge made of labelled pairs; see docs/score_model.md."""

    summary: dict[str, Any]
    table: pa.Table  # ROWS


def score_model(
    name: str,
    paths: Sequence[str | Path],
    *,
    trust_remote_code: bool = False,
    max_length: int | None = None,
    limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> ModelScore:
    """Have a judge compare the labelled pairs of files, and measure how well it does.

    Args:
        name: As recipes spell a judge (`data.recipes.judges`), or a file of recorded verdicts. A
            reward model or function scores each answer; a language model is asked which of the two
            is better, in both orders.
        max_length: Longest conversation, in tokens; by default what the model reads.
        limit: Only the first so many pairs of each data set.

    Raises:
        InputError: the model is neither, or a file cannot be read.
    """
    recorded = read_verdicts(name) if is_recorded(name) else None
    spelling = spelt(name, ())
    functions = functions_of(spelling, trust_remote_code)
    pairs, counts = read_labelled_pairs(paths, columns_of(functions), keep_empty=bool(recorded))
    groups = [(dataset, places[:limit]) for dataset, places in by_dataset(pairs)]
    kept = [place for _, places in groups for place in places]
    pairs = [pairs[place] for place in kept]
    groups = list(by_dataset(pairs))
    runtime = RuntimeConfig(trust_remote_code=trust_remote_code)
    longest: int | None = None
    if recorded:
        kind, opinion = "recorded judge", recalled(recorded, pairs)
    elif functions:
        kind, opinion = "reward function", rewarded_by(functions, pairs, on_progress)
    elif isinstance(spelling, Endpoint):
        kind, opinion = "language model", replied(name, pairs, on_progress)
    else:
        folder = model_path("MODEL", name)
        kind = kind_of(folder)
        longest = max_length or context_length(folder, "MODEL") or UNLIMITED
        if kind == "reward model":
            opinion = scored(folder, pairs, runtime, longest, on_progress)
        else:
            opinion = asked(folder, pairs, runtime, on_progress)
    margins, rewards = opinion.margins, opinion.rewards
    if np.isnan(margins).all():
        raise InputError(_nothing_read(name, kind, longest))
    ties = np.array([pair.label == "tie" for pair in pairs])
    lengths = np.array([[len(text) for text in pair.answers] for pair in pairs], float)

    def of(some: Any) -> dict[str, Any]:
        return measures(
            margins[some],
            ties[some],
            lengths[some],
            None if rewards is None else rewards[some],
            opinion.graded,
        )

    found = {dataset: of(places) for dataset, places in groups}
    summary = {
        "model": name,
        "judge": kind,
        "max_length": longest if longest and longest < UNLIMITED else None,
        "rows": {key: sum(c[key] for c in counts.values()) for key in next(iter(counts.values()))},
        **of(slice(None)),
        "turned_with_order": opinion.turned,
        "counts": opinion.counts,
        "agreement_by_reading": opinion.readings,
        "among_annotators": among_annotators([pair.votes for pair in pairs]),
        "mean_over_datasets": mean_accuracy(found),
        "by_dataset": {name: {"rows": counts[name], **values} for name, values in found.items()},
    }
    return ModelScore(summary, _table(pairs, margins, rewards))


def _nothing_read(name: str, kind: str, longest: int | None) -> str:
    if longest is None:
        return f"MODEL: the {kind} '{name}' gave no verdict on any pair; look at what it says"
    return (
        f"MODEL: every pair is too long for '{name}', which reads {longest:,} tokens; "
        "give shorter texts"
    )


def check_out(out: Path | None) -> None:
    """InputError unless the file for the pairs can be written; said before hours of scoring."""
    if out is None:
        return
    if out.is_dir() or out.suffix != ".parquet":
        raise InputError(f"--out: '{out}' must name a .parquet file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise InputError(
            f"--out: '{out}' cannot be written ({error.strerror}); name another"
        ) from error


def kind_of(folder: Path) -> str:
    """ "reward model" or "language model". Raises InputError for anything else."""
    if compares(folder, "MODEL"):
        return "language model"
    check_reward_model(folder, "MODEL")
    return "reward model"


def mean_accuracy(found: dict[str, dict[str, Any]]) -> float | None:
    """Every data set counts the same."""
    shares = [values["accuracy"]["share"] for values in found.values()]
    known = [value for value in shares if value is not None]
    return float(np.mean(known)) if known else None


def _table(pairs: list[LabelledPair], margins: np.ndarray, rewards: np.ndarray | None) -> pa.Table:
    nothing = np.full(len(pairs), np.nan)
    sides = (nothing, nothing) if rewards is None else (rewards[:, 0], rewards[:, 1])
    ties = np.array([pair.label == "tie" for pair in pairs])
    hits = np.where(ties | np.isnan(margins), np.nan, correct(margins))
    columns = {
        "place": [pair.place for pair in pairs],
        "dataset": [pair.dataset for pair in pairs],
        "prompt_id": [prompt_id(pair.messages) for pair in pairs],
        "messages": [pair.messages for pair in pairs],
        "chosen": [pair.answers[0] for pair in pairs],
        "rejected": [pair.answers[1] for pair in pairs],
        "tie": ties.tolist(),
    }
    arrays = [pa.array(columns[name], ROWS.field(name).type) for name in columns]
    arrays += [pa.array(a, pa.float64(), from_pandas=True) for a in (*sides, margins, hits)]
    return pa.Table.from_arrays(arrays, schema=ROWS)
