"""What judges say of a policy's answers, told: measures, sentences, a section of the report.

Pure functions, shared by the flows whose rounds judge a policy against its base.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data.measures import Fact, Interval, Measure, Reference, RoundValue, Value
from data.recipes.judges import ORACLE, TEACHER
from data.sections import Cell, Column, Row, Section, Table, Text
from data.summary import DatasetResult, Final, PolicySummary
from flows.judge_words import ABOUT, about, called, is_teacher, suffixes
from reports.text import interval, percent

AT_EQUAL_LENGTH = (
    "What the win rate would be if both answers were equally long, by the regression of AlpacaEval "
    "2 (docs/judges.md)."
)
Judgement = PolicySummary | Final
Figures = tuple[float, Interval, dict[str, Value]]  # with those of the data sets


class Judged(NamedTuple):
    """A round whose policy was judged."""

    number: int
    policy: PolicySummary
    kept: bool
    evidence: Sequence[Reference]  # the EVALUATION of each judge, in the recipe's order


def everyone(judged: Judgement) -> list[Judgement]:
    """What each judge says, the first one's first."""
    return [judged, *judged.others]


def win_rates(rounds: Sequence[Judged], result: Final | None) -> dict[str, Measure]:
    """By every judge, the first one's as win_rate, each with its rate at equal length, if known.

    Args:
        result: Of the last adopted policy; None: the last one that was judged stands for the run.
    """
    known = result or (rounds[-1].policy if rounds else None)
    if known is None:
        return {}
    judges = [one.judge for one in everyone(known)]
    found: dict[str, Measure] = {}
    for number, suffix in enumerate(suffixes(judges)):
        name = called(judges[number])
        by, short = (f", by {name}", f" by {name.removeprefix('the ')}") if number else ("", "")
        kinds = {
            f"win_rate{suffix}": ("win rate over the base policy", "win rate", "", _plain),
            f"length_controlled{suffix}": (
                "win rate at equal length",
                "at equal length",
                AT_EQUAL_LENGTH,
                _at_equal_length,
            ),
        }
        for measure, (title, head, said, of) in kinds.items():
            reads = {"title": title + by, "short": head + short, "about": said}
            if one := _rate(rounds, result, number, of, reads | {"judge": judges[number]}):
                found[measure] = one
    return found


def _rate(
    rounds: Sequence[Judged],
    result: Final | None,
    number: int,
    of: Callable[[Judgement], Figures | None],
    reads: dict[str, str],
) -> Measure | None:
    """A figure of the judge of this number, round by round, and of the result."""
    curve = []
    for one in rounds:
        figures = _of_judge(one.policy, number, of)
        if figures:
            value, ci95, parts = figures
            evidence = one.evidence[number] if parts and number < len(one.evidence) else None
            curve.append(
                RoundValue(
                    round=one.number,
                    value=value,
                    ci95=ci95,
                    n=prompts(one.policy),
                    kept=one.kept,
                    evidence=evidence,
                    parts=parts,
                )
            )
    like = {"unit": "share", "better": "higher", "even": 0.5, "group": "policy", "rounds": curve}
    known: dict[str, Any] = reads | like
    figures = _of_judge(result, number, of) if result else None
    if result and figures:
        value, ci95, parts = figures
        known |= {"value": value, "ci95": ci95, "n": prompts(result), "parts": parts}
        return Measure(**known, round=result.round)
    if result or not curve:
        return None
    last = curve[-1].model_dump(include={"value", "ci95", "n", "round"})
    return Measure(**known, **last, kept=False)


def prompts(judged: Judgement) -> int:
    """How many were judged."""
    if isinstance(judged, PolicySummary):
        return judged.wins + judged.ties + judged.losses
    return sum(part.n for part in judged.by_dataset.values())


def _of_judge(
    judged: Judgement, number: int, of: Callable[[Judgement], Figures | None]
) -> Figures | None:
    """None where there are fewer judges, or this one's figure is not known."""
    said = everyone(judged)
    return of(said[number]) if number < len(said) else None


def _plain(judged: Judgement) -> Figures:
    return judged.win_rate, judged.ci95, _by_dataset(judged.by_dataset)


def _at_equal_length(judged: Judgement) -> Figures | None:
    alike = judged.at_equal_length
    return (alike.win_rate, alike.ci95, {}) if alike else None


def _by_dataset(results: Mapping[str, DatasetResult]) -> dict[str, Value]:
    return {
        name: Value(value=part.win_rate, ci95=part.ci95, n=part.n) for name, part in results.items()
    }


def only_teacher(judged: Judgement, config: Mapping[str, Any]) -> bool:
    """Whether nobody has judged but who the policy was trained by."""
    return all(is_teacher(one.judge, config) for one in everyone(judged))


def by_whom(judge: str, config: Mapping[str, Any], part: str) -> str:
    """The judge of a figure, as it stands beside it.

    Args:
        part: What the teacher did for the policy: "trained" or "chose" it.
    """
    return f"the teacher that {part} it" if is_teacher(judge, config) else called(judge)


