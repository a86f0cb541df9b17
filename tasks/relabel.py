"""Relabel: the teacher judges the two completions the student picked (TS-Align, step 4)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import CardinalityError
from data.joins import gathered
from data.recipes.recipe import RelabelConfig, TeacherConfig
from data.schemas import PREFERENCES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.score import score_rows
from tasks.stage import Context, Model, Rows, stage

COUNTS = (
    *("agreed", "swapped", "teacher_tied", "inconsistent", "unjudged"),
    *("below_margin", "below_reward", "dropped_disagreement", "kept_unsure", "labelled"),
)

# Of a pair: "ordered" with the labeller's margin, best minus worst, or why it has no order.
Said = tuple[str, float | None]
Margins = npt.NDArray[np.float64]  # of pairs, best minus worst; NaN: none
Marks = npt.NDArray[np.bool_]  # of pairs


def order_pairs(
    mined: pa.Table,
    prompts: pa.Table,
    rewards: Mapping[str, float | None],
    config: RelabelConfig,
    round_number: int,
    least: float | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """`by_rewards` from the reward of every best and worst completion by its id."""
    best, worst = (
        pa.array([rewards[name] for name in mined[f"{side}_id"].to_pylist()], pa.float64())
        for side in ("best", "worst")
    )
    return by_rewards(mined, prompts, best, worst, config, round_number, least)


def by_rewards(
    mined: pa.Table,
    prompts: pa.Table,
    best: pa.Array,
    worst: pa.Array,
    config: RelabelConfig,
    round_number: int,
    least: float | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences in the labeller's order, with what became of every mined pair.

    The student's order stands where the labeller agrees, is swapped (or dropped, as configured)
    where it does not; a tie or a margin below `config.min_margin` is out. A pair whose better
    answer is not worth `least` stays with weight 0: its order teaches a student, its
    better answer is none for a policy to learn. Swapping is recalled, not confirmed, for the
    paper; the rest is this project's choice.

    Args:
        best: The labeller's reward of the best completion of every pair, float64; null where it
            could not read the conversation, which leaves the pair unjudged.
        worst: The same of the worst.
        least: `teacher.min_reward`.
    """
    margins = _floats(best) - _floats(worst)
    unjudged, tied = np.isnan(margins), _floats(best) == _floats(worst)
    fates = {"unjudged": int(unjudged.sum()), "teacher_tied": int(tied.sum())}
    poor = None if least is None else np.fmax(_floats(best), _floats(worst)) < least
    margins = np.where(tied, np.nan, margins)
    return ordered(mined, prompts, margins, fates, config, round_number, poor)


def _floats(column: pa.Array | pa.ChunkedArray) -> Margins:
    """NaN for null."""
    found: Margins = column.to_numpy(zero_copy_only=False)
    return found.astype(np.float64)


