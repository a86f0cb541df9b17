"""The measures of a run that goes in rounds from prompts to preferences, from its rounds."""

from collections.abc import Callable, Mapping, Sequence

from data.measures import Measure, Reference, RoundValue
from data.statistics import wilson
from data.summary import Final, Interval, Round
from flows.judges_told import Judged
from flows.loop.wording import Words

Number = float | None
DRIFT = {  # title, unit
    "kl_to_base": ("KL to the base", "nats per answer"),
    "perplexity": ("Perplexity under the base", "per token"),
    "mean_tokens": ("Length", "tokens per answer"),
    "distinct_2": ("Variety", "share of word pairs that are different"),
    "student_reward": ("Student's reward", "mean, the student after each round"),
    "teacher_reward": ("Teacher's reward", "mean"),
    "judge_score": ("Judge's score", "mean"),
}
SUMS: dict[str, tuple[str, str, str, Callable[[Round], int]]] = {
    # group, title, head of a column, of a round
    "prompts": ("pairs", "prompts asked", "", lambda x: x.ledger.asked),
    "generated": ("pairs", "answers generated", "", lambda x: x.ledger.generated),
    "usable": ("pairs", "usable answers", "", lambda x: x.ledger.usable),
    "mined": ("pairs", "pairs made", "", lambda x: x.ledger.mined),
    "swapped": ("pairs", "reversed", "", lambda x: x.ledger.swapped),
    "labelled": ("pairs", "pairs labelled", "", lambda x: x.ledger.labelled),
    "reused": ("pairs", "pairs of earlier rounds", "", lambda x: x.ledger.reused),
    "trained": ("pairs", "pairs trained on", "", lambda x: x.ledger.trained),
    "tokens": ("cost", "answer tokens", "", lambda x: x.tokens),
    "teacher_calls": ("cost", "teacher calls to label", "teacher calls", lambda x: x.teacher_calls),
    "calls_saved": (
        "cost",
        "saved against labelling all",
        "saved",
        lambda x: x.ledger.generated - x.teacher_calls,
    ),
}


def result_round(rounds: Sequence[Round], final: Final | None) -> Round | None:
    """The round whose policy is the result: of an unfinished run, the last adopted one."""
    if final:
        return next((entry for entry in rounds if entry.round == final.round), None)
    adopted = [entry for entry in rounds if entry.adopted and entry.policy]
    return adopted[-1] if adopted else None


def result(rounds: Sequence[Round], final: Final | None) -> Final | None:
    """The final result; of an unfinished run, the result so far."""
    entry = result_round(rounds, final)
    if final or entry is None or entry.policy is None:
        return final
    known = entry.policy.model_dump(include=set(Final.model_fields))
    return Final(round=entry.round, **known)


def evaluations(entry: Round) -> list[Reference]:
    """The answers of a round that were judged, by each judge."""
    return [
        Reference(kind=record.kind, key=record.key, artifact=record.artifact)
        for record in entry.stages
        if record.kind == "evaluation"
    ]


def judgements(rounds: Sequence[Round]) -> list[Judged]:
    """The rounds whose policies were judged."""
    return [
        Judged(entry.round, entry.policy, entry.adopted, evaluations(entry))
        for entry in rounds
        if entry.policy
    ]


def of_rounds(
    rounds: Sequence[Round], base: Mapping[str, float], words: Words
) -> dict[str, Measure]:
    """All but the win rate, as far as they were measured; a curve each."""
    found = _sums(rounds, words)
    student = [entry for entry in rounds if words.student]
    found |= {
        "agreement_before": _curve(
            student,
            lambda x: (x.student.agreement_before, x.student.ci95_before, x.student.pairs),
            title="student agrees, before",
            unit="share",
            group="student",
            judge=words.against,
        ),
        "agreement": _curve(
            student,
            lambda x: (x.student.agreement_after, x.student.ci95_after, x.student.pairs),
            title="student agrees, after",
            unit="share",
            better="higher",
            group="student",
            judge=words.against,
        ),
        "swap_rate": _curve(
            [entry for entry in rounds if words.reverses],
            lambda x: (x.swap_rate, None, x.ledger.mined),
            title=f"reversed by {words.who}",
            short="reversed",
            unit="share",
            group="pairs",
        ),
        "label_precision": _curve(
            rounds,
            lambda x: (x.label_precision, precision_interval(x), x.ledger.labelled),
            title="labels the oracle confirms",
            short="labels right",
            unit="share",
            better="higher",
            group="pairs",
            judge="oracle",
        ),
        "gate_win_rate": _curve(
            rounds,
            lambda x: (x.gate.win_rate if x.gate else None, None, x.gate.n if x.gate else None),
            title="teacher prefers new policy",
            unit="share",
            group="policy",
            judge="teacher",
        ),
    }
    for name, (title, unit) in DRIFT.items():
        drift = _curve(
            rounds,
            _drift(name),
            title=title,
            unit=unit,
            group="policy",
        )
        if drift and name in base:
            drift.rounds.insert(0, RoundValue(round=0, value=base[name]))
        found[name] = drift
    return {name: measure for name, measure in found.items() if measure}


def _drift(name: str) -> Callable[[Round], tuple[Number, None, None]]:
    return lambda x: (getattr(x.drift, name) if x.drift else None, None, None)


def _sums(rounds: Sequence[Round], words: Words) -> dict[str, Measure | None]:
    found: dict[str, Measure | None] = {}
    for name, (group, title, short, count) in SUMS.items():
        values = [RoundValue(round=entry.round, value=count(entry)) for entry in rounds]
        found[name] = Measure(
            value=sum(one.value for one in values),
            title=title,
            short=short,
            about=f"{words.calls}; “saved” is against labelling every answer."
            if name == "teacher_calls"
            else "",
            unit="count",
            group=group,
            adds_up=True,
            rounds=values,
        )
    return found if rounds else {}


def _curve(
    rounds: Sequence[Round],
    of: Callable[[Round], tuple[Number, Interval | None, int | None]],
    **reads: str,
) -> Measure | None:
    """What was measured round by round; for the run stands the last adopted round, or the last."""
    curve = []
    for entry in rounds:
        value, ci95, n = of(entry)
        if value is not None:
            kept = entry.student.adopted if reads["group"] == "student" else entry.adopted
            curve.append(RoundValue(round=entry.round, value=value, ci95=ci95, n=n, kept=kept))
    if not curve:
        return None
    last = ([one for one in curve if one.kept] or curve)[-1]
    known = last.model_dump(exclude={"evidence", "parts"})
    return Measure.model_validate(known | reads | {"rounds": curve})


def precision_interval(entry: Round) -> Interval | None:
    pairs = entry.ledger.labelled
    if entry.label_precision is None or not pairs:
        return None
    return wilson(entry.label_precision * pairs, pairs)
