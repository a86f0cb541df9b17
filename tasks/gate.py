"""Agreement and gate: what the loop knows of its own quality, on dev prompts, without an oracle."""

import json
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import CardinalityError
from data.readers.logged_pairs import agreement as pair_agreement
from data.readers.logged_pairs import judged_pairs, of_equal_length
from data.recipes.recipe import GateConfig
from data.schemas import JUDGED_PAIRS
from data.statistics import outcome
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.stage import Context, stage


def known(scores: pa.Table) -> pa.Table:
    """The rows with a reward: a conversation may be longer than the model can read."""
    return scores.filter(pc.is_valid(scores["reward"]))


@stage("agreement", version="1", at_best={"agreement": None})
def agreement(
    ctx: Context,
    *,
    completions: Artifact,
    student: Artifact,
    judge: Artifact,
    min_margin: float,
    equal_length: bool = False,
) -> dict[str, Any]:
    """In: COMPLETIONS, the student's SCORES, the teacher's SCORES or a judge's JUDGMENTS.

    Out: agreement.json: how often the student orders two completions of a prompt as the judge
    does, over all pairs that the judge separates by more than `min_margin`.
    """
    scores, rewards = known(ctx.table(student)), known(ctx.table(judge))
    scored = mapping(scores, "completion_id", "reward")
    table = ctx.table(completions)
    table = table.filter(pa.array([id_ in scored for id_ in table["completion_id"].to_pylist()]))
    pairs = judged_pairs(table, rewards, min_margin)
    if equal_length:
        pairs = of_equal_length(pairs)
    result = pair_agreement(pairs, scored)
    (ctx.out / "agreement.json").write_text(json.dumps(result, sort_keys=True))
    return result


@stage("agreement", version="1", at_best={"agreement": None})
def agreement_by_verdicts(
    ctx: Context, *, verdicts: Artifact, student: Artifact, min_margin: float
) -> dict[str, Any]:
    """In: VERDICTS, the student's SCORES. Out: agreement.json: how often the student orders two
    completions as a language model does, over the pairs that this separates by more than
    `min_margin`.
    """
    scored = mapping(known(ctx.table(student)), "completion_id", "reward")
    pairs = []
    for row in ctx.table(verdicts).to_pylist():
        ids = (row["left_id"], row["right_id"])
        decided = row["outcome"] in (0.0, 1.0) and abs(row["margin"]) > min_margin
        if decided and all(one in scored for one in ids):
            better, worse = ids if row["outcome"] == 1 else ids[::-1]
            pairs.append(
                {
                    "prompt_id": row["prompt_id"],
                    "better_id": better,
                    "worse_id": worse,
                    "margin": abs(row["margin"]),
                    "length_ratio": None,
                }
            )
    result = pair_agreement(pa.Table.from_pylist(pairs, JUDGED_PAIRS), scored)
    (ctx.out / "agreement.json").write_text(json.dumps(result, sort_keys=True))
    return result


def paired_outcomes(before: pa.Table, after: pa.Table) -> list[float]:
    """1, 0.5 or 0 for every sample of every prompt where `after` has the higher reward."""
    sides = []
    for table in (before, after):
        rewards = defaultdict(list)
        for row in table.sort_by("completion_id").to_pylist():
            rewards[row["prompt_id"]].append(row["reward"])
        sides.append(rewards)
    old, new = sides
    if old.keys() != new.keys():
        raise CardinalityError("gate: the two policies did not answer the same dev prompts")
    outcomes = []
    for prompt_id in sorted(old):
        for a, b in zip(old[prompt_id], new[prompt_id], strict=True):
            outcomes.append(outcome(a, b))
    return outcomes


@stage("gate", version="1", at_best={"adopted": True})
def gate(ctx: Context, *, before: Artifact, after: Artifact, config: GateConfig) -> dict[str, Any]:
    """In: the teacher's SCORES of old and new policy on the dev prompts. Out: gate.json."""
    outcomes = paired_outcomes(ctx.table(before), ctx.table(after))
    rate = sum(outcomes) / len(outcomes)
    result = {"win_rate": rate, "n": len(outcomes), "adopted": rate >= config.min_win_rate}
    (ctx.out / "gate.json").write_text(json.dumps(result, sort_keys=True))
    return result


@stage("gate", version="1", at_best={"adopted": True})
def gate_by_verdicts(ctx: Context, *, verdicts: Artifact, config: GateConfig) -> dict[str, Any]:
    """In: VERDICTS on the new policy's answers to dev prompts, left, and the old one's. Out:
    gate.json.

    Pairs without a verdict are left out; where there is none at all nothing speaks against the
    new policy, as for a tie.
    """
    outcomes = [value for value in ctx.table(verdicts)["outcome"].to_pylist() if value is not None]
    rate = sum(outcomes) / len(outcomes) if outcomes else 0.5
    result = {"win_rate": rate, "n": len(outcomes), "adopted": rate >= config.min_win_rate}
    (ctx.out / "gate.json").write_text(json.dumps(result, sort_keys=True))
    return result
