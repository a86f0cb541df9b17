"""What a run of distillation over domains has measured, interval by interval."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data.domains import spread
from data.measures import Measure, RoundValue
from data.recipes.domains import NOISE
from data.store.store import Store
from flows.ddk.recipe import DdkRecipe
from flows.ddk.state import Outcome
from flows.rounds_told import value_of

Gaps = dict[str, Any]  # as `tasks.mixture.domain_gaps` has them

SUMS: dict[str, tuple[str, str, Callable[[Outcome], int]]] = {
    "prompts": ("texts", "texts drawn", lambda x: x.draw.rows or 0),
    "again": ("texts", "of these drawn before", lambda x: x.draw.meta["again"]),
    "trained": ("texts", "texts learned", lambda x: x.policy.meta["rows"]),
    "learned_tokens": ("texts", "tokens learned", lambda x: x.policy.meta["learned_tokens"]),
    "teacher_tokens": ("cost", "tokens that the teacher read", lambda x: x.read.meta["tokens"]),
}
BEHIND = {"unit": "nats per token", "better": "lower", "group": "policy"}


def mixtures(store: Store, done: Sequence[Outcome]) -> list[pa.Table]:
    """The mixture of every interval."""
    return [store.table(one.mixture) for one in done]


def measured(done: Sequence[Outcome]) -> list[tuple[int, Gaps]]:
    """The gaps by interval; 0: before the first."""
    base = [(0, done[0].base.meta)] if done and done[0].base else []
    return base + [(one.number, one.gaps.meta) for one in done]


def of_rounds(
    recipe: DdkRecipe, done: Sequence[Outcome], mixed: Sequence[pa.Table]
) -> dict[str, Measure]:
    """Gaps, weights and counts, as far as there are any."""
    if not done:
        return {}
    found = {"macro_gap": macro_gap(done), "worst_gap": worst_gap(recipe, done)}
    names = mixed[0]["dataset"].to_pylist()
    factors = np.array([one["factor"].to_pylist() for one in mixed])
    if NOISE in recipe.apart:
        found["noise_weight"] = noise_weight(done, factors[:, names.index(NOISE)], len(names))
    if len(factors) > 2:
        found["weight_variance"] = Measure(
            value=spread(factors[1:]),
            title="variance of the weights over intervals",
            about="Of each domain over the intervals from the second on; the mean over domains.",
            better="lower",
            group="mixture",
        )
    return found | {name: summed(done, *about) for name, about in SUMS.items()}


def summed(
    done: Sequence[Outcome], group: str, title: str, count: Callable[[Outcome], int]
) -> Measure:
    """What is counted in every interval and adds up."""
    rounds = [RoundValue(round=one.number, value=count(one)) for one in done]
    total = sum(one.value for one in rounds)
    about = {"title": title, "unit": "count", "group": group, "adds_up": True}
    return Measure.model_validate({"value": total, "rounds": rounds, **about})


def macro_gap(done: Sequence[Outcome]) -> Measure:
    """By how much the policy is behind in the mean of domains; `even` is what it began with."""
    points = [
        RoundValue(
            round=number,
            **value_of(found["gap"]).model_dump(),
            parts={name: value_of(one) for name, one in found["domains"].items()},
        )
        for number, found in measured(done)
    ]
    last = points[-1]
    return Measure(
        **last.model_dump(include={"value", "ci95", "n", "round", "parts"}),
        title="gap to the teacher, mean of domains",
        short="macro gap",
        about="Log perplexity of the policy less the teacher's on held-out texts, nats a token; "
        "every domain counts the same.",
        even=points[0].value if len(points) > 1 else None,
        rounds=points,
        **BEHIND,
    )


def worst_gap(recipe: DdkRecipe, done: Sequence[Outcome]) -> Measure:
    """By how much it is behind in the domain where it is most."""
    worst = [(number, worst_of(found, recipe.apart)) for number, found in measured(done)]
    points = [
        RoundValue(round=number, **value_of(found).model_dump()) for number, (_, found) in worst
    ]
    last = points[-1]
    return Measure(
        **last.model_dump(include={"value", "ci95", "n", "round"}),
        title=f"gap to the teacher, worst domain ({worst[-1][1][0]})",
        short="worst gap",
        about="The largest gap of a domain; which one it is may change.",
        rounds=points,
        **BEHIND,
    )


def worst_of(found: Gaps, apart: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The domain in which the policy is furthest behind, and its gap."""
    counted = {name: one for name, one in found["domains"].items() if name not in apart}
    name = max(counted, key=lambda one: counted[one]["mean"])
    return name, counted[name]


def noise_weight(done: Sequence[Outcome], factors: Any, number: int) -> Measure:
    """The weight of the domain that nobody can learn."""
    points = [
        RoundValue(round=one.number, value=float(factor))
        for one, factor in zip(done, factors, strict=True)
    ]
    return Measure(
        value=points[-1].value,
        round=points[-1].round,
        title="weight of the noise domain",
        about="An equal share would be the dashed line; neither model can learn noise, so its "
        "weight should not lie above it.",
        unit="share",
        better="lower",
        even=1 / number,
        group="mixture",
        rounds=points,
    )
