"""What a run over logged completions says of itself: the student against the recorded judge."""

from collections.abc import Mapping
from typing import Any

from data.measures import Fact, Measure, Value, Verdict
from data.sections import Cell, Column, Row, Section, Table
from data.summary import Interval, Round, StudentSummary
from flows.loop import sections
from flows.loop.measures import of_rounds
from flows.loop.rules import warnings
from flows.loop.told import share
from flows.loop.wording import Words
from flows.result import Result
from reports.text import interval, percent

# What the scorers are called in `StudentSummary.picks`, beside the names of recorded ones.
BEFORE, AFTER, LONGER = "Student before", "Student after", "Longest answer"


def told(config: Mapping[str, Any], entry: Round) -> Result:
    """The result of such a run, whose one round is given."""
    judge = str((config.get("logged") or {}).get("judge", "recorded judge"))
    method, student = words(judge, str(config.get("labels"))), entry.student
    return Result(
        headline="agreement",
        measures=measures(method, entry),
        sections=[
            agreement(judge, student),
            *best(judge, student),
            sections.ledger(method, [entry]),
        ],
        method="logged completions",
        verdict=verdict(judge, student),
        facts=facts(judge, entry),
        warnings=[
            one.model_copy(update={"section": "ledger"}) for one in warnings({}, [entry], method)
        ],
        checked="No rule found anything. The rules look at lost answers and pairs and at the "
        "student; they cannot say whether an answer is right.",
        progress=progress(entry),
        rounds=[entry],
    )


def measures(method: Words, entry: Round) -> dict[str, Measure]:
    """The agreement with the recorded judge, held against the rule "longer is better"."""
    x = entry.student
    found = of_rounds([entry], {}, method)
    if x.agreement_after is not None:
        parts = {}
        if x.equal_length_after is not None:
            parts["answers of equal length"] = Value(
                value=x.equal_length_after,
                ci95=x.ci95_equal_length_after,
                n=x.equal_length_pairs,
            )
        found["agreement"] = Measure(
            value=x.agreement_after,
            ci95=x.ci95_after,
            n=x.pairs,
            title="agreement of the distilled student with the judge",
            short="student agrees",
            unit="share",
            better="higher",
            even=x.longer_baseline,
            judge=method.against,
            group="student",
            parts=parts,
        )
    if x.longer_baseline is not None:
        found["longer_baseline"] = Measure(
            value=x.longer_baseline,
            ci95=x.ci95_longer,
            n=x.pairs,
            title="agreement of the rule “the longer answer is better”",
            short="longer answer",
            unit="share",
            judge=method.against,
        )
    for row in x.picks:
        if row.picker == AFTER and row.agreement is not None:
            found["best_answer"] = Measure(
                value=row.agreement,
                ci95=row.ci95,
                n=row.pairs,
                title="how often the judge prefers the student's best answer to others",
                short="student's best answer",
                unit="share",
                better="higher",
                even=0.5,
                judge=method.against,
                parts={
                    one.picker: Value(value=one.agreement, ci95=one.ci95, n=one.pairs)
                    for one in x.picks
                    if one.agreement is not None and one is not row
                },
            )
    del found["tokens"]  # nothing is generated
    calls = found["teacher_calls"]
    calls.title, calls.short = f"judgments of {method.who} used to label", "judgments used"
    return found


def agreement(judge: str, student: StudentSummary) -> Section:
    """Who agrees how often with the recorded judge, on all pairs and on those of equal length."""
    x = student
    rows = [
        _row("Longer answer", x.longer_baseline, x.ci95_longer, x.equal_length_longer, None),
        _row(
            "Student before",
            x.agreement_before,
            x.ci95_before,
            x.equal_length_before,
            x.ci95_equal_length_before,
        ),
        _row(
            "Student after",
            x.agreement_after,
            x.ci95_after,
            x.equal_length_after,
            x.ci95_equal_length_after,
        ),
    ]
    columns = [
        Column(title="who picks"),
        Column(title="all pairs", unit="share", bar=True),
        Column(title="equal length", unit="share", bar=True),
    ]
    counted = ""
    if x.equal_length_pairs:
        counted = f" ({x.equal_length_pairs:,} of {x.pairs:,} pairs)"
    return Section(
        name="agreement",
        title="Agreement with the judge",
        hint="How often each picks, of two answers to a held-out prompt, the one that the judge "
        f"({judge}) prefers. 50\N{NARROW NO-BREAK SPACE}% is guessing. Judges tend to favour "
        "longer answers, so the last columns count only pairs whose lengths differ by a tenth or "
        f"less{counted}: there length cannot help.",
        blocks=[Table(title="Agreement with the judge", columns=columns, rows=rows)],
    )


