"""What a run of best-of-n distillation has measured round by round, all but the win rate."""

from collections.abc import Callable, Sequence

from data.measures import Measure
from flows.best_of_n.recipe import BestOfNRecipe
from flows.best_of_n.state import Judged, Outcome
from flows.drift_told import of_drift
from flows.rounds_told import Number, curve, summed

# What is counted in every round and adds up: group and title.
SUMS: dict[str, tuple[str, str, Callable[[Outcome], int]]] = {
    "prompts": ("answers", "prompts asked", lambda x: x.asked.rows or 0),
    "generated": ("answers", "answers generated", lambda x: x.completions.rows or 0),
    "usable": ("answers", "usable answers", lambda x: x.picked.meta["usable"]),
    "picked": ("answers", "answers picked", lambda x: x.picked.rows or 0),
    "trained": ("answers", "answers learned", lambda x: x.policy.meta["rows"]),
    "tokens": ("cost", "answer tokens", lambda x: x.completions.meta["tokens"]),
}


def of_rounds(recipe: BestOfNRecipe, done: Sequence[Outcome]) -> dict[str, Measure]:
    """All but the win rate, as far as they were measured; a curve each."""
    found = {name: summed(done, *about) for name, about in SUMS.items() if done}
    by_teacher = recipe.scorer == "teacher"
    if done:
        calls = "answers that the teacher scored to pick"
        found["teacher_calls"] = summed(
            done, "cost", calls, lambda x: (x.completions.rows or 0) * by_teacher
        )
    rewards = ("reward_of_usable", "mean of a prompt's answers"), ("reward_of_picked", "the best")
    for name, which in rewards:
        title = f"{recipe.scorer}'s reward: {which}"
        _add(found, name, curve(done, _meta(name), title=title, group="answers"))
    preferred = {"title": "teacher prefers new policy", "unit": "share", "judge": "teacher"}
    _add(found, "gate_win_rate", curve(done, _judged_by(_of_gate), **preferred))
    return found | of_drift(done)


def _of_gate(judged: Judged) -> Number:
    return judged.gate.meta["win_rate"] if judged.gate else None


def _judged_by(of: Callable[[Judged], Number]) -> Callable[[Outcome], Number]:
    return lambda one: of(one.judged) if one.judged else None


def _add(found: dict[str, Measure], name: str, measure: Measure | None) -> None:
    if measure:
        found[name] = measure


def _meta(name: str) -> Callable[[Outcome], Number]:
    return lambda one: one.picked.meta[name]
