"""Charts of the report as inline SVG: no library, no ids, colours from the page's style sheet.

Every number drawn is also in a tooltip (`<title>`) and in a table of the report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from data.sections import Chart

MAX_TICKS = 9  # labels on the x axis; of more rounds every second or third is named
MAX_NUMBERS = 7  # points that get their value written beside them
# Of a chart outside of a report.
_STYLE = (
    "<style>text{font:12px sans-serif;text-anchor:middle;fill:#333}.y{text-anchor:end}"
    ".unit{text-anchor:start}path{fill:none;stroke:#888}.grid{stroke:#ddd}.even{stroke-dasharray:4}"
    ".first,.first path{stroke:#2563eb}circle{fill:#2563eb}.hollow circle{fill:#fff;stroke:#2563eb}"
    ".second,.second path{stroke:#c2570c}.second circle{fill:#c2570c}"
    "</style>"
)


@dataclass(frozen=True)
class Point:
    """A value at a place on the x axis, with its interval where there is one."""

    x: int
    value: float
    interval: tuple[float, float] | None = None
    hollow: bool = False  # a round whose policy was not adopted

    @property
    def low(self) -> float:
        return self.interval[0] if self.interval else self.value

    @property
    def high(self) -> float:
        return self.interval[1] if self.interval else self.value


@dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[Point]
    style: str = "first"  # "first" or "second": a colour of the style sheet
    shift: float = 0.0  # along x, in widths of a place, so that intervals do not overlap


@dataclass(frozen=True)
class Effect:
    """A row of a forest plot."""

    name: str
    mean: float
    interval: tuple[float, float] | None
    values: Sequence[float] = ()  # what it is the mean of
    style: str = "first"


def alone(svg: str) -> str:
    """A chart as a file of its own, with the colours of the report."""
    found = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="720" ', 1)
    return found.replace(">", f">{_STYLE}", 1)


def number(value: float, percent: bool) -> str:
    """A value as the report writes it: 61.5 %, 1,234, 12.3, 0.123."""
    if percent:
        return f"{value * 100:.1f}\N{NARROW NO-BREAK SPACE}%"
    for limit, digits in ((1000, 0), (10, 1), (1, 2)):
        if abs(value) >= limit:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}" if value else "0"


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers that cover [low, high], about `wanted` of them."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _range(series: Sequence[Series], line: float | None) -> tuple[float, float]:
    points = [point for one in series for point in one.points]
    values = [point.low for point in points] + [point.high for point in points]
    values += [] if line is None else [line]
    low, high = min(values), max(values)
    # Never zoom into less than a fiftieth of the value: that would draw noise as a trend.
    room = max(0.06 * (high - low), 0.02 * max(abs(low), abs(high))) or 0.05
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def chart(
    title: str,
    series: Sequence[Series],
    labels: Sequence[str],
    *,
    axis: str = "round",
    unit: str = "",
    line: float | None = None,
    percent: bool = False,
    size: tuple[int, int] = (360, 220),
) -> Markup:
    """Points with intervals, joined, over the places `labels`; empty without points.

    Args:
        title: Read by screen readers.
        axis: Names the x axis.
        unit: Names the y axis, above it.
        line: Where to draw a dashed horizontal line, such as 0.5 for a win rate.
        size: Width and height of the drawing in pixels at scale one; it scales with the page.
    """
    if not any(one.points for one in series):
        return Markup("")
    width, height = size
    low, high = _range(series, line)
    marks = ticks(max(low, 0.0), min(high, 1.0)) if percent else ticks(low, high)
    low, high = marks[0], marks[-1]
    left, right, top, bottom = 48, 12, 30 if unit else 16, 38

    def at_x(place: float) -> float:
        return left + (width - left - right) * (place + 0.5) / len(labels)

    def at_y(value: float) -> float:
        return height - bottom - (height - top - bottom) * (value - low) / (high - low)

    parts = [_grid(mark, marks, at_y(mark), left, width - right, percent) for mark in marks]
    if line is not None:
        y = at_y(line)
        parts.append(f'<path class="even" d="M{left} {y:.1f}H{width - right}"/>')
    every = -(-len(labels) // MAX_TICKS)
    for place, label in enumerate(labels):
        if place % every == 0:
            at = f'x="{at_x(place):.1f}" y="{height - 20}"'
            parts.append(f'<text class="tick" {at}>{escape(label)}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text class="axis" x="{middle:.1f}" y="{height - 4}">{escape(axis)}</text>')
    if unit:
        parts.append(f'<text class="unit" x="0" y="11">{escape(unit)}</text>')
    numbers = len(series) == 1 and len(series[0].points) <= MAX_NUMBERS
    for one in series:
        places = [(at_x(p.x + one.shift), at_y(p.value)) for p in one.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path class="join {one.style}" d="M{path}"/>')
        for point, (x, y) in zip(one.points, places, strict=True):
            ends = at_y(point.low), at_y(point.high)
            parts.append(_mark(one, point, x, y, ends, labels[point.x], percent))
            if numbers:
                text = number(point.value, percent)
                parts.append(f'<text class="value" x="{x:.1f}" y="{ends[1] - 7:.1f}">{text}</text>')
    return _svg(title, width, height, parts)


def _grid(
    mark: float, marks: Sequence[float], y: float, left: float, right: float, percent: bool
) -> str:
    scale = 100 if percent else 1
    step = (marks[1] - marks[0]) * scale
    digits = next((d for d in range(6) if abs(step - round(step, d)) < 1e-9 * step), 6)
    text = f"{mark * scale + 0.0:,.{digits}f}" + ("%" if percent else "")
    return (
        f'<path class="grid" d="M{left} {y:.1f}H{right}"/>'
        f'<text class="y" x="{left - 6}" y="{y + 4:.1f}">{text}</text>'
    )


def _mark(
    series: Series,
    point: Point,
    x: float,
    y: float,
    ends: tuple[float, float],
    label: str,
    percent: bool,
) -> str:
    text = f"{series.name}, {label}: {number(point.value, percent)}"
    whisker = ""
    if point.interval:
        low, high = (number(end, percent) for end in point.interval)
        text += f" (95 % interval {low} to {high})"
        whisker = (
            f'<path class="whisker" d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}'
            f'M{x - 4:.1f} {ends[0]:.1f}h8M{x - 4:.1f} {ends[1]:.1f}h8"/>'
        )
    hollow = " hollow" if point.hollow else ""
    return (
        f'<g class="{series.style}{hollow}"><title>{escape(text)}</title>{whisker}'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/></g>'
    )


def bars(drawn: Chart) -> Markup:
    """Bars beside each other over every label, from zero; empty without points."""
    points = [point for one in drawn.series for point in one.points]
    if not points:
        return Markup("")
    width, height, left, right, top, bottom = 360, 220, 48, 12, 30 if drawn.unit else 16, 38
    values = [0.0, *(point.value for point in points)]
    marks = ticks(min(values), max(values) or 1.0)

    def at_y(value: float) -> float:
        return (
            height - bottom - (height - top - bottom) * (value - marks[0]) / (marks[-1] - marks[0])
        )

    parts = [_grid(mark, marks, at_y(mark), left, width - right, drawn.share) for mark in marks]
    place = (width - left - right) / len(drawn.labels)
    every, bar = -(-len(drawn.labels) // MAX_TICKS), 0.7 * place / len(drawn.series)
    for number_of, label in enumerate(drawn.labels):
        if number_of % every == 0:
            at = f'x="{left + place * (number_of + 0.5):.1f}" y="{height - 20}"'
            parts.append(f'<text class="tick" {at}>{escape(label)}</text>')
    middle = (left + width - right) / 2
    parts.append(
        f'<text class="axis" x="{middle:.1f}" y="{height - 4}">{escape(drawn.axis)}</text>'
    )
    if drawn.unit:
        parts.append(f'<text class="unit" x="0" y="11">{escape(drawn.unit)}</text>')
    for rank, one in enumerate(drawn.series):
        for point in one.points:
            x = left + place * (point.x + 0.15) + bar * rank
            low, high = sorted((at_y(0.0), at_y(point.value)))
            text = f"{one.name}, {drawn.labels[point.x]}: {number(point.value, drawn.share)}"
            parts.append(
                f'<g class="{"second" if one.second else "first"}"><title>{escape(text)}</title>'
                f'<path class="column" d="M{x:.1f} {low:.1f}h{bar:.1f}V{high:.1f}h-{bar:.1f}Z"/>'
                "</g>"
            )
    return _svg(drawn.says or drawn.title, width, height, parts)


def interval_bar(value: float, interval: tuple[float, float], style: str = "first") -> Markup:
    """A share with its interval on a line from 0 to 100 %, 50 % marked; for a table's cell."""
    x, low, high = (4 + 172 * min(1.0, max(0.0, end)) for end in (value, *interval))
    text = f"{number(value, True)} ({number(interval[0], True)} to {number(interval[1], True)})"
    parts = [
        '<path class="grid" d="M4 10H176"/><path class="even" d="M90 1V19"/>',
        f'<g class="{style}"><title>{text}</title>',
        f'<path class="band" d="M{low:.1f} 10H{high:.1f}"/>',
        f'<circle cx="{x:.1f}" cy="10" r="2.5"/></g>',
    ]
    return _svg(text, 180, 20, parts)


