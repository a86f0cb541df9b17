"""The model matrix row by row, as it was before it worked on columns."""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence

import pyarrow as pa

from data.errors import CardinalityError
from data.matrix import SOURCE, axis_counts, axis_of, best_placed_first, cell_pairs
from data.recipes.methods import CorrectionConfig, Matrix, Place
from data.schemas import MINED, PREFERENCES
from data.tables import index_by
from tasks.relabel import COUNTS
from tests.tasks.oracle import mine
from tests.tasks.oracle.mine import Row, mined_row, usable
from tests.tasks.oracle.relabel import preference

# The judge's margin, best minus worst, with the best shown first and shown second.
Odds = tuple[float, float]


def answers_by_prompt(
    tables: Sequence[pa.Table], places: Sequence[Place], own: Collection[str] = ()
) -> dict[str, list[Row]]:
    """{prompt_id: completions of all cells, each with its `cell`}, the best placed cells first.

    Token ids are those of the cells named in `own` alone: the others have tokenizers of their own.
    Raises CardinalityError for a completion_id that two cells share.
    """
    index_by(pa.concat_tables(tables), "completion_id")
    found: dict[str, list[Row]] = defaultdict(list)
    for rank, cell in enumerate(best_placed_first(places)):
        for row in tables[cell].to_pylist():
            # Sorted by `sample` later: a text that two cells gave belongs to the better placed.
            name = places[cell].name
            row |= {"cell": name, "sample": (rank, row["sample"])}
            row["token_ids"] = row["token_ids"] if name in own else None
            found[row["prompt_id"]].append(row)
    return found


def pair_cells(
    tables: Sequence[pa.Table],
    places: Sequence[Place],
    prompt_ids: Sequence[str],
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
        prompt_ids: What was asked.
        own: Names of the cells that are versions of the run's policy.

    Raises:
        CardinalityError: an answer to another prompt, or two completions of one id.
    """
    answers = answers_by_prompt(tables, places, own)
    unasked = answers.keys() - set(prompt_ids)
    if unasked:
        raise CardinalityError(f"prompt_id {min(unasked)!r}: answered but not asked")
    wanted = cell_pairs(places, config)
    counts = dict.fromkeys(mine.COUNTS, 0)
    rows = []
    for prompt_id in prompt_ids:
        kept = usable(answers.get(prompt_id, []), drop_truncated, counts)
        first = {row["cell"]: row for row in reversed(kept)}
        pairs = [p for p in wanted if p.better.name in first and p.worse.name in first]
        counts["no_candidates" if len(kept) < 2 else "paired" if pairs else "tied"] += 1
        if 0 < config.per_prompt < len(pairs):
            pairs = random.Random(f"{seed}/{prompt_id}").sample(pairs, config.per_prompt)
        for better, worse, way in pairs:
            models = better.name, worse.name
            rows.append(mined_row(first[models[0]], first[models[1]], SOURCE + way, models))
    counts["mined"] = len(rows)
    return pa.Table.from_pylist(rows, MINED), counts


def verdict(odds: Odds | None) -> tuple[str, float | None]:
    """What the judge says of the presumed order, and its margin, best minus worst.

    A margin is the mean over both orders. There is none for a pair that the judge could not read,
    for a tie, and for a verdict that turns with the order.
    """
    if odds is None:
        return "unjudged", None
    low, high = sorted(odds)
    if low == high == 0:
        return "teacher_tied", None
    if low <= 0 <= high:
        return "inconsistent", None
    return ("agreed" if low > 0 else "swapped"), (low + high) / 2


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
    prompt_of = {row["prompt_id"]: row for row in prompts.to_pylist()}
    counts = dict.fromkeys((*COUNTS, *axis_counts()), 0)
    rows = []
    for number, pair in enumerate(mined.to_pylist()):
        said, margin = verdict(odds[number] if odds is not None else None)
        unsure = margin is None or abs(margin) < min_margin
        stays = odds is None or (config.on_unsure == "keep" and said != "unjudged")
        disputed = not unsure and said == "swapped" and config.on_reversed == "drop"
        kept = stays if unsure else not disputed
        counts[said] += 1
        counts["below_margin"] += unsure and margin is not None
        counts["kept_unsure"] += unsure and kept
        counts["dropped_disagreement"] += disputed
        counts["labelled"] += kept
        for fate in ("pairs", said.removeprefix("teacher_"), "labelled" if kept else "dropped"):
            counts[f"{axis_of(pair['source'])}_{fate}"] += 1
        if kept:
            prompt = prompt_of[pair["prompt_id"]]
            rows.append(preference(pair, prompt, None if unsure else margin, round_number))
    return pa.Table.from_pylist(rows, PREFERENCES), counts
