"""What a run of distillation has measured round by round, all but the win rate."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from data.measures import Measure, RoundValue
from data.store.artifacts import Artifact
from flows.drift_told import of_drift
from flows.opd.state import Judged, Outcome
from flows.rounds_told import Number, curve, summed, value_of


class Apart(Protocol):
    """A round whose policy's distance to its teacher may be known."""

    @property
    def number(self) -> int: ...
    @property
    def judged(self) -> Judged | None: ...


def counted(tables: Sequence[Artifact], what: str = "") -> int:
    """Rows of all tables, or what they count."""
    return sum(one.meta.get(what, 0) if what else one.rows or 0 for one in tables)


# What is counted in every round and adds up: group and title.
SUMS: dict[str, tuple[str, str, Callable[[Outcome], int]]] = {
    "prompts": ("answers", "prompts asked", lambda x: x.asked.rows or 0),
    "generated": ("answers", "answers generated", lambda x: counted(x.completions)),
    "trained": ("answers", "answers learned", lambda x: x.policy.meta["rows"]),
    "learned_tokens": ("answers", "tokens learned", lambda x: x.policy.meta["learned_tokens"]),
    "tokens": ("cost", "answer tokens", lambda x: counted(x.completions, "tokens")),
    "teacher_tokens": (
        "cost",
        "tokens that the teacher read",
        lambda x: counted(x.targets, "tokens"),
    ),
}
APART = {  # of a divergence: title, what it is
    "kl_to_teacher": (
        "forward_kl",
        "KL of the teacher from the policy",
        "KL(teacher || policy) over the whole vocabulary, nats a token, on the teacher's answers "
        "to the dev prompts.",
    ),
    "reverse_kl_to_teacher": (
        "reverse_kl",
        "KL of the policy from the teacher",
        "KL(policy || teacher) at the same places: not on the policy's own answers.",
    ),
}


def of_rounds(done: Sequence[Outcome]) -> dict[str, Measure]:
    """All but the win rate, as far as they were measured; a curve each."""
    found: dict[str, Measure | None] = {
        name: summed(done, *about) for name, about in SUMS.items() if done
    }
    for name, (of, title, about) in APART.items():
        found[name] = distance(done, of, title=title, about=about)
    mass = "The policy's probability of the tokens that were kept of the teacher"
    reads = {"unit": "share", "group": "training"}
    for name, place, when in (("kept_mass_before", 0, "start"), ("kept_mass", 1, "end")):
        of_training = _kept_mass(place)
        said = f"{mass}, at the {when} of a round's training."
        title = f"mass on the kept tokens, {when}"
        found[name] = curve(done, of_training, title=title, about=said, **reads)
    found["teacher_kept_mass"] = curve(
        done, _of_teacher, title="teacher's mass on the kept tokens", **reads
    )
    return {name: one for name, one in found.items() if one} | of_drift(done)


def distance(done: Sequence[Apart], of: str, **reads: Any) -> Measure | None:
    """A divergence from the teacher by round, from the base on."""
    judged = [(one.number, one.judged) for one in done if one.judged]
    every = [(0, judged[0][1].base_apart), *((n, x.apart) for n, x in judged)] if judged else []
    measured = [(number, artifact) for number, artifact in every if artifact]
    points = [
        RoundValue(round=number, **value_of(artifact.meta[of]).model_dump())
        for number, artifact in measured
        if artifact.meta[of]
    ]
    if len(points) < 2:
        return None
    last = points[-1].model_dump(include={"value", "ci95", "n", "round"})
    parts = {n: value_of(x) for n, x in measured[-1][1].meta[of]["by_dataset"].items()}
    about = {"unit": "nats per token", "better": "lower", "group": "policy"}
    return Measure(**last, parts=parts, rounds=points, **about | reads)


def _kept_mass(place: int) -> Callable[[Outcome], Number]:
    return lambda one: one.policy.meta["kept_mass"][place]


def _of_teacher(one: Outcome) -> Number:
    tokens = counted(one.targets, "tokens")
    return sum(x.meta["total_kept"] for x in one.targets) / tokens if tokens else None
