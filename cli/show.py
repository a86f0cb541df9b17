"""What the command line prints of runs that are on disk. Loads neither torch nor Prefect."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from data.errors import InputError
from data.places import runs_folder, store_url
from data.store.digests import file_digest
from data.store.inventory import run_folder
from data.store.store import Store
from data.summary import Summary, read_summary, write_summary
from flows.earlier import whole
from reports.status import format_status, meaning
from reports.text import of_headline
from tasks.running.waiting import say

MOST_WARNINGS = 3  # on the terminal; the report has all


def headline(folder: Path, *, quiet: bool = False, store: str | None = None) -> None:
    """How a run stands: its rounds, its result and what that means, warnings, what comes next."""
    console = Console(quiet=quiet, highlight=False)
    summary = whole(read_summary(folder / "summary.json"))
    console.print(format_status(summary))
    for sentence in meaning(summary):
        say(console, sentence)
    found = summary.warnings
    for warning in found[:MOST_WARNINGS]:
        say(console, f"Warning: {warning.text}")
    if len(found) > MOST_WARNINGS:
        more = len(found) - MOST_WARNINGS
        are = "1 more warning is" if more == 1 else f"{more} more warnings are"
        say(console, f"{are} in the report.")
    for line in next_commands(summary, folder, store):
        console.print(line, markup=False, soft_wrap=True)
    if summary.report:
        console.print(f"Report: {folder / 'report.html'}", markup=False, soft_wrap=True)


def next_commands(summary: Summary, folder: Path, store: str | None) -> list[str]:
    """What one would type next, with the places that are not the usual ones."""
    if not summary.finished:
        return []
    name, places = folder.name, ""
    if folder.parent != runs_folder():
        places = f" --runs-dir {shlex.quote(str(folder.parent))}"
    stored = places if store in (None, store_url()) else f"{places} --store {shlex.quote(store)}"
    commands = {f"tsalign open {name}{places}": "the report in the browser"}
    result = of_headline(summary)
    if result and not result.kept:
        refused = f"tsalign chat {name} --rounds {result.round}{stored}"
        commands[refused] = "base and the refused policy"
    elif "policy" in summary.links:
        commands |= {
            f"tsalign chat {name}{stored}": "base and aligned policy, side by side",
            f"tsalign export {name} --to DIR{stored}": "the policy as a model folder",
        }
    width = max(map(len, commands))
    fits = width + max(map(len, commands.values())) + 6 <= 80
    lines = [f"  {line:<{width}}  # {what}" if fits else f"  {line}"
             for line, what in commands.items()]  # fmt: skip
    return ["Next:", *lines]


def write_report_again(runs_dir: Path, name: str, store: str, out: Path | None) -> None:
    """Write the report, by default runs/NAME/report.html, from summary and stored evaluation.

    Raises:
        InputError: no round of the run is finished, or the file cannot be written.
    """
    from reports.report import write_report

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
    from reports.compare import write_comparison

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
    summary = whole(read_summary(run_folder(runs_dir, name) / "summary.json"))
    if not summary.measures:
        raise InputError(f"{name}: no round is finished; run its recipe first")
    return summary
