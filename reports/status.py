"""What the terminal shows of a run: a table of its rounds or of its measures, and the result."""

from typing import TYPE_CHECKING

from data.summary import Summary
from reports.text import ends, meaning, result_line, short_result, title, written

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

__all__ = ["format_status", "meaning", "result_line", "short_result"]


def format_status(summary: Summary) -> "Group":
    """A compact table and, below it, the result; for rich's console."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if summary.progress:
        heads = [column.title for column in summary.progress.columns]
        rows = [[str(cell) for cell in row.cells] for row in summary.progress.rows]
        parts.append(_table(summary.run, heads, rows))
    elif summary.measures:
        rows = [
            [
                title(measure, name),
                written(measure.value, measure.unit),
                ends(measure.ci95, measure.unit),
                f"{measure.n:,}" if measure.n else "",
            ]
            for name, measure in summary.measures.items()
        ]
        parts.append(_table(summary.run, ["measure", "value", "95 % interval", "n"], rows))
    return Group(*parts, Text(result_line(summary)))


def _table(run: str, heads: list[str], rows: list[list[str]]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(run), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.collapse_padding = True  # at 80 columns no cell breaks
    for place, head in enumerate(heads):
        named = place == 0 and head == "measure"
        table.add_column(Text(head), justify="left" if named else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
