"""What a run of DCKD or ADPA has measured, all but the student's win rate."""

from collections.abc import Callable, Sequence
from typing import Any

from data.measures import Interval, Measure, RoundValue
from data.store.store import Store
from data.summary import PolicySummary
from flows.adpa.recipe import AdpaRecipe
from flows.adpa.state import Outcome, Training
from flows.drift_told import of_drift
from flows.loop.summary import mean_score
from flows.opd.measures import APART, counted, distance
from flows.rounds_told import Number, curve, summed
from flows.win_rates import policy_summary


def learned_tokens(one: Outcome) -> Number:
    """By all steps; None: DPO does not count them."""
    known = [each.policy.meta.get("learned_tokens") for each in one.trainings]
    return None if None in known else sum(filter(None, known))


def read(one: Training, what: str = "tokens") -> int:
    """What both teachers have read for a step: answers, or their tokens."""
    return counted([*one.targets, *one.references], what)


SUMS: dict[str, tuple[str, str, Callable[[Outcome], int]]] = {  # group and title
    "prompts": ("answers", "prompts of the pairs", lambda x: x.pairs.meta["prompts"]),
    "pairs": ("answers", "pairs drawn", lambda x: x.pairs.rows or 0),
    "trained": ("answers", "pairs learned in the last step", lambda x: x.policy.meta["rows"]),
    "generated": (
        "answers",
        "answers of the student",
        lambda x: sum(counted(one.completions) for one in x.trainings),
    ),
    "tokens": (
        "cost",
        "answer tokens",
        lambda x: sum(counted(one.completions, "tokens") for one in x.trainings),
    ),
    "teacher_tokens": (
        "cost",
        "tokens that the teachers read",
        lambda x: sum(map(read, x.trainings)),
    ),
}


def of_run(store: Store, recipe: AdpaRecipe, done: Sequence[Outcome]) -> dict[str, Measure]:
    """As far as they are known."""
    if not done:
        return {}
    found: dict[str, Measure | None] = {name: summed(done, *of) for name, of in SUMS.items()}
    found["learned_tokens"] = curve(done, learned_tokens, title="tokens learned", unit="count")
    found |= {name: distance(done, of, title=t, about=x) for name, (of, t, x) in APART.items()}
    found |= _of_trainings(done)
    found |= of_teacher(done[0], teacher_rates(store, recipe, done[0]))
    return {name: one for name, one in found.items() if one} | of_drift(done)


def _of_trainings(done: Sequence[Outcome]) -> dict[str, Measure | None]:
    """What the last step that learns from a teacher has done to the student."""
    kept = "the student's probability of the tokens kept of the teacher"
    gain = "the teacher's advantage over its reference that the student may expect, nats a token"
    found: dict[str, Measure | None] = {}
    for name, title, about, unit in (
        ("kept_mass", "mass on the kept tokens", kept, "share"),
        ("advantage", "expected advantage", gain, "nats per token"),
    ):
        for place, (suffix, when) in enumerate((("_before", "start"), ("", "end"))):
            found[f"{name}{suffix}"] = curve(
                done,
                _last(name, place),
                title=f"{title}, {when}",
                about=f"At the {when} of the last step's training: {about}.",
                unit=unit,
                group="training",
            )
    return found


def _last(name: str, place: int) -> Callable[[Outcome], Number]:
    return lambda one: one.policy.meta[name][place] if name in one.policy.meta else None


def teacher_rates(store: Store, recipe: AdpaRecipe, one: Outcome) -> PolicySummary:
    """The aligned teacher's win rates over the student as it began, by every judge."""
    return policy_summary(
        store,
        one.teacher_evaluations,
        samples=recipe.evaluate.bootstrap_samples,
        seed=recipe.seed,
        judges=recipe.evaluate.judges,
    )


def of_teacher(one: Outcome, rates: PolicySummary) -> dict[str, Measure | None]:
    """How good the teacher is, and what of its lead the student has made up for."""
    found: dict[str, Measure | None] = {
        "teacher_win_rate": _single(
            rates.win_rate,
            ci95=rates.ci95,
            n=rates.wins + rates.ties + rates.losses,
            title="the aligned teacher's win rate over the base",
            unit="share",
            even=0.5,
            judge=rates.judge,
        )
    }
    own, taught = one.judged.evaluations[0], one.teacher_evaluations[0]
    base, student = mean_score(own, "base"), mean_score(own, "policy")
    teacher = mean_score(taught, "policy")
    if base is not None and student is not None and teacher is not None and teacher > base:
        found["gap_closed"] = _single(
            (student - base) / (teacher - base),
            title="share of the teacher's lead made up",
            about="(student - base) / (teacher - base), of the judge's mean scores on the test "
            "prompts; the base is the student as it began.",
            unit="share",
        )
    return found


def _single(
    value: float, ci95: Interval | None = None, n: int | None = None, **about: Any
) -> Measure:
    after = RoundValue(round=1, value=value, ci95=ci95, n=n)
    reads: dict[str, Any] = {"better": "higher", "group": "policy"} | about
    return Measure(value=value, ci95=ci95, n=n, round=1, rounds=[after], **reads)