def forest(title: str, rows: Sequence[Effect], unit: str) -> Markup:
    """Effects below each other, each with its interval and its single values, around a line at 0.

    Args:
        title: Read by screen readers.
        unit: Names the x axis.
    """
    width, height, left, right, bottom = 720, 30 * len(rows) + 44, 230, 20, 40
    ends = [end for row in rows for end in (row.mean, *(row.interval or ()), *row.values)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    marks = ticks(low, high, 6) if high > low else [-1.0, 0.0, 1.0]

    def at(value: float) -> float:
        return left + (width - left - right) * (value - marks[0]) / (marks[-1] - marks[0])

    parts = []
    for mark in marks:
        x, kind = at(mark), "grid" if abs(mark) > 1e-9 else "even"
        parts.append(f'<path class="{kind}" d="M{x:.1f} 4V{height - bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 22}">{mark + 0.0:+g}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text class="axis" x="{middle:.1f}" y="{height - 4}">{escape(unit)}</text>')
    for place, row in enumerate(rows):
        y = 20 + 30 * place
        text = f"{row.name}: {row.mean:+.2f}"
        whisker = ""
        if row.interval:
            start, end = (at(value) for value in row.interval)
            text += f" ({row.interval[0]:+.2f} to {row.interval[1]:+.2f})"
            whisker = f'<path class="whisker" d="M{start:.1f} {y}H{end:.1f}"/>'
        dots = "".join(
            f'<path class="join" d="M{at(value):.1f} {y - 6}v12"/>' for value in row.values
        )
        parts.append(
            f'<text x="0" y="{y + 4}">{escape(row.name)}</text>'
            f'<g class="{row.style}"><title>{escape(text)}</title>{dots}{whisker}'
            f'<circle cx="{at(row.mean):.1f}" cy="{y}" r="4"/></g>'
        )
    return _svg(title, width, height, parts)


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> Markup:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")
