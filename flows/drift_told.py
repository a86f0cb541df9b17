"""How far a policy has gone from its base, round by round, as measures with a curve each."""

from collections.abc import Callable, Sequence
from typing import Protocol

from data.measures import Measure, RoundValue
from data.store.artifacts import Artifact
from flows.loop.measures import DRIFT
from flows.loop.state import Answers
from flows.loop.summary import base_summary, mean_reward, mean_score
from flows.rounds_told import Evaluated, Finished, Number, curve


class Drifted(Evaluated, Protocol):
    """Of the policy of a round that was judged, and of the base."""

    @property
    def drift(self) -> Artifact: ...
    @property
    def base_drift(self) -> Artifact: ...
    @property
    def base(self) -> Answers: ...
    @property
    def policy(self) -> Answers: ...


class Measured(Finished, Protocol):
    """A round that has left a policy, whose drift may be known."""

    @property
    def judged(self) -> Drifted | None: ...


OF_DRIFT: dict[str, Callable[[Drifted], Number]] = {  # titles and units: DRIFT
    "kl_to_base": lambda x: float(x.drift.meta["kl_to_base"]),
    "perplexity": lambda x: float(x.drift.meta["perplexity"]),
    "mean_tokens": lambda x: float(x.drift.meta["mean_tokens"]),
    "distinct_2": lambda x: float(x.drift.meta["distinct_2"]),
    "teacher_reward": lambda x: mean_reward(x.policy.rewards),
    "judge_score": lambda x: mean_score(x.evaluations[0], "policy"),
}


def of_drift(done: Sequence[Measured]) -> dict[str, Measure]:
    """As far as they were measured, from the base on."""
    found, base = {}, base_values(done)
    for name, of in OF_DRIFT.items():
        title, unit = DRIFT[name]
        measure = curve(done, _judged_by(of), title=title, unit=unit)
        if measure and name in base:
            measure.rounds.insert(0, RoundValue(round=0, value=base[name]))
        if measure:
            found[name] = measure
    return found


def base_values(done: Sequence[Measured]) -> dict[str, float]:
    """The same of the base policy, as far as they are measured."""
    judged = next((one.judged for one in done if one.judged), None)
    if judged is None:
        return {}
    known = base_summary(judged.base, judged.base_drift, judged.evaluations[0])
    return {"kl_to_base": 0.0, **known}


def _judged_by(of: Callable[[Drifted], Number]) -> Callable[[Measured], Number]:
    return lambda one: of(one.judged) if one.judged else None
