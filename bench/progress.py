"""Progress of a bench: how many runs are done, what each worker is at, how long it may take."""

from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.jobs import Job, Places
from bench.pool import Schedule
from data.durations import duration
from data.errors import InputError
from data.summary import read_summary
from reports.text import rounds_done


class BenchProgress:
    """A bar and a line per worker on a terminal; one line per run anywhere else."""

    def __init__(self, console: Console, schedule: Schedule, places: Places, workers: int) -> None:
        self._console, self._schedule, self._places = console, schedule, places
        self._total, self._began = len(schedule.pending), monotonic()
        self._told: set[str] = set()
        self._rounds: dict[Path, tuple[float, int]] = {}  # when written, rounds in it
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._bars.add_task("runs", total=self._total, left="")
        self._lines = [
            self._bars.add_task("", total=1, left="", visible=False) for _ in range(workers)
        ]

    def __enter__(self) -> "BenchProgress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def tick(self) -> None:
        """Show what has changed."""
        schedule = self._schedule
        for run in [run for run in schedule.done if run not in self._told]:
            self._told.add(run)
            self._tell(run, schedule.done[run])
        self._bars.update(self._bar, completed=len(self._told), left=self._left())
        for number, line in enumerate(self._lines):
            job = schedule.at_work.get(number)
            if job is None or not self._console.is_terminal:
                self._bars.update(line, visible=False)
                continue
            total, rounds = job.recipe.round_count, self._rounds_of(job)
            self._bars.update(
                line,
                description=job.title,
                completed=rounds,
                total=max(total, rounds),
                visible=True,
            )

    def _tell(self, run: str, error: str | None) -> None:
        spent = duration(monotonic() - self._schedule.began[run])
        what = f"failed: {error}" if error else spent
        self._console.print(
            f"  {run:<40} {what}  ({len(self._told)}/{self._total})", markup=False, soft_wrap=True
        )

    def _left(self) -> str:
        """By what the runs that had to be computed took; nothing is known before the first."""
        done, left = self._schedule.computed, self._total - len(self._told)
        if not done or not left:
            return ""
        return f"about {duration((monotonic() - self._began) / done * left)} left"

    def _rounds_of(self, job: Job) -> int:
        path = self._places.folder(job) / "summary.json"
        try:
            written = path.stat().st_mtime
            if self._rounds.get(path, (0.0, 0))[0] != written:
                self._rounds[path] = written, rounds_done(read_summary(path))
        except (OSError, InputError):  # not yet there, or of an earlier version
            return 0
        return self._rounds[path][1]
