"""What the terminal shows of a run: a table of its rounds and the result in one line."""

from typing import TYPE_CHECKING

from data.summary import Round, Summary
from tasks.report_text import (
    NOT_FINISHED,
    headline,
    is_logged,
    judge_name,
    pairs_only,
    percent,
    stopped,
)
from tasks.report_text import result as result_of

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

COLUMNS = ("round", "pairs", "swapped", "student agrees", "labels right")


def format_status(summary: Summary) -> "Group":
    """A compact table of the rounds and, below it, the result; for rich's console."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    logged = is_logged(summary)
    table = Table(title=Text(summary.run), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    last = ("longer answer",) if logged else ("win rate", "adopted")
    for column in (*COLUMNS, *last):
        table.add_column(column, justify="right")
    for entry in summary.rounds:
        table.add_row(*_cells(entry, logged))
    parts: list[RenderableType] = [table] if summary.rounds else []
    return Group(*parts, Text(result_line(summary)))


def result_line(summary: Summary) -> str:
    """The result of a run in one line."""
    result, final = headline(summary), result_of(summary)
    if final:
        who = f"judged by the {final.judge}, round {final.round}"
        line = f"Win rate over the base: {result['number']} ({result['interval']}), {who}"
        return line if summary.final else f"{line}. {stopped(summary) or NOT_FINISHED}"
    if is_logged(summary) and not pairs_only(summary):
        student = summary.rounds[-1].student
        return (
            f"Student agrees with {judge_name(summary)}: {percent(student.agreement_before)} → "
            f"{result['number']} ({result['interval']}); the longer answer: "
            f"{percent(student.longer_baseline)}"
        )
    return result["text"]


def _cells(entry: Round, logged: bool) -> list[str]:
    student, policy = entry.student, entry.policy
    cells = [
        str(entry.round),
        f"{entry.ledger.trained:,}",
        f"{entry.swap_rate:.0%}",
        f"{_share(student.agreement_before)} → {_share(student.agreement_after)}",
        _share(entry.label_precision),
    ]
    if logged:
        return [*cells, _share(student.longer_baseline)]
    rate = "–"
    if policy:
        low, high = policy.ci95
        half = max(policy.win_rate - low, high - policy.win_rate)
        rate = f"{policy.win_rate:.1%} ±{half * 100:.1f}"
    return [*cells, rate, "yes" if entry.adopted else "no"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
