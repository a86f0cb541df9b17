"""Index: a page of all runs of a folder, each with its headline; two can be ticked to compare."""

from collections.abc import Collection
from typing import NamedTuple

from markupsafe import Markup

from data.store.inventory import Runs
from data.summary import Summary
from reports import text, view
from reports.page import environment
from reports.plots import interval_bar
from reports.words import words


class Row(NamedTuple):
    """A run in the table; numbers as they are sorted, text as it is read."""

    run: str
    recipe: str
    headline: dict[str, str]
    value: float | None  # of the headline, where it is a share
    bar: Markup
    judge: str
    rounds: int
    calls: int
    seconds: float
    finished: str  # UTC, ISO 8601; empty while it has not
    running: bool


def index_html(runs: Runs, running: Collection[str] = ()) -> str:
    """The page, for `tsalign open`; the latest run first, what has not finished above it.

    Args:
        running: Names of the runs that a process is at.
    """
    rows = sorted(
        (_row(run, name in running) for name, run in runs.readable.items()),
        key=lambda row: row.run,
    )
    rows.sort(key=lambda row: row.finished or "~", reverse=True)
    page = environment().get_template("report_index.html.j2")
    return page.render(rows=rows, unreadable=runs.unreadable)


def _row(summary: Summary, running: bool) -> Row:
    headline = text.headline(summary)
    share, ends = _share(summary)
    return Row(
        run=summary.run,
        recipe=f"{summary.recipe}{words(summary).kind}, seed {summary.seed}",
        headline=headline,
        value=share,
        bar=interval_bar(share, ends) if share is not None and ends else Markup(""),
        judge=_judge(summary),
        rounds=len(summary.rounds),
        calls=sum(entry.teacher_calls for entry in summary.rounds),
        seconds=float(view.stage_totals(summary.stages())["computed"]),
        finished="" if running else summary.finished or "",
        running=running,
    )


def _share(summary: Summary) -> tuple[float | None, tuple[float, float] | None]:
    """The headline's number with its interval, where it is a share."""
    if final := text.result(summary):
        return final.win_rate, final.ci95
    if text.is_logged(summary) and not text.pairs_only(summary):
        student = summary.rounds[-1].student
        return student.agreement_after, student.ci95_after
    judged = [entry.policy for entry in summary.rounds if entry.policy]
    return (judged[-1].win_rate, judged[-1].ci95) if judged else (None, None)


def _judge(summary: Summary) -> str:
    final = text.result(summary)
    if final:
        return final.judge
    if text.is_logged(summary):
        return text.judge_name(summary)
    return str(summary.config.get("evaluate", {}).get("judge", "teacher"))