def fact(judge: str, others: Sequence[str], config: Mapping[str, Any]) -> Fact:
    """By whose judgement: a tile at the top of the report."""
    text = ABOUT[TEACHER] if is_teacher(judge, config) else about(judge)
    if others:
        text += f"; also judged by {' and '.join(called(other) for other in others)}"
    return Fact(title="Judged by", value=called(judge).removeprefix("the "), text=text)


def meaning(rate: Measure, judged: Judgement, config: Mapping[str, Any]) -> list[str]:
    """What a result means, a sentence each, for a terminal."""
    said = {
        "good": "The policy is better than the base: the whole interval lies above 50 %.",
        "bad": "The policy is worse than the base: the whole interval lies below 50 %.",
        "unclear": "No result: the interval includes 50 %, so the policies cannot be told apart.",
    }
    lines = [said[rate.means], *sentences(judged)]
    if only_teacher(judged, config):
        lines.append(
            "The teacher is both label and judge: this says how well the policy pleases the "
            "teacher; ask an independent judge too (evaluate.judge)."
        )
    elif rate.judge == ORACLE:
        lines.append("The judge is the world's exact oracle, which the training never saw.")
    return lines


def sentences(judged: Judgement) -> list[str]:
    """The first judge's rate at equal length, and what the further judges say, a sentence each."""
    said = []
    if alike := judged.at_equal_length:
        said.append(
            f"At equal length it would be {percent(alike.win_rate)} ({interval(alike.ci95)})."
        )
    for other in judged.others:
        alike = other.at_equal_length
        said.append(
            f"By {called(other.judge)} it is {percent(other.win_rate)} ({interval(other.ci95)})"
            + (f", at equal length {percent(alike.win_rate)}." if alike else ".")
        )
    return said


def datasets(final: Judgement) -> Section:
    """The result in every data set, by every judge."""
    columns = [
        Column(title="data set"),
        Column(title="base score", unit="score"),
        Column(title="aligned score", unit="score"),
        Column(title="win rate", unit="share", bar=True),
        *[
            Column(title=f"by {called(other.judge).removeprefix('the ')}", unit="share")
            for other in final.others
        ],
        Column(title="n", unit="count"),
    ]
    rows = [
        Row(
            cells=[
                name,
                part.base_score,
                part.policy_score,
                Cell(value=part.win_rate, ci95=part.ci95),
                *[_cell(other.by_dataset.get(name)) for other in final.others],
                part.n,
            ]
        )
        for name, part in sorted(final.by_dataset.items())
    ]
    n = sum(part.n for part in final.by_dataset.values())
    means = [_cell(one) for one in (final, *final.others)]
    rows.append(Row(cells=["mean over data sets", "", "", *means, n], total=True))
    return Section(
        name="datasets",
        title="By data set",
        hint="Base and aligned policy answer the same held-out prompts under the same decoding; "
        f"{called(final.judge)} judges both. An interval that crosses 50\N{NARROW NO-BREAK SPACE}% "
        "(dashed) shows no clear change in that data set.",
        blocks=[Table(title="By data set", columns=columns, rows=rows)],
    )


def _cell(rate: Judgement | DatasetResult | None) -> Cell | None:
    return Cell(value=rate.win_rate, ci95=rate.ci95) if rate else None


def section(judged: PolicySummary) -> list[Section]:
    """The judges side by side; nothing where there is one, and no rate at equal length."""
    said = [judged, *judged.others]
    if len(said) == 1 and not judged.at_equal_length:
        return []
    several, unread = len(said) > 1, any(one.unjudged for one in said)
    columns = [
        Column(title="judge"),
        Column(title="win rate", unit="share", bar=True),
        Column(title="at equal length", unit="share"),
        Column(title="wins / ties / losses"),
        *[Column(title="not judged", unit="count")] * unread,
        *[Column(title="same order as the first", unit="share")] * several,
    ]
    rows = []
    for one in said:
        alike = one.at_equal_length
        rows.append(
            Row(
                cells=[
                    called(one.judge).removeprefix("the "),
                    Cell(value=one.win_rate, ci95=one.ci95),
                    Cell(value=alike.win_rate, ci95=alike.ci95) if alike else None,
                    f"{one.wins} / {one.ties} / {one.losses}",
                    *[one.unjudged] * unread,
                    *[one.same_order.get(judged.judge)] * several,
                ]
            )
        )
    hint = (
        "All judges read the same answers. Judges tend to favour the longer answer: the rate at "
        "equal length is what a regression of their verdicts on the difference in length gives "
        "where there is none. Where length plays no part both rates are the same."
    )
    blocks = [Table(title="By judge", columns=columns, rows=rows), *_orders(said)]
    return [Section(name="judges", title="By judge", hint=hint, blocks=blocks)]


def _orders(said: Sequence[PolicySummary]) -> list[Text]:
    """Of three judges and more: how often each two agree, beyond what the table has."""
    pairs = [
        f"{called(earlier)} and {called(one.judge)} on {percent(share)}"
        for one in said[2:]
        for earlier, share in list(one.same_order.items())[1:]
    ]
    if not pairs:
        return []
    return [Text(paragraphs=[f"The same order of the two answers have {'; '.join(pairs)}."])]
