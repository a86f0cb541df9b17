"""The model matrix: pairs from the places of their samplers, and a judge who corrects them (TSO).

That older and smaller models give the candidate negatives, and that people or models correct the
order, is published; the judge, its wording and what becomes of a wrong pair are reconstructions.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import CardinalityError
from data.joins import assert_unique
from data.matrix import SOURCE, CellPair, axis_counts, axis_of, best_placed_first, cell_pairs
from data.portions import Portions, numbered
from data.recipes.methods import CorrectionConfig, Matrix, Place
from data.schemas import COMPLETIONS, MINED, PREFERENCES, TOKEN_IDS
from data.store.artifacts import Artifact
from data.table_file import Sliced
from data.tables import mapping
from tasks import mine
from tasks.candidates import Numbers, usable
from tasks.mine import mined_rows
from tasks.relabel import COUNTS, Margins, on_pairs, preferences, unparsable
from tasks.score import score_rows
from tasks.stage import Context, Model, Rows, stage

_AT_A_TIME = 1_024  # prompts
# The judge's margin, best minus worst, with the best shown first and shown second.
Odds = tuple[float, float]


def pair_cells(
    tables: Sequence[Sliced],
    places: Sequence[Place],
    prompts: Sliced,
    config: Matrix,
    drop_truncated: bool,
    seed: int,
    own: Collection[str] = (),
) -> tuple[pa.Table, dict[str, int]]:
    """MINED rows, without rewards: one for each prompt and pair of cells that both answered it.

    A cell answers with its first usable completion. A prompt with two usable completions whose
    cells the matrix does not compare is counted as tied.

    Args:
        tables: COMPLETIONS of each cell, in the order of `places`.
        prompts: What was asked, column prompt_id.
        own: Names of the cells that are versions of the run's policy.

    Raises:
        CardinalityError: an answer to another prompt, or two completions of one id.
    """
    assert_unique(tables, "completion_id")
    portions = Portions(prompts, _AT_A_TIME)
    ranked = best_placed_first(places)
    answers = [portions.of(tables[cell]) for cell in ranked]
    if unasked := [name for one in answers for name in one.left_out.to_pylist()]:
        raise CardinalityError(f"prompt_id {min(unasked)!r}: answered but not asked")
    wanted = Wanted([places[cell] for cell in ranked], cell_pairs(places, config), config, seed)
    counts = dict.fromkeys(mine.COUNTS, 0)
    parts = [MINED.empty_table()]
    for number in range(len(portions)):
        given = [
            one[number] if places[cell].name in own else _without_tokens(one[number])
            for cell, one in zip(ranked, answers, strict=True)
        ]
        parts.append(wanted.of(given, portions.prompts(number), drop_truncated, counts))
    return pa.concat_tables(parts), counts


def _without_tokens(answers: pa.Table) -> pa.Table:
    """Of a cell whose model has a tokenizer of its own."""
    place = answers.column_names.index("token_ids")
    return answers.set_column(place, COMPLETIONS.field(place), pa.nulls(len(answers), TOKEN_IDS))


class Wanted:
    """The pairs of cells that the matrix compares, and their answers."""

    def __init__(
        self, cells: Sequence[Place], pairs: Sequence[CellPair], config: Matrix, seed: int
    ) -> None:
        """`cells`: the best placed first."""
        places = {cell.name: rank for rank, cell in enumerate(cells)}
        self._names = pa.array([cell.name for cell in cells], pa.string())
        self._sides = [
            np.array([places[getattr(pair, side).name] for pair in pairs], np.int64)
            for side in ("better", "worse")
        ]
        self._sources = pa.array([SOURCE + pair.axis for pair in pairs], pa.string())
        self._most, self._seed = config.per_prompt, seed

    def of(
        self,
        answers: Sequence[pa.Table],
        ids: pa.Array,
        drop_truncated: bool,
        counts: dict[str, int],
    ) -> pa.Table:
        """MINED rows of these prompts from the answers of each cell; adds to `counts`."""
        table = pa.concat_tables(answers)
        ranks = np.repeat(np.arange(len(answers), dtype=np.int32), [len(one) for one in answers])
        owners = pc.index_in(table["prompt_id"], value_set=ids).to_numpy()
        # By sample last: a text that two cells gave belongs to the better placed.
        order = [table["sample"].to_numpy(), ranks]
        rows = usable(table, owners, order, drop_truncated, counts)
        first = np.full((len(ids), len(answers)), -1)
        cell, place = np.unique(owners[rows] * first.shape[1] + ranks[rows], return_index=True)
        first.flat[cell] = rows[place]
        there = np.all([first[:, side] >= 0 for side in self._sides], axis=0)
        enough, any_pair = np.bincount(owners[rows], minlength=len(ids)) > 1, there.any(axis=1)
        counts["no_candidates"] += int((~enough).sum())
        counts["paired"] += int((enough & any_pair).sum())
        counts["tied"] += int((enough & ~any_pair).sum())
        prompts, pairs = self._drawn(there, ids)
        counts["mined"] += len(pairs)
        cells = [side[pairs] for side in self._sides]
        best, worst = (table.take(pa.array(first[prompts, cell])) for cell in cells)
        return mined_rows(
            best,
            worst,
            source=self._sources.take(pa.array(pairs)),
            rewards=(pa.nulls(len(pairs), pa.float64()),) * 2,
            models=tuple(self._names.take(pa.array(cell)) for cell in cells),
        )

    def _drawn(self, there: npt.NDArray[np.bool_], ids: pa.Array) -> tuple[Numbers, Numbers]:
        """The prompt and the number of every pair; of a prompt no more than are wanted."""
        prompts, pairs = np.nonzero(there)
        number = there.sum(axis=1)
        if not 0 < self._most < number.max(initial=0):
            return prompts, pairs
        found = []
        for id_, own in zip(ids.to_pylist(), np.split(pairs, np.cumsum(number)[:-1]), strict=True):
            draw, most = random.Random(f"{self._seed}/{id_}"), self._most
            kept = draw.sample(own.tolist(), most) if len(own) > most else own
            found.append(np.array(kept, np.int64))
        return np.repeat(np.arange(len(ids)), [len(own) for own in found]), np.concatenate(found)


def _most_pairs(inputs: Mapping[str, Any]) -> int:
    config = inputs["config"]
    each = len(cell_pairs(inputs["places"], config))
    return int((inputs["prompts"].rows or 0) * min(each, config.per_prompt or each))


@stage(MINED, version="2", rows=_most_pairs)
def pair_up(
    ctx: Context,
    *,
    prompts: Artifact,
    completions: list[Artifact],
    places: list[Place],
    own: list[str],
    config: Matrix,
    drop_truncated: bool,
    seed: int,
) -> Rows:
    """In: PROMPTS, COMPLETIONS of each cell in the order of `places`. Out: MINED, no rewards.

    `own` names the cells that are versions of the run's policy.
    """
    tables, asked = [ctx.open(artifact) for artifact in completions], ctx.open(prompts)
    table, counts = pair_cells(tables, places, asked, config, drop_truncated, seed, own)
    return Rows(table, counts)


def verdicts(odds: Sequence[Odds | None]) -> tuple[dict[str, npt.NDArray[np.bool_]], Margins]:
    """Which pairs' presumed order the judge confirms, by what it says, and its margins.

    A margin, best minus worst, is the mean over both orders. There is none (NaN) for a pair that
    the judge could not read, for a tie, and for a verdict that turns with the order.
    """
    none = (np.nan, np.nan)
    both = np.array([none if one is None else one for one in odds], np.float64).reshape(-1, 2)
    low, high = both.min(axis=1), both.max(axis=1)
    tied = (low == 0) & (high == 0)
    said = {
        "agreed": low > 0,
        "swapped": high < 0,
        "teacher_tied": tied,
        "inconsistent": (low <= 0) & (high >= 0) & ~tied,
        "unjudged": np.isnan(low),
    }
    return said, np.where(said["agreed"] | said["swapped"], (low + high) / 2, np.nan)


def correct_pairs(
    mined: pa.Table,
    prompts: pa.Table,
    odds: Sequence[Odds | None] | None,
    config: CorrectionConfig,
    min_margin: float,
    round_number: int,
) -> tuple[pa.Table, dict[str, int]]:
    """Preferences in the judge's order, with what became of every pair, also by axis.

    Where the judge is unsure (a tie, a margin below `min_margin`, a verdict that turns with the
    order) the pair is dropped, or keeps the matrix's order without a margin, as configured. What
    the judge could not read is dropped.

    Args:
        odds: Of each row of `mined`, None where the judge could not read it. None for all: there
            is no judge, and every pair keeps the matrix's order.
    """
    said, margins = verdicts([None] * len(mined) if odds is None else odds)
    unsure = np.isnan(margins) | (np.abs(margins) < min_margin)
    stays = (odds is None) | ((config.on_unsure == "keep") & ~said["unjudged"])
    disputed = ~unsure & said["swapped"] & (config.on_reversed == "drop")
    kept = np.where(unsure, stays, ~disputed)
    found = said | {
        "below_margin": unsure & ~np.isnan(margins),
        "kept_unsure": unsure & kept,
        "dropped_disagreement": disputed,
        "labelled": kept,
    }
    counts = dict.fromkeys((*COUNTS, *axis_counts()), 0)
    counts |= {name: int(pairs.sum()) for name, pairs in found.items()}
    fates = {"pairs": np.ones(len(mined), bool), "labelled": kept, "dropped": ~kept}
    fates |= {name.removeprefix("teacher_"): pairs for name, pairs in said.items()}
    axes, sources = numbered(mined["source"])
    for number, source in enumerate(sources.to_pylist()):
        for fate, pairs in fates.items():
            counts[f"{axis_of(source)}_{fate}"] += int((pairs & (axes == number)).sum())
    ordered = np.where(unsure, np.nan, margins)[kept]
    return preferences(mined.filter(pa.array(kept)), prompts, ordered, round_number), counts


@stage(PREFERENCES, version="3", model="loaded", shards="mined", rows="mined")
def correct(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    judge: Model,
    config: CorrectionConfig,
    min_margin: float,
    round_number: int,
    max_length: int,
) -> Rows:
    """In: MINED, PROMPTS. Out: PREFERENCES in the order of a reward model.

    It reads every answer once, of at most `max_length` tokens with its prompt.
    """
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    odds, calls = pointwise(ctx, judge, pairs, asked, max_length)
    table, counts = correct_pairs(pairs, asked, odds, config, min_margin, round_number)
    return Rows(table, counts | {"teacher_calls": calls})


@stage(PREFERENCES, version="2", shards="mined", rows="mined")
def correct_by_verdicts(
    ctx: Context,
    *,
    mined: Artifact,
    prompts: Artifact,
    verdicts: Artifact,
    config: CorrectionConfig,
    min_margin: float,
    round_number: int,
) -> Rows:
    """In: MINED, PROMPTS, VERDICTS. Out: PREFERENCES in the order of a language model.

    `min_margin` is in the unit of the verdicts' margins.
    """
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    said = on_pairs(pairs, ctx.table(verdicts))
    odds: list[Odds | None] = [
        None if one["unjudged"] else (one["left_first_margin"], one["right_first_margin"])
        for one in said
    ]
    table, counts = correct_pairs(pairs, asked, odds, config, min_margin, round_number)
    return Rows(table, counts | {"teacher_calls": len(pairs), "unparsable": unparsable(said)})


def pointwise(
    ctx: Context, judge: Model, pairs: pa.Table, prompts: pa.Table, max_length: int
) -> tuple[list[Odds | None], int]:
    """Margins of a reward model, the same in both orders, and how many answers it read."""
    messages = mapping(prompts, "prompt_id", "messages")
    rows = pairs.to_pylist()
    answers = {
        row[f"{side}_id"]: (messages[row["prompt_id"]], row[f"{side}_completion"])
        for row in rows
        for side in ("best", "worst")
    }
    scores = score_rows(ctx, judge, list(answers.values()), max_length)
    return margins(pairs, dict(zip(answers, scores, strict=True))), len(answers)


def margins(pairs: pa.Table, rewards: Mapping[str, float | None]) -> list[Odds | None]:
    """Of each pair, best minus worst, the same in both orders; None where one has no reward."""
    odds: list[Odds | None] = []
    for row in pairs.select(["best_id", "worst_id"]).to_pylist():
        best, worst = rewards[row["best_id"]], rewards[row["worst_id"]]
        odds.append(None if best is None or worst is None else (best - worst, best - worst))
    return odds


@stage(PREFERENCES, version="3", rows="mined")
def keep_order(ctx: Context, *, mined: Artifact, prompts: Artifact, round_number: int) -> Rows:
    """In: MINED, PROMPTS. Out: PREFERENCES in the matrix's order, without a judge or margins."""
    pairs, asked = ctx.table(mined), ctx.table(prompts)
    table, counts = correct_pairs(pairs, asked, None, CorrectionConfig(), 0.0, round_number)
    return Rows(table, counts | {"teacher_calls": 0})
