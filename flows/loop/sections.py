"""The sections of the report of a run that goes in rounds, from its rounds."""

from collections.abc import Mapping, Sequence

from data.errors import CardinalityError
from data.ledger import Ledger, check_ledger
from data.measures import Measure, RoundValue, Warned
from data.sections import (
    Answers,
    Block,
    Cell,
    Chart,
    Column,
    Counts,
    Level,
    Part,
    Point,
    Row,
    Section,
    Series,
    Table,
    Text,
)
from data.summary import AxisSummary, Final, Interval, PromptSource, Round, StudentSummary
from flows.loop.measures import DRIFT, evaluations, precision_interval, result_round
from flows.loop.rules import LOW_PRECISION
from flows.loop.sources_told import blocks as of_sources
from flows.loop.wording import Words
from reports.text import percent

AXES = {  # of AxisSummary
    "pairs": "pairs",
    "agreed": "confirmed",
    "swapped": "reversed",
    "tied": "equal",
    "inconsistent": "turned with the order",
    "unjudged": "not judged",
    "dropped": "left out",
    "labelled": "labelled",
}
UNKNOWN_LENGTH = ", but the length of the base policy's answers is not known"


def rounds_table(words: Words, rounds: Sequence[Round]) -> Section:
    """What every round brought."""
    precise = any(entry.label_precision is not None for entry in rounds)
    gated = any(entry.gate for entry in rounds)
    columns = [
        Column(title="round"),
        Column(title="win rate over base", unit="share"),
        Column(title="wins / ties / losses"),
        Column(title="prompts answered", unit="count"),
        Column(title="pairs trained on", unit="count"),
        *[Column(title=f"reversed by {words.who}", unit="share")] * words.reverses,
        *[Column(title="labels right", unit="share")] * precise,
        *[Column(title="student agrees")] * words.student,
        *[Column(title="teacher prefers new policy", unit="share")] * gated,
        Column(title="adopted"),
    ]
    rows = [
        Row(
            cells=[
                str(entry.round),
                *_judged(entry),
                entry.ledger.asked,
                Cell(value=entry.ledger.trained, note=f"{entry.ledger.reused:,} reused")
                if entry.ledger.reused
                else entry.ledger.trained,
                *[entry.swap_rate] * words.reverses,
                *[entry.label_precision] * precise,
                *[_agrees(entry.student)] * words.student,
                *[entry.gate.win_rate if entry.gate else None] * gated,
                "yes" if entry.adopted else "no",
            ]
        )
        for entry in rounds
    ]
    table = Table(title="Round by round", columns=columns, rows=rows)
    return Section(name="rounds", title="Round by round", hint=words.rounds, blocks=[table])


def _judged(entry: Round) -> list[Cell | str]:
    if entry.policy is None:
        return ["stopped" if entry.stopped else "not judged", "–"]
    x = entry.policy
    rate = Cell(value=x.win_rate, ci95=x.ci95)
    return [rate, f"{x.wins} / {x.ties} / {x.losses}"]


def _agrees(student: StudentSummary) -> str:
    return f"{percent(student.agreement_before)} → {percent(student.agreement_after)}"


def answers(rounds: Sequence[Round], final: Final | None) -> Section | None:
    """Base and aligned policy side by side; None where nothing was kept or judged."""
    entry = result_round(rounds, final)
    judged = evaluations(entry) if entry else []
    if not judged:
        return None
    return Section(
        name="answers",
        title="Answers side by side",
        hint="The best wins, the worst losses and some ties of the aligned policy in each data "
        "set, largest difference of the two scores first; both answers in full.",
        blocks=[Answers(evaluation=judged[0], names=("base policy", "aligned policy"))],
    )


def matrix(rounds: Sequence[Round]) -> Section:
    """What became of the presumed order, by axis of the model matrix."""
    lengths = any(x.chosen_longer is not None for entry in rounds for x in entry.matrix.values())
    columns = [Column(title="round"), Column(title="axis")]
    columns += [Column(title=title, unit="count") for title in AXES.values()]
    if lengths:
        columns += [Column(title="chosen is longer", unit="share")]
        columns += [Column(title="length ratio", unit="score")]

    def row(number: int, axis: str, x: AxisSummary) -> Row:
        counts = [getattr(x, field) for field in AXES]
        return Row(
            cells=[str(number), axis, *counts, *[x.chosen_longer, x.length_ratio][: 2 * lengths]]
        )

    rows = [row(entry.round, axis, x) for entry in rounds for axis, x in entry.matrix.items()]
    return Section(
        name="matrix",
        title="The model matrix, by axis",
        hint="A pair presumes that the newer or larger model, or people, gave the better answer. "
        "Here is what sets the two apart, and what became of the presumption. Judges tend to "
        "favour longer answers: the last columns say how often the chosen answer is the longer "
        "one, and the median of its length over that of the other, in characters.",
        blocks=[Table(title="The model matrix, by axis", columns=columns, rows=rows)],
    )


