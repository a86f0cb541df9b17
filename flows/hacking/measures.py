"""What a run of the teacher-hacking experiment has measured, round by round."""

from collections.abc import Callable, Sequence
from typing import Any

from data.errors import InputError
from data.measures import Measure, RoundValue, Value
from data.store.artifacts import Artifact
from data.u_turn import gaps
from flows.hacking.state import Apart, Outcome
from flows.rounds_told import curve, summed, value_of

Measures = dict[str, Measure]

# Of `Apart` and of its divergences: by which the measure is named, its title, what it is.
APART: dict[str, tuple[Callable[[Apart], Artifact], str, str, str]] = {
    "golden_kl": (
        lambda x: x.golden,
        "forward_kl",
        "golden: KL of the oracle from the policy",
        "KL_seq(oracle || policy), nats an answer, over the whole vocabulary at every token of the "
        "oracle's answers to the dev prompts.",
    ),
    "proxy_kl": (
        lambda x: x.proxy,
        "forward_kl",
        "proxy: KL of the teacher from the policy",
        "KL_seq(teacher || policy), the same on the teacher's answers.",
    ),
    "golden_reverse_kl": (
        lambda x: x.golden,
        "reverse_kl",
        "golden, reversed",
        "KL(policy || oracle) summed over the oracle's answers: not over the policy's own.",
    ),
    "proxy_reverse_kl": (
        lambda x: x.proxy,
        "reverse_kl",
        "proxy, reversed",
        "KL(policy || teacher) summed over the teacher's answers: not over the policy's own.",
    ),
}
GAP = "hacking_gap"


def of_rounds(start: Apart, of_teacher: Artifact, done: Sequence[Outcome]) -> Measures:
    """All measures; the distances from before the first round on."""
    found = {name: _distance(start, done, *about) for name, about in APART.items()}
    golden = found["golden_kl"].rounds
    points = [
        RoundValue(round=one.round, value=gap)
        for one, gap in zip(golden, gaps([one.value for one in golden]), strict=True)
    ]
    found[GAP] = Measure(
        value=points[-1].value,
        round=points[-1].round,
        rounds=points,
        title="hacking gap",
        about="How far golden is above its lowest value so far, as a share of that.",
        unit="share",
        better="lower",
        even=0.0,
        group="policy",
    )
    found["golden_kl_of_teacher"] = Measure(
        **_value(of_teacher, "forward_kl").model_dump(),
        title="KL of the oracle from the teacher",
        about="KL_seq(oracle || teacher): the teacher's own golden distance.",
        unit="nats per answer",
        better="lower",
        group="teacher",
    )
    return found | _counted(done)


def _distance(
    start: Apart,
    done: Sequence[Outcome],
    part: Callable[[Apart], Artifact],
    direction: str,
    title: str,
    about: str,
) -> Measure:
    known = [(0, start), *((one.number, one.apart) for one in done if one.apart)]
    points = [
        RoundValue(round=number, **_value(part(apart), direction).model_dump())
        for number, apart in known
    ]
    last = points[-1].model_dump(include={"value", "ci95", "n", "round"})
    reads: dict[str, Any] = {"unit": "nats per answer", "better": "lower", "group": "policy"}
    return Measure(**last, title=title, about=about, rounds=points, **reads)


def _value(artifact: Artifact, direction: str) -> Value:
    """A mean with its interval, as `data.statistics.dataset_mean` gives it."""
    found = artifact.meta[direction]
    if found is None:
        raise InputError(
            "prompts.max_tokens: no dev prompt with its answer is read whole by both models whose "
            "distance is measured; lower it, or generate.max_tokens"
        )
    return value_of(found)


def _counted(done: Sequence[Outcome]) -> Measures:
    """What adds up, and the mean loss of each round's training."""
    if not done:
        return {}
    new = newly_made(done)
    found = {
        "prompts": summed(done, "answers", "prompts asked", lambda x: x.asked.rows or 0),
        "generated": summed(
            done, "answers", "answers generated", lambda x: sum(y.rows or 0 for y in new[x.number])
        ),
        "trained": summed(done, "answers", "answers learned", lambda x: x.policy.meta["rows"]),
        "learned_tokens": summed(
            done, "answers", "tokens learned", lambda x: x.policy.meta["learned_tokens"]
        ),
        "tokens": summed(
            done, "cost", "answer tokens", lambda x: sum(y.meta["tokens"] for y in new[x.number])
        ),
    }
    losses = curve(
        done,
        lambda x: sum(x.policy.meta["losses"]) / len(x.policy.meta["losses"]),
        title="loss on the answers learned",
        about="Mean over the training of the round, while it learns.",
        unit="nats per token",
        group="training",
    )
    return found | ({"learned_kl": losses} if losses else {})


def newly_made(done: Sequence[Outcome]) -> dict[int, list[Artifact]]:
    """COMPLETIONS by the round that generated them: offline there are some in the first alone."""
    seen: set[str] = set()
    found: dict[int, list[Artifact]] = {}
    for one in done:
        new = [x for x in one.sampled if x.digest not in seen]
        seen |= {x.digest for x in new}
        found[one.number] = new
    return found
