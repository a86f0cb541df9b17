"""The folder of a run: its summary as it grows, its report, links to what has come of it."""

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from data.errors import InputError
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from data.store.digests import file_digest
from data.summary import Summary, write_summary
from flows.fingerprint import run_digest
from flows.result import Made, Result
from flows.tracking import draw_measures, numbers
from models import host
from reports.prefect_ui import publish_report, publish_result
from reports.report import latest_answers, write_report
from tasks.stage import Run

LIBRARIES = ("tsalign", "torch", "transformers", "trl", "peft", "prefect", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of this project, its libraries and Python."""
    import platform

    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


class RunFolder:
    """Writes what a flow has so far, whatever flow it is; on disk whole or not at all."""

    def __init__(self, recipe: RunRecipe, folder: Path, run: Run, notes: list[str]) -> None:
        self.folder, self._run = folder, run
        self._drawn: set[int] = set()  # rounds that trackers and Prefect's UI have
        self.summary = Summary(
            run=recipe.run,
            recipe=recipe.recipe,
            seed=recipe.seed,
            config_digest=config_digest(recipe),
            run_digest=run_digest(recipe, run.outside),
            date=run.context.date,
            versions=versions(),
            machine={"engine": run.engine, "numerics": run.context.numerics},
            config=recipe.model_dump(mode="json", exclude_none=True),
            notes=notes,
        )

    def so_far(self, made: Made) -> None:
        """Write an unfinished result, and show it wherever somebody looks."""
        self._take(made())
        self._write()

    def finish(self, made: Made, seconds: float) -> None:
        """Report, links to models and files, and last the summary that tells their digests."""
        result, summary = made(), self.summary
        self._take(result)
        summary.seconds = round(seconds, 1)
        summary.finished = datetime.now(UTC).isoformat(timespec="seconds")
        summary.computed_seconds = round(sum(s.computed_seconds for s in summary.stages()), 1)
        report = self.folder / "report.html"
        write_report(summary, self._run.context.store, report)
        summary.report = file_digest(report, fresh=True)
        self._link(result)
        self._write()
        self._run.books.note(publish_report, summary, report)

    def _take(self, result: Result) -> None:
        """A result into the summary, trackers and Prefect's UI; stages by when they were called."""
        summary, run = self.summary, self._run
        result.into(summary)
        for record in run.take_records():
            (summary.work if record.round else summary.bootstrap).append(record)
        summary.machine["engine"] = run.engine  # it may have been settled since
        summary.machine |= host.describe(run.context.runtime)  # torch may be loaded by now
        new = numbers(result) - self._drawn
        if new:
            draw_measures(run.context.tracking, result, new)
            run.progress.notes(run.context.tracking)
            self._drawn |= new
            rows = latest_answers(summary, run.context.store) if run.books.kept else []
            run.books.note(publish_result, summary, rows)

    def _link(self, result: Result) -> None:
        """Names in the run's folder lead to what came of it; the summary knows the digests."""
        places = {
            name: (self._run.context.path(model), model.digest)
            for name, model in result.models.items()
        }
        places |= {name: (path, file_digest(path)) for name, path in result.files.items()}
        for old in self.folder.iterdir():
            if old.is_symlink() and old.name not in places:  # of an earlier run of this name
                old.unlink()
        for name, (path, digest) in places.items():
            link(self.folder / name, path)
            self.summary.links[name] = digest

    def _write(self) -> None:
        write_summary(self.folder / "summary.json", self.summary)


def link(name: Path, target: Path) -> None:
    """A symbolic link that replaces an older one, also beside another run of the same name."""
    new = name.with_name(f".{name.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target.resolve(), target_is_directory=True)
    try:
        new.replace(name)
    except IsADirectoryError:
        new.unlink()
        raise InputError(f"{name}: is a folder in the place of a link; move it away") from None