def best(judge: str, student: StudentSummary) -> list[Section]:
    """Whose best answer the judge prefers to the others; recorded scorers beside the student."""
    if not any(row.agreement is not None for row in student.picks):
        return []
    rows = []
    for pick in student.picks:
        beside = {one.picker: one for one in pick.beside}
        others = [beside.get(name) for name in (AFTER, LONGER)]
        rows.append(
            Row(
                cells=[
                    pick.picker,
                    Cell(value=pick.prompts),
                    Cell(value=pick.agreement, ci95=pick.ci95),
                    Cell(value=pick.equal_length, ci95=pick.ci95_equal_length),
                    *(Cell(value=one.agreement if one else None) for one in others),
                ]
            )
        )
    columns = [
        Column(title="whose best"),
        Column(title="prompts", unit="count"),
        Column(title="all pairs", unit="share", bar=True),
        Column(title="equal length", unit="share", bar=True),
        Column(title="student, same prompts", unit="share"),
        Column(title="longest, same prompts", unit="share"),
    ]
    title = "The best of the judged answers"
    return [
        Section(
            name="best_answers",
            title=title,
            hint="Each scorer picks one of a held-out prompt's judged answers. The figure is how "
            f"often the judge ({judge}) prefers the pick to the others that it tells apart from "
            "it; a pick at random gets 50\N{NARROW NO-BREAK SPACE}%. A recorded scorer picked "
            "among more answers: prompts where its pick was not judged are left out for it, so "
            "compare it with the student's and the longest answer on the same prompts, in the "
            "last columns.",
            blocks=[Table(title=title, columns=columns, rows=rows)],
        )
    ]


def _row(
    name: str,
    value: float | None,
    ends: Interval | None,
    equal: float | None,
    equal_ends: Interval | None,
) -> Row:
    return Row(cells=[name, Cell(value=value, ci95=ends), Cell(value=equal, ci95=equal_ends)])


def verdict(judge: str, student: StudentSummary) -> Verdict:
    text = (
        f"On {student.pairs:,} held-out pairs of answers, the student picked the answer that the "
        f"judge ({judge}) prefers in {percent(student.agreement_before)} of cases before "
        f"distillation and in {percent(student.agreement_after)} after."
    )
    after, ends, longer = student.agreement_after, student.ci95_after, student.longer_baseline
    line = (
        f"Student agrees with {judge}: {percent(student.agreement_before)} → {percent(after)} "
        f"({interval(ends)}); the longer answer: {percent(longer)}"
    )
    found = Verdict(
        title="The student learned from the recorded judgments",
        label="agreement of the distilled student with the judge",
        text=text,
        line=line,
        short=f"student agrees {percent(after)} ({interval(ends)})",
    )
    if after is None or ends is None or longer is None:
        return found
    rule = f"the rule 'the longer answer is better' ({percent(longer)})"
    if ends[0] > longer:
        kind, said = "good", "better than this rule"
        title, meaning = "The student beats", f"The student is better than {rule}."
    elif ends[1] < longer:
        kind, said = "bad", "worse than this rule"
        title, meaning = "The student is worse than", f"The student is worse than {rule}."
    else:
        kind, said = "unclear", "not told apart from it"
        title = "The student is not told apart from"
        meaning = f"No result: the interval includes {rule}."
    text += (
        f" The rule “the longer answer is better” gets {percent(longer)}: the student is {said}."
    )
    return Verdict.model_validate(
        found.model_dump()
        | {"kind": kind, "title": f"{title} “the longer answer is better”"}
        | {"text": text, "meaning": [meaning]}
    )


def facts(judge: str, entry: Round) -> list[Fact]:
    """What is to be beaten, and what it was learned from."""
    x = entry.ledger
    return [
        Fact(
            title="To beat",
            value=percent(entry.student.longer_baseline),
            text="agreement of the rule “the longer answer is better” with "
            f"{judge}, by whose recorded judgments the student is judged",
        ),
        Fact(
            title="Judgments used",
            value=f"{entry.teacher_calls:,}",
            text=f"judgments of {judge} used to label pairs, of {x.generated:,} recorded for the "
            "training prompts",
        ),
        Fact(
            title="Pairs",
            value=f"{x.trained:,}",
            text=f"preference pairs trained on, from {x.asked:,} prompts",
        ),
    ]


def progress(entry: Round) -> Table:
    """A line for a terminal."""
    x = entry.student
    columns = ["round", "pairs", "swapped", "student agrees", "longer answer"]
    cells = [
        str(entry.round),
        f"{entry.ledger.trained:,}",
        f"{entry.swap_rate:.0%}",
        f"{share(x.agreement_before)} to {share(x.agreement_after)}",
        share(x.longer_baseline),
    ]
    return Table(columns=[Column(title=title) for title in columns], rows=[Row(cells=list(cells))])


def words(judge: str, labels: str = "student+teacher") -> Words:
    """The words of a run over logged completions."""
    picks = (
        f"The judgments of {judge} make pairs of the usable answers to a prompt"
        if labels == "teacher"
        else "The student picks pairs of the usable answers to a prompt, such as the best and the "
        f"worst; the recorded judgments of {judge} put the two in order"
    )
    return Words(
        rounds="",
        ledger=f"The logs hold answers that were judged before. {picks}; the student learns from "
        "the pairs that are left. No policy is trained.",
        answers="recorded answers to {asked} prompts",
        reader="the student",
        tied="all answers alike to the student",
        who=judge,
        shown=f"pairs with judgments of {judge}",
        order="the student's order",
        trained="the student",
        calls=f"one recorded judgment of {judge} used to label a pair; nobody is asked anew",
        section="Logged completions",
        student=True,
        against=judge,
    )
