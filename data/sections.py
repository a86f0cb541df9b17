"""Sections of a report as data: a flow gives them, the pages draw them. Part of `summary.json`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from data.measures import Entry, Interval, Reference


class Text(Entry):
    kind: Literal["text"] = "text"
    paragraphs: list[str]
    warning: bool = False


class Cell(Entry):
    """A cell that is more than a value."""

    value: float | str | None
    ci95: Interval | None = None
    note: str = ""  # in small type beside it
    low: bool = False  # so low that it is marked


class Column(Entry):
    title: str
    unit: str = ""  # of its numbers, as of a Measure
    bar: bool = False  # shares with intervals, drawn from 0 to 100 %


class Row(Entry):
    cells: list[Cell | int | float | str | None]
    total: bool = False


class Table(Entry):
    """Rows under columns; the first cell of a row names it."""

    kind: Literal["table"] = "table"
    title: str = ""
    columns: list[Column]
    rows: list[Row]


class Point(Entry):
    x: int  # place among the chart's labels, from 0
    value: float
    ci95: Interval | None = None
    hollow: bool = False


class Series(Entry):
    name: str  # before the label, in the tooltip of a point
    points: list[Point]
    second: bool = False  # in the second colour
    shift: float = 0.0  # along x, in widths of a place


class Chart(Entry):
    """Points joined by lines, or bars, over labels."""

    kind: Literal["chart"] = "chart"
    title: str = ""
    says: str = ""  # read by screen readers, more than the title
    series: list[Series]
    labels: list[str]
    style: Literal["lines", "bars"] = "lines"
    axis: str = "round"
    unit: str = ""
    share: bool = False  # whether the values are shares, written in percent
    even: float | None = None  # a dashed line: no change
    keys: dict[str, Literal["first", "second", "hollow"]] = {}  # what the marks mean
    caption: str = ""


class Part(Entry):
    name: str
    n: int


class Level(Entry):
    """One count and what it splits into; the first part is kept, what is left out is named."""

    title: str
    total: int
    parts: list[Part]


class Counts(Entry):
    """A flow of counts: what is kept of a level is what the next one counts."""

    kind: Literal["counts"] = "counts"
    title: str = ""
    levels: list[Level]
    text: str = ""
    problem: str = ""  # where the counts do not add up


class Answers(Entry):
    """Two answers to each prompt, side by side, of an EVALUATION in the store."""

    kind: Literal["answers"] = "answers"
    evaluation: Reference
    names: tuple[str, str]  # of the "base" and of the "policy"


Block = Annotated[Text | Table | Chart | Counts | Answers, Field(discriminator="kind")]


class Section(Entry):
    name: str = Field(pattern=r"[a-z][a-z0-9_-]*")  # its anchor
    title: str
    hint: str = ""
    blocks: list[Block] = []
    box: bool = False  # at the top, right below the result

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name in ("cost", "provenance"):
            raise ValueError("every report has a section of this name; choose another")
        return name
