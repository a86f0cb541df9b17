"""The charts of a summary: those that its flow gives, and the curves of its measures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from data.measures import Measure
from data.sections import Block, Chart
from data.summary import Summary
from reports import plots
from reports.text import column, of_headline, title

USUAL, SMALL = (360, 220), (260, 180)


class Group(NamedTuple):
    """Blocks that share a row of the page."""

    kind: str  # "thirds": small charts; "halves": a chart, a table beside it; else the block's
    blocks: list[Block]


def arranged(blocks: Sequence[Block]) -> list[Group]:
    """Charts that follow each other share rows; one chart alone stands beside the table after."""
    groups: list[Group] = []
    for block in blocks:
        last = groups[-1] if groups else None
        if block.kind == "chart" and last and last.blocks[-1].kind == "chart":
            groups[-1] = Group("thirds", [*last.blocks, block])
        elif block.kind == "table" and last and last.kind == "halves" and len(last.blocks) == 1:
            last.blocks.append(block)
        else:
            groups.append(Group("halves" if block.kind == "chart" else block.kind, [block]))
    return groups


def drawn(chart: Chart, small: bool = False) -> Markup:
    """A chart of a section; empty without points."""
    if chart.style == "bars":
        return plots.bars(chart)
    series = [
        plots.Series(
            one.name,
            [plots.Point(p.x, p.value, p.ci95, p.hollow) for p in one.points],
            style="second" if one.second else "first",
            shift=one.shift,
        )
        for one in chart.series
    ]
    return plots.chart(
        chart.says or chart.title,
        series,
        chart.labels,
        axis=chart.axis,
        unit=chart.unit,
        line=chart.even,
        percent=chart.share,
        size=SMALL if small else USUAL,
    )


def curve(name: str, sides: Mapping[str, Measure | None], size: tuple[int, int] = USUAL) -> Markup:
    """A measure round by round, of one run or of two side by side; empty without a round.

    Args:
        sides: The measure by the label of its run, which is empty where there is one run.
    """
    known = [measure for measure in sides.values() if measure and measure.rounds]
    if not known:
        return Markup("")
    measure = known[0]
    numbers = sorted({point.round for one in known for point in one.rounds})
    place = {number: x for x, number in enumerate(numbers)}
    short = column(measure, name)
    series = [
        plots.Series(
            f"{label} {short} after round".strip(),
            [
                plots.Point(place[p.round], p.value, p.ci95, hollow=not p.kept)
                for p in (one.rounds if one else [])
            ],
            **look,
        )
        for (label, one), look in zip(sides.items(), looks(len(sides)), strict=True)
    ]
    called = title(measure, name)
    intervals = ", with 95 % intervals" if any(p.ci95 for m in known for p in m.rounds) else ""
    return plots.chart(
        f"{called[:1].upper()}{called[1:]} after every round{intervals}",
        series,
        [str(number) if number else "base" for number in numbers],
        unit=short if measure.unit in ("", "share", "count") else measure.unit,
        line=measure.even,
        percent=measure.unit == "share",
        size=size,
    )


def looks(count: int) -> list[dict[str, Any]]:
    """Colour and place of one series, or of two that share a chart."""
    if count == 1:
        return [{}]
    return [{"style": "second", "shift": -0.1}, {"style": "first", "shift": 0.1}]


def headline_curve(summary: Summary) -> Markup:
    """The headline's measure round by round; empty where there is nothing to compare it with.

    That is a single round of a measure that has no value of no change.
    """
    measure = of_headline(summary)
    return curve(summary.headline, {"": measure}) if has_course(measure) else Markup("")


def has_course(measure: Measure | None) -> bool:
    """Whether its rounds can be compared, with each other or with no change."""
    return measure is not None and (len(measure.rounds) > 1 or measure.even is not None)
