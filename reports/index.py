"""Index: a page of all runs of a folder, each with its headline; two can be ticked to compare."""

from collections.abc import Collection
from typing import NamedTuple

from markupsafe import Markup

from data.store.inventory import Runs
from data.summary import Summary
from reports import text
from reports.first import stage_totals
from reports.page import environment
from reports.plots import interval_bar


class Row(NamedTuple):
    """A run in the table; numbers as they are sorted, text as it is read."""

    run: str
    recipe: str
    headline: text.Headline
    value: float | None  # of the headline, where it is a share
    bar: Markup
    judge: str
    rounds: int
    calls: int | None  # to label; None where nothing asks a teacher
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
    measure = text.of_headline(summary)
    share = measure.value if measure and measure.unit == "share" else None
    calls = summary.measures.get("teacher_calls")
    return Row(
        run=summary.run,
        recipe=f"{summary.method or summary.recipe}, seed {summary.seed}",
        headline=text.headline(summary),
        value=share,
        bar=interval_bar(share, measure.ci95)
        if measure and share is not None and measure.ci95
        else Markup(""),
        judge=measure.judge if measure else "",
        rounds=text.rounds_done(summary),
        calls=int(calls.value) if calls else None,
        seconds=float(stage_totals(summary.stages())["computed"]),
        finished="" if running else summary.finished or "",
        running=running,
    )
