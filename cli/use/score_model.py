"""How good is my teacher? A reward model or judge on labelled pairs, before any run. No Prefect."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cli.use.judge_measures import correct, measures
from data.errors import InputError
from data.readers.labelled_pairs import LabelledPair, by_dataset, read_labelled_pairs
from data.readers.prompts import prompt_id
from data.recipes.recipe import RuntimeConfig
from data.schemas import MESSAGES
from flows.preflight.models import model_path
from models.checkpoints import check_reward_model, context_length, is_causal
from models.devices import device

OnProgress = Callable[[int, int], None]
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
    """Have a model judge the labelled pairs of files, and measure how well it does.

    Args:
        name: Folder or hub id. A sequence classifier with one label scores each answer; a causal
            language model is asked which of the two is better, in both orders.
        max_length: Longest conversation, in tokens; by default what the model reads.
        limit: Only the first so many pairs of each data set.

    Raises:
        InputError: the model is neither, or a file cannot be read.
    """
    pairs, counts = read_labelled_pairs(paths)
    groups = [(dataset, places[:limit]) for dataset, places in by_dataset(pairs)]
    folder = model_path("MODEL", name)
    runtime = runtime_here(trust_remote_code)
    judge = kind_of(folder)
    kept = [place for _, places in groups for place in places]
    pairs = [pairs[place] for place in kept]
    groups = list(by_dataset(pairs))
    longest = max_length or context_length(folder, "MODEL") or UNLIMITED
    if judge == "reward model":
        rewards = _rewards(folder, pairs, runtime, longest, on_progress)
        margins, turned = rewards[:, 0] - rewards[:, 1], None
    else:
        rewards = None
        margins, turned = _asked(folder, pairs, runtime, on_progress)
    if np.isnan(margins).all():
        raise InputError(
            f"MODEL: every pair is too long for '{name}', which reads {longest:,} tokens; "
            "give shorter texts"
        )
    ties = np.array([pair.label == "tie" for pair in pairs])
    lengths = np.array([[len(text) for text in pair.answers] for pair in pairs], float)

    def of(some: Any) -> dict[str, Any]:
        return measures(
            margins[some], ties[some], lengths[some], None if rewards is None else rewards[some]
        )

    found = {dataset: of(places) for dataset, places in groups}
    summary = {
        "model": name,
        "judge": judge,
        "max_length": longest if longest < UNLIMITED else None,
        "rows": {key: sum(c[key] for c in counts.values()) for key in next(iter(counts.values()))},
        **of(slice(None)),
        "turned_with_order": turned,
        "mean_over_datasets": mean_accuracy(found),
        "by_dataset": {name: {"rows": counts[name], **values} for name, values in found.items()},
    }
    return ModelScore(summary, _table(pairs, margins, rewards))


def runtime_here(trust_remote_code: bool) -> RuntimeConfig:
    """On a CPU small batches: what is done is seen sooner, and a vocabulary of scores is large."""
    runtime = RuntimeConfig(trust_remote_code=trust_remote_code)
    if device(runtime) == "cuda":
        return runtime
    return runtime.model_copy(update={"token_budget": 2_048})


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
    if is_causal(folder, "MODEL"):
        return "language model"
    check_reward_model(folder, "MODEL")
    return "reward model"


def mean_accuracy(found: dict[str, dict[str, Any]]) -> float | None:
    """Every data set counts the same."""
    shares = [values["accuracy"]["share"] for values in found.values()]
    known = [value for value in shares if value is not None]
    return float(np.mean(known)) if known else None


def _rewards(
    folder: Path,
    pairs: list[LabelledPair],
    runtime: RuntimeConfig,
    max_length: int,
    on_progress: OnProgress | None,
) -> np.ndarray:
    """Shape (pairs, 2), the better answer first; NaN for an answer that is too long."""
    from models.rewards import open_scorer
    from models.silence import quiet

    items = [(pair.messages, text) for pair in pairs for text in pair.answers]
    with quiet():
        scorer = open_scorer(folder, runtime, max_length, device(runtime))
        try:
            return scorer.score(items, on_progress).reshape(-1, 2)
        finally:
            scorer.close()


def _asked(
    folder: Path,
    pairs: list[LabelledPair],
    runtime: RuntimeConfig,
    on_progress: OnProgress | None,
) -> tuple[np.ndarray, int]:
    """Margins, the means over both orders, and how many verdicts turned with the order."""
    from models.isolation import run_isolated
    from models.judges.letters import log_odds
    from models.silence import quiet

    items = [(pair.messages, *pair.answers) for pair in pairs]
    with quiet():
        odds, _ = run_isolated(
            log_odds,
            folder,
            items,
            runtime=runtime,
            device=device(runtime),
            on_progress=on_progress,
        )
    return odds.mean(axis=1), int((odds[:, 0] * odds[:, 1] < 0).sum())


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
