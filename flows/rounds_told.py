"""What flows say alike whose rounds train a policy and judge it against its base."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from data.measures import Fact, Interval, Measure, Reference, RoundValue, Value, Verdict
from data.sections import Answers, Cell, Level, Part, Section, Text
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import Final, PolicySummary
from flows import instructions_told, judges_told
from flows.policy_recipe import PolicyRecipe
from flows.win_rates import policy_summary
from reports.text import interval, percent

Number = float | None
Rates = dict[int, PolicySummary]  # by round, of those that were evaluated


class Evaluated(Protocol):
    """Of the policy of a round that was judged."""

    @property
    def evaluations(self) -> tuple[Artifact, ...]: ...
    @property
    def followed(self) -> Artifact | None: ...


class Finished(Protocol):
    """A round that has left a policy."""

    @property
    def number(self) -> int: ...
    @property
    def judged(self) -> Evaluated | None: ...
    @property
    def adopted(self) -> bool: ...


F = TypeVar("F", bound=Finished)


def rates_of(store: Store, recipe: PolicyRecipe, done: Sequence[Finished]) -> Rates:
    """Win rates over the base by every judge."""
    return {
        one.number: policy_summary(
            store,
            one.judged.evaluations,
            samples=recipe.evaluate.bootstrap_samples,
            seed=recipe.seed,
            judges=recipe.evaluate.judges,
        )
        for one in done
        if one.judged
    }


def instructions(
    store: Store, recipe: PolicyRecipe, done: Sequence[Finished]
) -> list[instructions_told.InRound]:
    """How instructions were followed, in the rounds where that was measured."""
    found = []
    for one in done:
        summary = instructions_told.instruction_summary(
            store,
            one.judged.followed if one.judged else None,
            samples=recipe.evaluate.bootstrap_samples,
            seed=recipe.seed,
        )
        if summary:
            found.append(instructions_told.InRound(one.number, one.adopted, summary))
    return found


def kept(done: Sequence[F]) -> list[F]:
    return [one for one in done if one.adopted and one.judged]


def result(rates: Rates, done: Sequence[Finished]) -> Final | None:
    """Of the last adopted policy that was judged."""
    if not kept(done):
        return None
    number = kept(done)[-1].number
    return Final(round=number, **rates[number].model_dump(include=set(Final.model_fields)))


def judgements(rates: Rates, done: Sequence[Finished]) -> list[judges_told.Judged]:
    """The rounds whose policies were judged."""
    return [
        judges_told.Judged(one.number, rates[one.number], one.adopted, references(one))
        for one in done
        if one.judged
    ]


def references(one: Finished) -> list[Reference]:
    """The answers that were judged, by each judge."""
    made = one.judged.evaluations if one.judged else ()
    return [Reference(kind=x.kind, key=x.key, artifact=x.digest) for x in made]


def verdict(
    recipe: PolicyRecipe, rates: Rates, found: Final | None, rate: Measure | None, part: str
) -> Verdict:
    """By whom the result is judged, and what further judges say; the rest is the measure's.

    Args:
        part: What the teacher did for the policy: "trained" or "chose" it.
    """
    if rate is None or rate.round is None:
        return Verdict()
    config = recipe.model_dump(mode="json")
    by = judges_told.by_whom(rate.judge, config, part)
    refused = "" if rate.kept else ", not adopted"
    line = f"Win rate over the base: {percent(rate.value)} ({interval(rate.ci95)}), judged by {by}"
    return Verdict(
        kind=rate.means,
        label=f"win rate over the base policy, judged by {by}, ties counting half{refused}",
        line=f"{line}, round {rate.round}{refused}",
        meaning=judges_told.meaning(rate, found or rates[rate.round], config),
    )


def judged_fact(recipe: PolicyRecipe) -> Fact:
    """By whose judgement: a tile at the top of the report."""
    judges = recipe.evaluate.judges
    return judges_told.fact(recipe.evaluate.headline, judges[1:], recipe.model_dump(mode="json"))


def teacher_alone(
    recipe: PolicyRecipe, found: Final | None, says: Callable[[str], str]
) -> list[Section]:
    """What it means that the teacher alone has judged; nothing where another judge has.

    Args:
        says: That, of the win rate.
    """
    if found is None or not judges_told.only_teacher(found, recipe.model_dump(mode="json")):
        return []
    said = (
        f"{says(percent(found.win_rate))} Before you rely on it, read answers, and let people or a "
        "model that took no part compare them (evaluate.judge)."
    )
    title = "The only judge is the teacher"
    return [Section(name="judge", title=title, blocks=[Text(paragraphs=[said])], box=True)]


def level(title: str, split: Sequence[tuple[str, int]]) -> Level:
    """What a number of the ledger splits into, each once; the first part is kept."""
    parts = [Part(name=name, n=n) for k, (name, n) in enumerate(split) if n or k == 0]
    return Level(title=title, total=sum(n for _, n in split), parts=parts)


def answers(one: Finished) -> Section:
    """Base and aligned policy side by side."""
    judged = references(one)[0]
    return Section(
        name="answers",
        title="Answers side by side",
        hint="The best wins, the worst losses and some ties of the aligned policy in each data "
        "set, largest difference of the two scores first; both answers in full.",
        blocks=[Answers(evaluation=judged, names=("base policy", "aligned policy"))],
    )


def judged_cells(rates: Rates, one: Finished) -> list[Cell | str]:
    """The win rate of a round, and wins, ties and losses."""
    x = rates.get(one.number)
    if x is None:
        return ["not judged", "–"]
    return [Cell(value=x.win_rate, ci95=x.ci95), f"{x.wins} / {x.ties} / {x.losses}"]


def narrow(rate: PolicySummary | None) -> str:
    """A win rate for a terminal."""
    if rate is None:
        return "–"
    return f"{rate.win_rate:.1%} ±{_half(rate.win_rate, rate.ci95):.1f}"


def _half(value: float, ends: Interval) -> float:
    return 100 * max(value - ends[0], ends[1] - value)


def value_of(found: dict[str, Any]) -> Value:
    """Of a mean with its interval, as `data.statistics.dataset_mean` gives it."""
    return Value(value=found["mean"], ci95=tuple(found["ci95"]), n=found["n"])


def summed(done: Sequence[F], group: str, title: str, count: Callable[[F], int]) -> Measure:
    """What is counted in every round and adds up."""
    rounds = [RoundValue(round=one.number, value=count(one)) for one in done]
    return Measure(
        value=sum(one.value for one in rounds),
        title=title,
        unit="count",
        group=group,
        adds_up=True,
        rounds=rounds,
    )


def curve(done: Sequence[F], of: Callable[[F], Number], **reads: Any) -> Measure | None:
    """What was measured round by round; for the run stands the last adopted round, or the last."""
    values = [(one, of(one)) for one in done]
    points = [
        RoundValue(round=one.number, value=value, kept=one.adopted)
        for one, value in values
        if value is not None
    ]
    if not points:
        return None
    last = ([one for one in points if one.kept] or points)[-1]
    about = {"group": "policy"} | reads
    return Measure(value=last.value, round=last.round, kept=last.kept, rounds=points, **about)
