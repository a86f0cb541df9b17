"""A policy's win rate over the base by every judge, from the evaluations in the store."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from data.length_controlled import length_controlled
from data.statistics import win_rate
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import AtEqualLength, DatasetResult, PolicySummary
from data.tables import mapping


def policy_summary(
    store: Store,
    evaluations: Sequence[Artifact],
    *,
    samples: int,
    seed: int,
    judges: Sequence[str],
) -> PolicySummary:
    """Win rates with intervals, in all and per data set: the first judge's, with the others in it.

    Args:
        evaluations: One of each judge, of the same answers.
        judges: As the recipe spells them.
    """
    found: list[PolicySummary] = []
    orders: list[dict[str, float]] = []
    for evaluation, judge in zip(evaluations, judges, strict=True):
        table = store.table(evaluation)
        order = mapping(table, "prompt_id", "outcome")
        same = {
            earlier.judge: sum(before[one] == order[one] for one in order) / len(order)
            for earlier, before in zip(found, orders, strict=True)
        }
        mine = one_judge(table, samples=samples, seed=seed, judge=judge)
        said = {"same_order": same, "unjudged": unjudged(evaluation, table)}
        found.append(mine.model_copy(update=said))
        orders.append(order)
    return found[0].model_copy(update={"others": found[1:]})


def unjudged(evaluation: Artifact, table: pa.Table) -> int:
    """Prompts of which the judge said nothing; they count as ties."""
    if "unjudged" in evaluation.meta:  # of a judge that compares and gives no scores
        return int(evaluation.meta["unjudged"])
    unread = (pc.is_null(table[f"{side}_score"]) for side in ("base", "policy"))
    return int(pc.sum(pc.or_(*unread)).as_py() or 0)


def one_judge(table: pa.Table, *, samples: int, seed: int, judge: str) -> PolicySummary:
    """What one judge says, from its EVALUATION."""
    datasets, outcomes = table["dataset"].to_pylist(), table["outcome"].to_pylist()
    rates = win_rate(outcomes, datasets, samples, seed)
    texts = (table[f"{side}_completion"].to_pylist() for side in ("policy", "base"))
    longer = [len(policy) - len(base) for policy, base in zip(*texts, strict=True)]
    alike = length_controlled(outcomes, longer, datasets, samples, seed)
    scores: dict[str, dict[str, list[float]]] = {}
    for row in table.select(["dataset", "base_score", "policy_score"]).to_pylist():
        for side in ("base_score", "policy_score"):
            known = scores.setdefault(row["dataset"], {}).setdefault(side, [])
            known += [row[side]] if row[side] is not None else []
    by_dataset = {}
    for name, entry in rates.pop("by_dataset").items():
        means = {side: sum(v) / len(v) for side, v in scores[name].items() if v}
        by_dataset[name] = DatasetResult(**entry, **means)
    return PolicySummary(
        **rates,
        by_dataset=by_dataset,
        judge=judge,
        at_equal_length=AtEqualLength(**alike) if alike else None,
    )
