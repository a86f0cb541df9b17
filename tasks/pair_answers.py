"""Pair answers: which two answers to a prompt a judge that only compares is shown."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pyarrow as pa

from data.errors import CardinalityError
from data.schemas import ANSWER_PAIRS
from data.store.artifacts import Artifact
from tasks.stage import Context, Rows, stage


@stage(ANSWER_PAIRS, version="1", rows="mined")
def pair_mined(ctx: Context, *, mined: Artifact) -> Rows:
    """In: MINED. Out: ANSWER_PAIRS, the presumed best of each pair on the left."""
    columns = ("prompt_id", "best_id", "worst_id", "best_completion", "worst_completion")
    pairs = ctx.table(mined).select(list(columns))
    return Rows(pa.table(pairs.columns, schema=ANSWER_PAIRS))


def _fewer(inputs: Mapping[str, Any]) -> int:
    rows = inputs["left"].rows or 0
    prompts = inputs["left"].meta.get("prompts") or rows
    return int(min(rows, prompts * inputs["most"]))


@stage(ANSWER_PAIRS, version="1", rows=_fewer)
def pair_policies(ctx: Context, *, left: Artifact, right: Artifact, most: int) -> Rows:
    """In: COMPLETIONS of two policies on the same prompts. Out: ANSWER_PAIRS, the first against
    the first and so on, at most `most` of each prompt.

    Raises:
        CardinalityError: one has answered other prompts, or more often, than the other.
    """
    sides = [answers(ctx.table(artifact)) for artifact in (left, right)]
    if {p: len(rows) for p, rows in sides[0].items()} != {p: len(r) for p, r in sides[1].items()}:
        raise CardinalityError("pair_policies: the two policies did not answer the same prompts")
    return Rows(
        [
            _pair(one, other)
            for prompt, rows in sides[0].items()
            for one, other in list(zip(rows, sides[1][prompt], strict=True))[:most]
        ]
    )


def _combined(inputs: Mapping[str, Any]) -> int:
    table = inputs["completions"]
    rows = table.rows or 0
    prompts = table.meta.get("prompts") or rows
    each = rows // prompts if prompts else 0
    return int(prompts * min(inputs["most"], each * (each - 1) // 2))


@stage(ANSWER_PAIRS, version="1", rows=_combined)
def pair_samples(ctx: Context, *, completions: Artifact, most: int) -> Rows:
    """In: COMPLETIONS of one policy. Out: ANSWER_PAIRS, at most `most` pairs of each prompt's
    answers, of different texts; as many answers as possible are in one."""
    rows = []
    for samples in answers(ctx.table(completions)).values():
        places = sorted(
            combinations(range(len(samples)), 2), key=lambda p: (p[1] - p[0], p[0] % 2, p[0])
        )
        pairs = [(samples[i], samples[j]) for i, j in places]
        apart = [(a, b) for a, b in pairs if a["completion"] != b["completion"]]
        rows += [_pair(a, b) for a, b in apart[:most]]
    return Rows(rows)


def answers(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Rows of COMPLETIONS by prompt, in the order of the samples."""
    found = defaultdict(list)
    for row in table.to_pylist():
        found[row["prompt_id"]].append(row)
    return {p: sorted(rows, key=lambda row: int(row["sample"])) for p, rows in found.items()}


def _pair(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt_id": left["prompt_id"],
        "left_id": left["completion_id"],
        "right_id": right["completion_id"],
        "left": left["completion"],
        "right": right["completion"],
    }
