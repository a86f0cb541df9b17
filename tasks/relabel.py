"""Relabel: the teacher judges the two completions the student picked (TS-Align, step 4)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import CardinalityError, InputError
from data.joins import gathered
from data.recipes.recipe import RelabelConfig, TeacherConfig
from data.schemas import PREFERENCES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.score import score_rows
from tasks.stage import Context, Model, Rows, stage

COUNTS = (
    *("agreed", "swapped", "teacher_tied", "inconsistent", "unjudged"),
    *("below_margin", "dropped_disagreement", "kept_unsure", "labelled"),
)

# Of a pair: "ordered" with the labeller's margin, best minus worst, or why it has no order.
Said = tuple[str, float | None]
Margins = npt.NDArray[np.float64]  # of pairs, best minus worst; NaN: none


def order_pairs(
    mined: pa.Table,
    prompts: pa.Table,
    rewards: Mapping[str, float | None],
    config: RelabelConfig,
    round_number: int,
) -> tuple[pa.Table, dict[str, int]]:
    """`by_rewards` from the reward of every best and worst completion by its id."""
    best, worst = (
        pa.array([rewards[name] for name in mined[f"{side}_id"].to_pylist()], pa.float64())
        for side in ("best", "worst")
    )
    return by_rewards(mined, prompts, best, worst, config, round_number)


def by_rewards(
    mined: pa.Table,
    prompts: pa.Table,
    best: pa.Array,
    worst: pa.Array,
    config: RelabelConfig,
    round_number: int,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences in the labeller's order, with what became of every mined pair.

    The student's order stands where the labeller agrees, is swapped (or dropped, as configured)
    where it does not; a tie or a margin below `config.min_margin` is out. Swapping is recalled,
    not confirmed, for the paper; ties and margins are this project's choice.

    Args:
        best: The labeller's reward of the best completion of every pair, float64; null where it
            could not read the conversation, which leaves the pair unjudged.
        worst: The same of the worst.
    """
    margins = _floats(best) - _floats(worst)
    unjudged, tied = np.isnan(margins), _floats(best) == _floats(worst)
    fates = {"unjudged": int(unjudged.sum()), "teacher_tied": int(tied.sum())}
    margins = np.where(tied, np.nan, margins)
    chosen = np.fmax(_floats(best), _floats(worst))
    return ordered(mined, prompts, margins, fates, config, round_number, chosen)


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
    chosen: Margins | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences from what a labeller says of every pair of MINED, and the counts of its fates.

    Args:
        margins: Of every pair; NaN where the labeller gives no order.
        fates: How many pairs have none, by why.
        chosen: The labeller's reward of every pair's better completion, if it gives any.
    """
    swapped, known = margins < 0, ~np.isnan(margins)
    dropped = swapped & (config.on_disagreement == "drop")
    close = known & ~dropped & (np.abs(margins) < config.min_margin)
    kept = known & ~dropped & ~close
    found = {"agreed": known & ~swapped, "swapped": swapped, "labelled": kept}
    found |= {"dropped_disagreement": dropped, "below_margin": close}
    counts = dict.fromkeys(COUNTS, 0) | dict(fates)
    counts |= {name: int(pairs.sum()) for name, pairs in found.items()}
    rows, rewards = mined.filter(pa.array(kept)), None if chosen is None else chosen[kept]
    return preferences(rows, prompts, margins[kept], round_number, rewards), counts


def preferences(
    mined: pa.Table,
    prompts: pa.Table,
    margins: Margins,
    round_number: int,
    rewards: Margins | None = None,
) -> pa.Table:
    """PREFERENCES of mined pairs, in the order of the labeller's margins.

    Without a margin the presumed order stands. `rewards`: the labeller's of the chosen ones.
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
        "chosen_reward": pa.nulls(len(mined), pa.float64())
        if rewards is None
        else pa.array(rewards),
        "weight": pa.repeat(1.0, len(mined)),
        "swapped": swapped,
        "round": pa.repeat(pa.scalar(round_number, pa.int32()), len(mined)),
    }
    for name, what in (("", "_completion"), ("_token_ids",) * 2, ("_id",) * 2, ("_model",) * 2):
        best, worst = mined[f"best{what}"], mined[f"worst{what}"]
        columns[f"chosen{name}"] = pc.if_else(swapped, worst, best)
        columns[f"rejected{name}"] = pc.if_else(swapped, best, worst)
    return pa.table([columns[name] for name in PREFERENCES.names], schema=PREFERENCES)


@stage(PREFERENCES, version="4", model="loaded", shards="mined", rows="mined")
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
        pairs, asked, dict(zip(ids, rewards, strict=True)), config, round_number
    )
    return Rows(table, counts | {"teacher_calls": len(items)})


@stage(PREFERENCES, version="2", rows="mined")
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
def best_pairs(ctx: Context, *, preferences: Artifact, share: float) -> Rows:
    """In: PREFERENCES. Out: those whose chosen completion is among the best of its data set.

    Of two bad answers the better one is none to learn: a policy takes the best of each data set,
    the order of the others teaches the student alone. This project's choice, in no paper.
    """
    kept = best_of_each(ctx.table(preferences), share)
    return Rows(kept, {"pairs": len(kept)})


def best_of_each(preferences: pa.Table, share: float) -> pa.Table:
    """Of each data set so many of the pairs with the highest `chosen_reward`, rounded up.

    In the order of the table; of equal rewards the earlier pair is taken.

    Raises:
        InputError: a pair has no such reward.
    """
    rewards = preferences["chosen_reward"]
    if rewards.null_count:
        raise InputError("policy.best_pairs: the labels are without chosen_reward; leave it out")
    table = preferences.select(["dataset", "chosen_reward"]).to_pandas()
    groups = table.groupby("dataset", dropna=False)["chosen_reward"]
    wanted = np.ceil(groups.transform("size") * share - 1e-9)  # 0.07 * 100 is more than 7
    return preferences.filter(pa.array(groups.rank(method="first", ascending=False) <= wanted))


@stage(PREFERENCES, version="3", rows="mined")
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
    table, counts = by_rewards(pairs, ctx.table(prompts), best, worst, config, round_number)
    return Rows(table, counts | {"teacher_calls": teacher_calls})