def ledger(words: Words, rounds: Sequence[Round], sources: Sequence[PromptSource] = ()) -> Section:
    """The prompts of each source, then from asked to trained, round by round."""
    blocks = of_sources(sources)
    blocks += [
        Counts(
            title=words.section.format(round=entry.round),
            levels=ledger_levels(entry.ledger, words),
            text=_reversals(words, entry),
            problem=ledger_problem(entry.ledger),
        )
        for entry in rounds
    ]
    return Section(
        name="ledger",
        title="From asked to trained",
        hint=f"{words.ledger} Everything is counted once: each bar splits into what goes on (dark) "
        "and what is left out (light).",
        blocks=blocks,
    )


def _reversals(words: Words, entry: Round) -> str:
    x, said = entry.ledger, ""
    if x.mined and words.reverses:
        then = "left out" if x.dropped_disagreement else f"used in the order of {words.who}"
        said = (
            f"Of {x.mined:,} pairs {words.who} agreed with {words.order} on {x.agreed:,} and "
            f"reversed {x.swapped:,} ({percent(entry.swap_rate)}); reversed pairs are {then}."
        )
    if x.retokenized:
        said += (
            f" Of the pairs trained on, {x.retokenized:,} have an answer that this policy did not "
            "sample: it was tokenised from its text."
        )
    return said.strip()


def ledger_levels(ledger: Ledger, words: Words) -> list[Level]:
    """From asked to trained: what each level splits into; the first part is kept."""
    x, who = ledger, words.who
    unsure = [
        ("scored too close", x.below_margin),
        ("not among the best, for the student alone", x.student_only),
        ("scored equal", x.teacher_tied),
        ("judged differently when turned round", x.inconsistent),
        (words.lost(who), x.unjudged - x.unparsable),
        ("without a verdict", x.unparsable),
    ]
    if x.kept_unsure:  # which of them is not known by kind
        unsure = [("unsure or not judged", sum(n for _, n in unsure) - x.kept_unsure)]
    levels: list[tuple[str, int, list[tuple[str, int]]]] = [
        (
            words.answers.format(asked=f"{x.asked:,}"),
            x.generated,
            [
                ("usable", x.usable),
                ("said before", x.duplicate),
                ("cut off", x.truncated),
                (words.lost(words.reader), x.unscored),
                ("empty", x.empty),
            ],
        ),
        (
            "prompts",
            x.asked,
            [
                ("gave a pair or more", x.paired),
                ("had fewer than two usable answers", x.no_candidates),
                (words.tied, x.tied),
            ],
        ),
        (
            words.shown,
            x.mined,
            [
                ("labelled", x.labelled),
                ("dropped as disputed", x.dropped_disagreement),
                *unsure,
            ],
        ),
        (
            "pairs labelled, and reused from earlier rounds" if x.reused else "pairs labelled",
            x.labelled + x.reused,
            [(f"trained {words.trained}", x.trained), ("too long for training", x.too_long)],
        ),
    ]
    return [
        Level(
            title=title,
            total=total,
            parts=[
                Part(name=name, n=count)
                for place, (name, count) in enumerate(parts)
                if count or place == 0
            ],
        )
        for title, total, parts in levels
    ]


def ledger_problem(ledger: Ledger) -> str:
    """Empty if the numbers add up."""
    try:
        check_ledger(ledger)
    except CardinalityError as error:
        return f"These numbers do not add up: {error}"
    return ""


