"""`tsalign status`: the runs of a folder as a table or as JSON, or one of them round by round."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.show import headline
from data.measures import Measure
from data.places import going_on
from data.store.inventory import run_folder, summaries
from data.summary import StageRecord, Summary, read_summary
from flows.earlier import whole
from reports.status import result_line, short_result
from reports.text import of_headline, rounds_done

RUNNING, FINISHED, STOPPED, BROKEN_OFF = "running", "finished", "stopped", "not finished"


def show_run(runs_dir: Path, name: str, *, as_json: bool = False) -> None:
    """A run round by round. Raises InputError where there is none of that name."""
    folder = run_folder(runs_dir, name)
    summary = _summary(folder)
    if as_json:
        _print_json(as_dict(folder, summary))
        return
    console = Console(highlight=False, markup=False)
    if going_on(folder):
        console.print(f"{name}: running, {_rounds(summary)} rounds finished")
    if summary is None:
        return
    for title, number, records in summary.parts():
        console.print(f"{title if number else 'preparation'}: {stage_counts(records)}")
    headline(folder)


def stage_counts(stages: list[StageRecord]) -> str:
    cached = sum(record.cached for record in stages)
    spent = sum(record.seconds for record in stages)
    return f"{len(stages)} stages, {cached} found, {spent:.0f} s"


def show_runs(runs_dir: Path, *, as_json: bool = False) -> None:
    """All runs of the folder, the latest last. Raises InputError where it cannot be read."""
    found = summaries(runs_dir)
    runs = {name: whole(one) for name, one in found.readable.items()} | {
        name: None for name in beginning(runs_dir)
    }
    folders = sorted(
        (runs_dir / name for name in runs), key=lambda folder: (changed_at(folder), folder)
    )
    if as_json:
        _print_json(
            [as_dict(folder, runs[folder.name]) for folder in folders]
            + [{"run": name, "error": text} for name, text in found.unreadable.items()]
        )
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a line for every run, whoever reads it
        console = Console(highlight=False, markup=False, width=200)
    if not (folders or found.unreadable):
        console.print(f"no runs in {runs_dir}; start one with `tsalign align RECIPE`")
    if folders:
        console.print(_table(folders, runs))
    for name, text in found.unreadable.items():
        console.print(f"{name}: {text}", soft_wrap=True)


def beginning(runs_dir: Path) -> list[str]:
    """Runs that go on and have no summary yet."""
    locks = sorted(runs_dir.glob("*/.lock"))
    folders = [path.parent for path in locks if not (path.parent / "summary.json").exists()]
    return [folder.name for folder in folders if going_on(folder)]


def as_dict(folder: Path, summary: Summary | None) -> dict[str, Any]:
    """What `--json` gives of a run."""
    state, result = _state(folder, summary), of_headline(summary) if summary else None
    rate = summary.measures.get("win_rate") if summary else None
    return {
        "run": folder.name,
        "state": state,
        "changed": datetime.fromtimestamp(changed_at(folder), UTC).isoformat(timespec="seconds"),
        "recipe": summary.recipe if summary else None,
        "rounds_finished": rounds_done(summary) if summary else 0,
        "rounds": summary.config.get("rounds", 1) if summary else None,
        "win_rate": rate.value if rate else None,
        "ci95": rate.ci95 if rate else None,
        "judge": rate.judge if rate else None,
        "adopted": rate.kept if rate else None,
        "headline": summary.headline if summary and result else None,
        "measures": {name: _number(one) for name, one in summary.measures.items()}
        if summary
        else {},
        "result": result_line(summary) if summary else "",
        "report": str(folder / "report.html") if summary and summary.report else None,
    }


def _summary(folder: Path) -> Summary | None:
    """None of a run that goes on and has not prepared its first round."""
    if not (folder / "summary.json").exists() and going_on(folder):
        return None
    return whole(read_summary(folder / "summary.json"))


def _number(measure: Measure) -> dict[str, Any]:
    """A measure without its curve and its parts."""
    wanted = {"value", "ci95", "n", "title", "unit", "better", "kept", "judge"}
    return measure.model_dump(mode="json", include=wanted)


def _table(folders: list[Path], runs: dict[str, Summary | None]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("run", "last change", "rounds", "win rate or result", "state"):
        table.add_column(name, overflow="fold")
    for folder in folders:
        summary = runs[folder.name]
        changed = datetime.fromtimestamp(changed_at(folder)).astimezone().strftime("%Y-%m-%d %H:%M")
        cells = (changed, _rounds(summary), short_result(summary) if summary else "none yet")
        table.add_row(*map(Text, (folder.name, *cells, _state(folder, summary))))
    return table


def _state(folder: Path, summary: Summary | None) -> str:
    if going_on(folder):
        return RUNNING
    if summary is None:
        return BROKEN_OFF
    if summary.finished:
        return FINISHED
    return STOPPED if summary.stopped else BROKEN_OFF


def _rounds(summary: Summary | None) -> str:
    return f"{rounds_done(summary)} of {summary.config.get('rounds', 1)}" if summary else "0"


def changed_at(folder: Path) -> float:
    """Seconds since 1970, of the last change of the summary; of a beginning run, of its lock."""
    for name in ("summary.json", ".lock"):
        try:
            return (folder / name).stat().st_mtime
        except OSError:
            continue
    return 0.0


def _print_json(value: Any) -> None:
    import sys

    sys.stdout.write(json.dumps(value, indent=1) + "\n")
