"""What a judge of each kind makes of labelled pairs. Loads torch only where a model is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cli.use.judge_measures import share
from data.errors import InputError
from data.readers.labelled_pairs import LabelledPair
from data.readers.recorded_verdicts import Verdict
from data.recipes.recipe import RuntimeConfig
from models.devices import device

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Opinion:
    """By how much a judge prefers the better answer of each pair, by its label, to the other."""

    margins: np.ndarray  # shape (pairs,); NaN: it could not read the pair, or said nothing
    rewards: np.ndarray | None = None  # shape (pairs, 2), the better answer first
    turned: int | None = None  # verdicts that turned with the order of the answers
    graded: bool = True  # whether the size of a margin says how sure it is
    readings: dict[str, Any] | None = None  # of recorded verdicts: what counts as agreement


def recalled(verdicts: Mapping[str, Verdict], pairs: list[LabelledPair]) -> Opinion:
    """Of a judge whose verdicts are recorded, by the pairs' ids."""
    nameless = next((pair.place for pair in pairs if pair.id is None), None)
    if nameless:
        raise InputError(f"{nameless}: no id, by which recorded verdicts are found; add one")
    ids = [pair.id for pair in pairs]
    if len(set(ids)) < len(ids):
        raise InputError(
            "PREFERENCES: two pairs have one id, so a verdict may mean either; "
            "give one file whose ids differ"
        )
    said = [verdicts.get(str(pair.id)) for pair in pairs]
    margins = np.full(len(pairs), np.nan)
    for place, (pair, verdict) in enumerate(zip(pairs, said, strict=True)):
        if verdict and verdict.label:
            better = "first" if pair.label == "tie" else pair.label
            margins[place] = 0 if verdict.label == "tie" else 1 if verdict.label == better else -1
    return Opinion(margins, graded=False, readings=_readings(pairs, said))


def _readings(pairs: list[LabelledPair], said: list[Verdict | None]) -> dict[str, Any]:
    """Agreement by other readings than `judge_measures.agreed`, which publications have.

    as_written: only a verdict in the very spelling of the label agrees with it. unread_is_tie: what
    is no verdict is a tie, as in PandaLM's own compute_metrics.py.
    """
    both = list(zip(pairs, said, strict=True))
    as_written = [verdict is not None and verdict.written == pair.written for pair, verdict in both]
    tied = [((verdict and verdict.label) or "tie") == pair.label for pair, verdict in both]
    return {
        "as_written": share(np.array(as_written, float)),
        "unread_is_tie": share(np.array(tied, float)),
    }


def scored(
    folder: Path,
    pairs: list[LabelledPair],
    runtime: RuntimeConfig,
    max_length: int,
    on_progress: OnProgress | None,
) -> Opinion:
    """Of a reward model: a reward for each answer; NaN for one that is too long."""
    from models.rewards import open_scorer
    from models.silence import quiet

    items = [(pair.messages, text) for pair in pairs for text in pair.answers]
    with quiet():
        scorer = open_scorer(folder, runtime, max_length, device(runtime))
        try:
            rewards = scorer.score(items, on_progress).reshape(-1, 2)
        finally:
            scorer.close()
    return Opinion(rewards[:, 0] - rewards[:, 1], rewards)


def asked(
    folder: Path,
    pairs: list[LabelledPair],
    runtime: RuntimeConfig,
    on_progress: OnProgress | None,
) -> Opinion:
    """Of a language model that reads log-odds of both verdicts: the mean over both orders."""
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
    turned = int((odds[:, 0] * odds[:, 1] < 0).sum())
    return Opinion(odds.mean(axis=1), turned=turned)
