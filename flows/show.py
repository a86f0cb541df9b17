"""What the command line prints of runs that are on disk. Loads neither torch nor Prefect."""

import re
from pathlib import Path

from rich.console import Console

from data.errors import InputError
from data.recipe import RUN_NAME
from data.store import Store
from data.summary import StageRecord, Summary, read_summary
from tasks.status import format_status, result_line


def headline(console: Console, summary: Summary, folder: Path) -> None:
    """The result of a run, where its files are."""
    console.print(format_status(summary))
    console.print(f"Report: {folder / 'report.html'}", markup=False)


def show_run(runs_dir: Path, name: str) -> None:
    console = Console(highlight=False)
    folder = run_folder(runs_dir, name)
    summary = read_summary(folder / "summary.json")
    console.print(f"bootstrap: {stage_counts(summary.bootstrap)}")
    for entry in summary.rounds:
        console.print(f"round {entry.round}: {stage_counts(entry.stages)}")
    headline(console, summary, folder)


def run_folder(runs_dir: Path, name: str) -> Path:
    """Where a run keeps its summary and report. Raises InputError for a name that is a path."""
    if not re.fullmatch(RUN_NAME, name):
        raise InputError(f"{name!r} is no name of a run; `tsalign status` lists the runs")
    return runs_dir / name


def stage_counts(stages: list[StageRecord]) -> str:
    cached = sum(record.cached for record in stages)
    spent = sum(record.seconds for record in stages)
    return f"{len(stages)} stages, {cached} cached, {spent:.0f} s"


def show_runs(runs_dir: Path) -> None:
    console = Console(highlight=False)
    found = sorted(path.parent.name for path in runs_dir.glob("*/summary.json"))
    if not found:
        console.print(f"no runs in {runs_dir}; start one with `tsalign align RECIPE`", markup=False)
    for name in found:
        summary = read_summary(runs_dir / name / "summary.json")
        console.print(f"{name}: {result_line(summary)}", markup=False)


def write_report_again(runs_dir: Path, name: str, store: str) -> None:
    """Write runs/NAME/report.html from the summary and the stored evaluation.

    Raises:
        InputError: the run did not finish.
    """
    from tasks.report import write_report

    folder = run_folder(runs_dir, name)
    summary = read_summary(folder / "summary.json")
    if not summary.rounds:
        raise InputError(f"{name}: no round is finished; run its recipe first")
    write_report(summary, Store(store), folder / "report.html")
    Console(highlight=False).print(f"Report: {folder / 'report.html'}", markup=False)
