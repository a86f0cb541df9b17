"""What Prefect's UI shows of a run: artifacts of every round, progress of long stages, log lines.

Artifacts have the same keys in every run, so that the UI keeps their history over rounds and runs.
None of this is a stage: it is cheap, never cached, and changes no result.
"""

import base64
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import MissingContextError

from data.places import report_url
from data.summary import Summary
from reports.drawing import headline_curve
from reports.plots import alone
from reports.text import ends, of_headline, rounds_done, title, written
from tasks.running.books import Books
from tasks.running.progress import Progress

SAMPLES = 3  # best wins and worst losses shown
_LONGEST_PROMPT = 1000  # characters
_LONG_SECONDS = 5.0  # a stage gets a progress bar after that, renewed as often
# The report's charts take their colours from its page; alone they need some.


class UiProgress(Progress):
    """Progress on the terminal and, for stages that take long, in Prefect's UI."""

    _label, _shown = "", 0.0
    _artifact: UUID | None = None

    def __init__(self, books: Books, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet=quiet, verbose=verbose)
        self._books = books

    def start(
        self,
        label: str,
        address: str = "",
        *,
        shard: int = 1,
        shards: int = 1,
        found: bool = False,
    ) -> None:
        super().start(label, address, shard=shard, shards=shards, found=found)
        self._label = f"{label} {shard}/{shards}" if shards > 1 else label
        self._artifact, self._shown = None, monotonic()

    def update(self, done: int, total: int, at_once: int = 1) -> None:
        super().update(done, total, at_once)
        if monotonic() - self._shown < _LONG_SECONDS or not total:
            return
        self._shown = monotonic()
        self._books.note(self._publish, 100 * done / total)

    def _publish(self, percent: float) -> None:
        if self._artifact:
            update_progress_artifact(self._artifact, percent)
        else:
            made = create_progress_artifact(percent, key="progress", description=self._label)
            self._artifact = cast(UUID, made)  # no coroutine: nobody awaits here

    def log(self, text: str) -> None:
        with suppress(MissingContextError):
            get_run_logger().info(text)


def publish_result(summary: Summary, rows: Sequence[dict[str, Any]]) -> None:
    """What there is so far: table, answers, plot.

    Args:
        rows: Of the EVALUATION at hand, with the `messages` of their prompts; empty without one.
    """
    name = f"{summary.run}, round {rounds_done(summary)}"
    create_table_artifact(table_rows(summary), key="rounds", description=f"After {name}")
    if rows:
        create_markdown_artifact(samples(rows), key="samples", description=f"Answers of {name}")
    measure = of_headline(summary)
    if measure and (curve := headline_curve(summary)):
        called = title(measure, summary.headline)
        create_image_artifact(
            data_uri(str(curve)),
            key=summary.headline.replace("_", "-"),
            description=f"{called[:1].upper()}{called[1:]} after every round, with 95 % "
            f"intervals: {name}",
        )


def publish_report(summary: Summary, path: Path) -> None:
    """How to open the report of a finished run."""
    create_markdown_artifact(
        report_link(summary.run, path), key="report", description=f"Of {summary.run}"
    )


def report_link(run: str, path: Path) -> str:
    """Markdown: the address where a server shows reports, else the command that does.

    A browser opens no file:// link of a page that came from a server, so there is none.
    """
    folder = path.resolve().parents[1]
    command = f"tsalign open {run} --runs-dir {shlex.quote(str(folder))}"
    address = report_url(run)
    link = f"[Open the report of {run}]({address})\n\n" if address else ""
    return (
        f"{link}On the machine that ran it:\n\n    {command}\n\nThe file:\n\n    {path.resolve()}\n"
    )


def table_rows(summary: Summary) -> list[dict[str, Any]]:
    """A line per round, with what its stages took; of a flow without rounds, per measure."""
    if summary.progress is None:
        return [
            {
                "measure": title(measure, name),
                "value": written(measure.value, measure.unit),
                "95 % interval": ends(measure.ci95, measure.unit),
            }
            for name, measure in summary.measures.items()
        ]
    heads = [column.title for column in summary.progress.columns]
    lines = [dict(zip(heads, map(str, row.cells), strict=True)) for row in summary.progress.rows]
    rounds = [records for _, number, records in summary.parts() if number]
    for line, records in zip(lines, rounds, strict=False):
        line["seconds"] = f"{sum(record.seconds for record in records):.1f}"
        reused = sum(record.cached for record in records)
        line["stages reused"] = f"{reused} of {len(records)}"
    return lines


def samples(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: where the policy gained most over the base, and where it lost most."""
    judged = [r for r in rows if None not in (r["base_score"], r["policy_score"])]
    judged.sort(key=lambda row: row["base_score"] - row["policy_score"])
    won = [row for row in judged if row["policy_score"] > row["base_score"]][:SAMPLES]
    lost = [row for row in judged[::-1] if row["policy_score"] < row["base_score"]][:SAMPLES]
    parts = []
    for heading, chosen in (("Best wins", won), ("Worst losses", lost)):
        parts.append(f"## {heading}\n" + ("" if chosen else "\nNone.\n"))
        parts += [_sample(row) for row in chosen]
    return "\n".join(parts)


def _sample(row: dict[str, Any]) -> str:
    sides = [
        f"{side} ({row[f'{side}_score']:.2f}):\n\n{_quoted(row[f'{side}_completion'])}\n"
        for side in ("base", "policy")
    ]
    return f"### {row['dataset']}\n\nprompt:\n\n{_quoted(_prompt(row))}\n\n" + "\n".join(sides)


def _prompt(row: dict[str, Any]) -> str:
    """What the user wrote last, or the prompt's id where its text is nowhere."""
    messages = row.get("messages")
    text = str(messages[-1]["content"]) if messages else str(row["prompt_id"])
    return text if len(text) <= _LONGEST_PROMPT else text[:_LONGEST_PROMPT] + " ..."


def _quoted(text: str) -> str:
    """As code, so that nothing in an answer is taken for markup."""
    return "\n".join(f"    {line}" for line in text.splitlines() or [""])


def data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(alone(svg).encode()).decode()
