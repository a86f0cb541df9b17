"""Pick: of each prompt's completions the one that the scorer rewards most (best of n)."""

from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.joins import column_by_id
from data.portions import Portions
from data.recipes.fine_tuning import PickConfig
from data.schemas import DEMONSTRATIONS
from data.store.artifacts import Artifact
from data.table_file import Sliced
from tasks.candidates import FATES, usable
from tasks.mine import Ranked
from tasks.stage import Context, Rows, stage

COUNTS = (
    *FATES,  # completions
    *("no_candidates", "tied", "picked"),  # prompts
)
_AT_A_TIME = 1_024  # prompts


def pick_rows(
    prompts: Sliced, completions: Sliced, scores: Sliced, config: PickConfig
) -> tuple[pa.Table, dict[str, Any]]:
    """DEMONSTRATIONS, at most one per prompt, and what became of completions and prompts.

    A prompt with fewer than two usable completions, or whose best and worst differ by no more than
    `config.min_margin`, yields no row and is counted: there was nothing to pick. Of equally good
    ones the lowest sample is picked. `reward_of_picked` and `reward_of_usable` are means over the
    prompts that gave a row; None without one.

    Raises:
        CardinalityError: completions and scores do not hold the same completions.
    """
    rewards = column_by_id(completions, scores, "completion_id", "reward")
    portions = Portions(prompts, _AT_A_TIME)
    answers = portions.of(completions.append_column("reward", rewards))
    counts, means = dict.fromkeys(COUNTS, 0), list[float]()
    parts = [DEMONSTRATIONS.empty_table()]
    for number in range(len(portions)):
        parts.append(_picked(portions.own[number], answers[number], config, counts, means))
    table = pa.concat_tables(parts)
    return table, counts | {
        "reward_of_picked": fmean(table["reward"].to_pylist()) if means else None,
        "reward_of_usable": fmean(means) if means else None,
    }


def _picked(
    asked: pa.Table,
    answers: pa.Table,
    config: PickConfig,
    counts: dict[str, int],
    means: list[float],
) -> pa.Table:
    """DEMONSTRATIONS of some prompts; adds to `counts`, and to `means` the mean usable rewards."""
    owners = pc.index_in(answers["prompt_id"], value_set=asked["prompt_id"]).to_numpy()
    samples = answers["sample"].to_numpy()
    rows = usable(answers, owners, [samples], config.drop_truncated, counts)
    number = np.bincount(owners[rows], minlength=len(asked))
    several = np.flatnonzero(number > 1)
    rows = rows[number[owners[rows]] > 1]
    known = answers["reward"].to_numpy()[rows]
    ranked, every = Ranked(owners[rows], known), np.arange(len(several))
    best, worst = (ranked.at(every, place) for place in (0 * every, ranked.number - 1))
    apart = known[best] - known[worst] > config.min_margin
    of_prompts = np.split(known, np.cumsum(ranked.number)[:-1])
    means += [fmean(of_prompts[prompt].tolist()) for prompt in np.flatnonzero(apart)]
    for fate, n in (
        *(("no_candidates", len(asked) - len(several)), ("picked", apart.sum())),
        ("tied", (~apart).sum()),
    ):
        counts[fate] += int(n)
    table = asked.take(pa.array(several[apart]))
    picked = answers.take(pa.array(rows[best[apart]]))
    for name in ("completion_id", "completion", "token_ids", "reward"):
        table = table.append_column(name, picked[name])
    return table.select(DEMONSTRATIONS.names)


@stage(DEMONSTRATIONS, version="1", rows="prompts")
def pick(
    ctx: Context,
    *,
    prompts: Artifact,
    completions: Artifact,
    scores: Artifact,
    config: PickConfig,
) -> Rows:
    """In: PROMPTS, COMPLETIONS, SCORES. Out: DEMONSTRATIONS, the best answers."""
    return Rows(*pick_rows(ctx.open(prompts), ctx.open(completions), ctx.open(scores), config))
