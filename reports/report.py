"""Report: the HTML page of a run, from its summary and the evaluation in the store.

Not a stage: it is cheap, and written anew whenever somebody asks. Loads neither torch nor Prefect.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from data.errors import ArtifactError
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord, Summary, write_text
from data.tables import mapping
from reports.page import report_html
from reports.text import result_round


def write_report(summary: Summary, store: Store, out: Path) -> None:
    """Write the report of a run.

    Raises:
        ArtifactError: the evaluation is not in the store.
    """
    write_text(out, report_text(summary, store))


def report_text(summary: Summary, store: Store) -> str:
    """The report of a run as a page. Raises ArtifactError as `write_report` does."""
    recipe_text = yaml.safe_dump(summary.config, sort_keys=False, allow_unicode=True, width=100)
    return report_html(summary, evaluation_samples(summary, store), recipe_text)


def evaluation_samples(summary: Summary, store: Store) -> list[dict[str, Any]]:
    """EVALUATION rows of the result's round with the `messages` of their prompts.

    Empty where no policy was adopted. `messages` is empty for a prompt that is in no prompt table
    of the run that can be read: the report then shows its id.
    """
    entry = result_round(summary)
    if entry is None:
        return []
    rows: list[dict[str, Any]] = [
        row
        for record in entry.stages
        if record.kind == "evaluation"
        for row in store.table(_artifact(record)).to_pylist()
    ]
    return with_messages(rows, summary, store)


def with_messages(
    rows: list[dict[str, Any]], summary: Summary, store: Store
) -> list[dict[str, Any]]:
    """The rows, each with the `messages` of its prompt from the run's prompt tables."""
    wanted = {row["prompt_id"] for row in rows}
    messages: dict[str, Any] = {}
    for record in summary.stages():
        if record.kind == "prompts" and not wanted <= messages.keys():
            with suppress(ArtifactError):
                table = store.table(_artifact(record))
                asked = pc.is_in(table["prompt_id"], pa.array(list(wanted), pa.string()))
                messages |= mapping(table.filter(asked), "prompt_id", "messages")
    return [row | {"messages": messages.get(row["prompt_id"], [])} for row in rows]


def _artifact(record: StageRecord) -> Artifact:
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)
