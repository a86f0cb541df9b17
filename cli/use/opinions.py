"""What a judge of each kind makes of labelled pairs. Loads torch only where a model is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cli.use.judge_measures import share
from data.errors import InputError
from data.paths import anchored, named_path
from data.readers.labelled_pairs import LabelledPair
from data.readers.recorded_verdicts import Verdict
from data.recipes.asking import AskingConfig
from data.recipes.judges import RewardFunctions, Spelt
from data.recipes.recipe import RuntimeConfig
from data.reward_functions import SHIPPED
from data.source_code import file_and_function
from models.devices import device
from tasks.running.outside import Code, External, Shipped
from tasks.running.reward_functions import Row, columns_read, name_of, rewarded

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Opinion:
    """By how much a judge prefers the better answer of each pair, by its label, to the other."""

    margins: np.ndarray  # shape (pairs,); NaN: it could not read the pair, or said nothing
    rewards: np.ndarray | None = None  # shape (pairs, 2), the better answer first
    turned: int | None = None  # verdicts that turned with the order of the answers
    graded: bool = True  # whether the size of a margin says how sure it is
    readings: dict[str, Any] | None = None  # of recorded verdicts: what counts as agreement
    counts: dict[str, Any] | None = None  # of functions, what failed; of an endpoint, its cost


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


def functions_of(spelling: Spelt, trusted: bool) -> list[External]:
    """The reward functions that a judge is; none of another kind. Raises InputError."""
    if not isinstance(spelling, RewardFunctions):
        return []
    found: list[External] = []
    for one in spelling.functions:
        if one.function in SHIPPED:
            found.append(Shipped(path=one.function, digest="", field="MODEL"))
            continue
        if not trusted:
            raise InputError(
                f"MODEL: {one.function} runs Python code; read it, and give --trust-remote-code "
                "if you trust it"
            )
        parts = file_and_function(one.function)
        assert parts is not None  # it is spelt so
        path = anchored(named_path(parts[0], "MODEL"))
        if not path.is_file():
            raise InputError(f"MODEL: no such file '{parts[0]}'; check the path")
        found.append(Code(path=str(path), digest="", field="MODEL", name=parts[1]))
    return found


def columns_of(functions: Sequence[External]) -> set[str]:
    """The columns that they read beside prompt and answers."""
    read = [columns_read(one) for one in functions]
    return {name for one in read for name in (*one.needs, *one.uses)}


def rewarded_by(
    functions: Sequence[External], pairs: list[LabelledPair], on_progress: OnProgress | None
) -> Opinion:
    """Of reward functions: a reward for each answer; NaN where they fail or do not apply."""
    names = columns_of(functions)
    present = frozenset(n for pair in pairs for n in names if pair.row.get(n) is not None)
    for one in functions:
        missing = [name for name in columns_read(one).needs if name not in present]
        if missing:
            raise InputError(
                f"MODEL: {name_of(one)} reads the column '{missing[0]}', which no pair has; add it"
            )
    rows = [
        Row(pair.messages, text, {name: pair.row.get(name) for name in present})
        for pair in pairs
        for text in pair.answers
    ]
    found = rewarded(functions, [1.0] * len(functions), rows, present, on_progress=on_progress)
    rewards = np.array(found.rewards, float).reshape(-1, 2)
    return Opinion(rewards[:, 0] - rewards[:, 1], rewards, graded=False, counts=found.counts)


def replied(name: str, pairs: list[LabelledPair], on_progress: OnProgress | None) -> Opinion:
    """Of a language model behind OPENAI_BASE_URL that writes verdicts, asked in both orders."""
    from models.judges.endpoint import ChatEndpoint, model_of
    from models.judges.question import DEFAULT, Question
    from tasks.compare import both_orders, counts, spent, written_row

    config, wording = AskingConfig(), Question.read(DEFAULT)
    asked = [
        (pair.messages, dict(zip(("left", "right"), pair.answers, strict=True))) for pair in pairs
    ]
    with ChatEndpoint(
        model_of(name, "MODEL"),
        "MODEL",
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        attempts=config.attempts,
    ) as endpoint:
        replies = endpoint.replies(both_orders(wording, asked), on_progress=on_progress)
    ids = dict.fromkeys(("prompt_id", "left_id", "right_id"), "")
    rows = [
        written_row(pair | ids, replies[2 * n : 2 * n + 2]) for n, (_, pair) in enumerate(asked)
    ]
    margins = np.array([row["margin"] for row in rows], float)
    known = counts(rows)
    return Opinion(margins, turned=known["turned"], graded=False, counts=known | spent(replies))