def ordered(
    mined: pa.Table,
    prompts: pa.Table,
    margins: Margins,
    fates: Mapping[str, int],
    config: RelabelConfig,
    round_number: int,
    poor: Marks | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences from what a labeller says of every pair of MINED, and the counts of its fates.

    Args:
        margins: Of every pair; NaN where the labeller gives no order.
        fates: How many pairs have none, by why.
        poor: Which pairs have no completion that a policy should learn.
    """
    swapped, known = margins < 0, ~np.isnan(margins)
    dropped = swapped & (config.on_disagreement == "drop")
    close = known & ~dropped & (np.abs(margins) < config.min_margin)
    left = known & ~dropped & ~close
    poor = left & poor if poor is not None else np.zeros(len(left), bool)
    kept = left & ~poor
    found = {"agreed": known & ~swapped, "swapped": swapped, "labelled": kept}
    found |= {"dropped_disagreement": dropped, "below_margin": close}
    found |= {"below_reward": poor}
    counts = dict.fromkeys(COUNTS, 0) | dict(fates)
    counts |= {name: int(pairs.sum()) for name, pairs in found.items()}
    rows = mined.filter(pa.array(left))
    return preferences(rows, prompts, margins[left], round_number, ~poor[left]), counts


def preferences(
    mined: pa.Table,
    prompts: pa.Table,
    margins: Margins,
    round_number: int,
    counting: Marks | None = None,
) -> pa.Table:
    """PREFERENCES of mined pairs, in the order of the labeller's margins.

    Without a margin the presumed order stands, and without `counting` every pair has weight 1.
    Raises CardinalityError for a pair of no prompt.
    """
    places = pc.index_in(mined["prompt_id"], value_set=prompts["prompt_id"])
    if places.null_count:
        lost = mined.filter(pc.is_null(places))["prompt_id"]
        raise CardinalityError(f"prompt_id {lost[0].as_py()!r}: has a pair and is no prompt")
    asked = gathered(prompts.select(["messages", "dataset"]), places.to_numpy())
    swapped = pa.array(margins < 0)
    columns = {
        "pair_id": pc.binary_join_element_wise(mined["best_id"], mined["worst_id"], ">"),
        "prompt_id": mined["prompt_id"],
        "messages": asked["messages"],
        "dataset": asked["dataset"],
        "source": mined["source"],
        "margin": pa.array(np.abs(margins), from_pandas=True),
        "weight": pa.array((np.ones(len(mined)) if counting is None else counting) * 1.0),
        "swapped": swapped,
        "round": pa.repeat(pa.scalar(round_number, pa.int32()), len(mined)),
    }
    for name, what in (("", "_completion"), ("_token_ids",) * 2, ("_id",) * 2, ("_model",) * 2):
        best, worst = mined[f"best{what}"], mined[f"worst{what}"]
        columns[f"chosen{name}"] = pc.if_else(swapped, worst, best)
        columns[f"rejected{name}"] = pc.if_else(swapped, best, worst)
    return pa.table([columns[name] for name in PREFERENCES.names], schema=PREFERENCES)


@stage(PREFERENCES, version="3", model="loaded", shards="mined", rows="mined")
def relabel(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    teacher: Model,
    config: TeacherConfig,
    round_number: int,
    max_length: int,
) -> Rows:
    """In: MINED, PROMPTS. Out: PREFERENCES. Calls the teacher on two completions per pair."""
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    messages = mapping(asked, "prompt_id", "messages")
    items, ids = [], []
    for pair in pairs.to_pylist():
        for side in ("best", "worst"):
            items.append((messages[pair["prompt_id"]], pair[f"{side}_completion"]))
            ids.append(pair[f"{side}_id"])
    rewards = score_rows(ctx, teacher, items, max_length)
    table, counts = order_pairs(
        pairs, asked, dict(zip(ids, rewards, strict=True)), config, round_number, config.min_reward
    )
    return Rows(table, counts | {"teacher_calls": len(items)})


@stage(PREFERENCES, version="1", rows="mined")
def relabel_by_verdicts(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    verdicts: Artifact,
    config: RelabelConfig,
    round_number: int,
) -> Rows:
    """In: MINED, PROMPTS, VERDICTS on its pairs. Out: PREFERENCES in the judge's order.

    Margins are those of the verdicts; `teacher_calls` counts the pairs, each asked in both orders.
    """
    pairs = ctx.table(mined)
    rows = on_pairs(pairs, ctx.table(verdicts))
    said = [by_verdict(row) for row in rows]
    margins = [margin if fate == "ordered" else None for fate, margin in said]
    table, counts = ordered(
        pairs,
        ctx.table(prompts),
        np.array(margins, np.float64),
        Counter(fate for fate, _ in said if fate != "ordered"),
        config,
        round_number,
    )
    return Rows(table, counts | {"teacher_calls": len(rows), "unparsable": unparsable(rows)})


def on_pairs(mined: pa.Table, verdicts: pa.Table) -> list[dict[str, Any]]:
    """Rows of VERDICTS in the order of MINED, whose best is on their left."""
    found = {(row["left_id"], row["right_id"]): row for row in verdicts.to_pylist()}
    ids = mined.select(["best_id", "worst_id"]).to_pylist()
    return [found[pair["best_id"], pair["worst_id"]] for pair in ids]


def by_verdict(row: Mapping[str, Any]) -> Said:
    """What a row of VERDICTS says of the pair whose presumed best is on the left."""
    if row["unjudged"]:
        return "unjudged", None
    if row["turned"]:
        return "inconsistent", None
    return ("teacher_tied" if row["outcome"] == 0.5 else "ordered"), row["margin"]


def unparsable(verdicts: Sequence[Mapping[str, Any]]) -> int:
    """How many pairs have no verdict although the judge could read them."""
    return sum(row["unjudged"] in ("unparsable", "refused") for row in verdicts)


@stage(PREFERENCES, version="1", rows="preferences")
def for_policy(ctx: Context, *, preferences: Artifact) -> Rows:
    """In: PREFERENCES. Out: those that a policy is to learn: of no weight are for the student."""
    table = ctx.table(preferences)
    kept = table.filter(pc.greater(table["weight"], 0))
    return Rows(kept, {"pairs": len(kept)})


@stage(PREFERENCES, version="2", rows="mined")
def take_order(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    config: TeacherConfig,
    round_number: int,
    teacher_calls: int,
) -> Rows:
    """In: MINED, PROMPTS. Out: PREFERENCES in the order of those who scored the completions.

    `teacher_calls`: how many completions the teacher has scored for it, 0 if the student did.
    """
    pairs = ctx.table(mined)
    best, worst = pairs["best_reward"], pairs["worst_reward"]
    asked, least = ctx.table(prompts), config.min_reward
    table, counts = by_rewards(pairs, asked, best, worst, config, round_number, least)
    return Rows(table, counts | {"teacher_calls": teacher_calls})
