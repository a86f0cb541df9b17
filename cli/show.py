"""What the command line prints of runs that are on disk. Loads neither torch nor Prefect."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from data.digests import file_digest
from data.errors import InputError
from data.inventory import run_folder, summaries
from data.store import Store
from data.summary import StageRecord, Summary, read_summary, write_summary
from tasks.status import format_status, result_line


def headline(folder: Path, *, quiet: bool = False) -> None:
    """The result of a run, where its files are."""
    console = Console(quiet=quiet, highlight=False)
    console.print(format_status(read_summary(folder / "summary.json")))
    console.print(f"Report: {folder / 'report.html'}", markup=False)


def show_run(runs_dir: Path, name: str) -> None:
    console = Console(highlight=False)
    folder = run_folder(runs_dir, name)
    summary = read_summary(folder / "summary.json")
    console.print(f"bootstrap: {stage_counts(summary.bootstrap)}")
    for entry in summary.rounds:
        console.print(f"round {entry.round}: {stage_counts(entry.stages)}")
    headline(folder)


def stage_counts(stages: list[StageRecord]) -> str:
    cached = sum(record.cached for record in stages)
    spent = sum(record.seconds for record in stages)
    return f"{len(stages)} stages, {cached} cached, {spent:.0f} s"


def show_runs(runs_dir: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    found = summaries(runs_dir)
    if not any(found):
        console.print(f"no runs in {runs_dir}; start one with `tsalign align RECIPE`", markup=False)
    for name in sorted({**found.readable, **found.unreadable}):
        summary = found.readable.get(name)
        line = result_line(summary) if summary else found.unreadable[name]
        console.print(f"{name}: {line}", markup=False)


def write_report_again(runs_dir: Path, name: str, store: str, out: Path | None) -> None:
    """Write the report, by default runs/NAME/report.html, from summary and stored evaluation.

    Raises:
        InputError: no round of the run is finished, or the file cannot be written.
    """
    from tasks.report import write_report

    own = run_folder(runs_dir, name) / "report.html"
    summary, out = _with_a_round(runs_dir, name), out or own
    with _writing(out):
        write_report(summary, Store(store), out)
        if os.path.realpath(out) == os.path.realpath(own):
            summary.report = file_digest(out, fresh=True)
            write_summary(own.with_name("summary.json"), summary)
    Console(highlight=False, soft_wrap=True).print(f"Report: {out}", markup=False)


def compare_runs(runs_dir: Path, names: list[str], store: str, out: Path | None) -> None:
    """Write the page of two runs side by side, by default runs/A-vs-B.html.

    Raises:
        InputError: no round of one of the runs is finished, or the file cannot be written.
    """
    from tasks.report_compare import write_comparison

    a, b = (_with_a_round(runs_dir, name) for name in names)
    out = out or runs_dir / f"{names[0]}-vs-{names[1]}.html"
    with _writing(out):
        write_comparison(a, b, Store(store), out)
    Console(highlight=False, soft_wrap=True).print(f"Comparison: {out}", markup=False)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); choose another --out"
        ) from error


def _with_a_round(runs_dir: Path, name: str) -> Summary:
    summary = read_summary(run_folder(runs_dir, name) / "summary.json")
    if not summary.rounds:
        raise InputError(f"{name}: no round is finished; run its recipe first")
    return summary
