"""The first screen of a report: what the result rests on, at what cost, what should worry a reader.

Whether it is better, and by how much, is `reports.text.headline`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from data.durations import duration
from data.measures import Fact, Measure
from data.summary import StageRecord, Summary
from reports.text import column, title, written

MOST = 3  # measures shown as tiles, where the flow names no facts


class Worry(NamedTuple):
    text: str
    section: str  # of the report, where more is said
    title: str  # of that section


def facts(summary: Summary) -> list[Fact]:
    """The flow's, or its first measures, and the time. Empty as long as nothing is measured."""
    if not summary.measures:
        return []
    return [*(summary.facts or _measured(summary)), _time(summary)]


def _measured(summary: Summary) -> list[Fact]:
    others = [(n, m) for n, m in summary.measures.items() if n != summary.headline]
    return [
        Fact(
            title=_capital(column(measure, name)),
            value=written(measure.value, measure.unit),
            text=measure.about or _said(title(measure, name), measure),
        )
        for name, measure in others[:MOST]
    ]


def _said(called: str, measure: Measure) -> str:
    unit = measure.unit if measure.unit not in ("share", "count", "score", "") else ""
    return f"{called}, {unit}" if unit else called


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _time(summary: Summary) -> Fact:
    total = stage_totals(summary.stages())
    seconds = summary.seconds if summary.finished else total["seconds"]
    said = "this time" if summary.finished else "this time so far"
    if total["saved"]:
        said += (
            f"; {duration(total['saved'])} saved by reusing {total['cached']} of "
            f"{total['calls']} stages"
        )
        said += f" and {total['shards_reused']} shards" if total["shards_reused"] else ""
    return Fact(title="Time", value=duration(seconds), text=said)


def worries(summary: Summary, titles: dict[str, str]) -> list[Worry]:
    """What a reader should look at before believing the headline, each with its section.

    Args:
        titles: Of the sections that this report has; the first takes what has no section.
    """
    first = next(iter(titles.items()))
    found = [
        Worry(one.found, *((one.section, titles[one.section]) if one.section in titles else first))
        for one in summary.warnings
    ]
    if notes := len(summary.notes):
        said = f"{notes} note{'s' * (notes != 1)} on the inputs, from the checks before the run."
        found.append(Worry(said, "provenance", titles["provenance"]))
    return found


def stage_totals(records: Sequence[StageRecord]) -> dict[str, Any]:
    """Calls, how many were reused, seconds now, when first computed, and saved by reuse."""
    return {
        "calls": len(records),
        "cached": sum(record.cached for record in records),
        "seconds": sum(record.seconds for record in records),
        "computed": sum(record.computed_seconds for record in records),
        "shards": sum(record.shards for record in records),
        "shards_reused": sum(record.shards_reused for record in records),
        "saved": sum(record.saved_seconds for record in records),
    }


class Spent(NamedTuple):
    """What a part of a run took: a line of the table of costs."""

    title: str
    totals: dict[str, Any]  # of `stage_totals`
    amounts: list[str]  # of the measures that are costs
    last: bool = False


def costs(summary: Summary) -> dict[str, Measure]:
    """The measures of what a run spent, part by part."""
    found = summary.measures.items()
    return {name: one for name, one in found if one.group == "cost" and one.adds_up}


def spent(summary: Summary) -> list[Spent]:
    """Every part of a run, and the whole."""
    measures, parts = list(costs(summary).values()), summary.parts()
    whole = [written(x.value, x.unit) for x in measures]

    def amounts(number: int) -> list[str]:
        if len(parts) == 1:
            return whole
        known = [{one.round: one.value for one in x.rounds}.get(number) for x in measures]
        return [written(value, x.unit) for value, x in zip(known, measures, strict=True)]

    lines = [Spent(name, stage_totals(records), amounts(number)) for name, number, records in parts]
    return [*lines, Spent("all", stage_totals(summary.stages()), whole, last=True)]