def labels(words: Words, rounds: Sequence[Round], student: StudentSummary) -> Section:
    """Whether the student follows its teacher, and what the oracle says of the labels.

    Args:
        student: That the run ends with.
    """
    hint, blocks = [], list[Block]()
    if words.student:
        after = student.agreement_after if student.adopted else student.agreement_before
        hint.append(
            "The student learns from the teacher, so on held-out pairs it should agree with the "
            "teacher more often after each round. It agreed on "
            f"{percent(rounds[0].student.agreement_before)} before the run and on {percent(after)} "
            "after it."
        )
        blocks += _agreement(rounds)
    if any(entry.label_precision is not None for entry in rounds):
        hint.append(
            "The oracle, which the loop never sees, tells how many of the labels are right."
        )
        blocks.append(_precision(rounds))
    return Section(name="labels", title="Are the labels right?", hint=" ".join(hint), blocks=blocks)


def _agreement(rounds: Sequence[Round]) -> list[Block]:
    """Before and after distillation, side by side in every round."""
    before, after = list[Point](), list[Point]()
    for place, entry in enumerate(rounds):
        x = entry.student
        if x.agreement_before is not None:
            before.append(Point(x=place, value=x.agreement_before, ci95=x.ci95_before))
        if x.agreement_after is not None:
            hollow = not x.adopted
            after.append(Point(x=place, value=x.agreement_after, ci95=x.ci95_after, hollow=hollow))
    if not (before or after):
        return []
    refused = any(not entry.student.adopted for entry in rounds)
    chart = Chart(
        says="Student's agreement with the judge on held-out pairs, before and after every round",
        series=[
            Series(name="before, round", points=before, second=True, shift=-0.12),
            Series(name="after, round", points=after, shift=0.12),
        ],
        labels=[str(entry.round) for entry in rounds],
        unit="agreement",
        share=True,
        keys={"before": "second", "after distillation": "first"}
        | ({"not adopted": "hollow"} if refused else {}),
        caption=f"Student's agreement with the teacher on {rounds[-1].student.pairs:,} held-out "
        "pairs.",
    )
    return [chart]


def _precision(rounds: Sequence[Round]) -> Table:
    """A row per data set with its label precision in every round, all pairs first."""
    names = sorted({name for entry in rounds for name in entry.label_precision_by_dataset})
    columns = [Column(title="labels the oracle confirms")]
    columns += [Column(title=f"round {entry.round}", unit="share") for entry in rounds]

    def row(name: str, values: list[float | None], ends: list[Interval | None]) -> Row:
        marks = [value is not None and value < LOW_PRECISION for value in values]
        cells = [
            Cell(value=value, ci95=end, low=low)
            for value, end, low in zip(values, ends, marks, strict=True)
        ]
        return Row(cells=[name, *cells], total=name == "all pairs")

    none = [None for _ in rounds]
    rows = [
        row(
            "all pairs",
            [entry.label_precision for entry in rounds],
            [precision_interval(entry) for entry in rounds],
        )
    ]
    rows += [
        row(name, [entry.label_precision_by_dataset.get(name) for entry in rounds], list(none))
        for name in names
    ]
    return Table(title="Labels the oracle confirms", columns=columns, rows=rows)


def drift(measures: Mapping[str, Measure], warned: Sequence[Warned], length_known: bool) -> Section:
    """How far the policy moved: a small chart per measure, from the base on where it is known."""
    blocks: list[Block] = []
    if not any(one.section == "drift" for one in warned):
        blocks.append(Text(paragraphs=[f"No warnings{'' if length_known else UNKNOWN_LENGTH}."]))
    found = [measures[name] for name in DRIFT if name in measures]
    numbers = [one.round for one in max((x.rounds for x in found), key=len, default=[])]
    numbers = [0, *(number for number in numbers if number)]
    blocks += [_small(measure, numbers) for measure in found]
    return Section(
        name="drift",
        title="Drift",
        hint="How far the policy has moved from the base, measured on its answers to the held-out "
        "prompts. KL is an estimate from these answers and can be slightly negative.",
        blocks=blocks,
    )


def _small(measure: Measure, numbers: Sequence[int]) -> Chart:
    return Chart(
        title=measure.title,
        says=f"{measure.title}, {measure.unit}, by round",
        series=[Series(name=measure.title, points=points(measure.rounds, numbers))],
        labels=["base" if number == 0 else str(number) for number in numbers],
        unit=measure.unit,
    )


def points(curve: Sequence[RoundValue], numbers: Sequence[int]) -> list[Point]:
    """A measure's values at the places of the rounds of a chart."""
    place = {number: x for x, number in enumerate(numbers)}
    return [
        Point(x=place[one.round], value=one.value, ci95=one.ci95, hollow=not one.kept)
        for one in curve
        if one.round in place
    ]
