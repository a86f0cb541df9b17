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
from data.measures import Reference
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord, Summary, write_text
from data.tables import mapping
from reports.page import report_html
from reports.text import of_headline


def write_report(summary: Summary, store: Store, out: Path) -> None:
    """Write the report of a run.

    Raises:
        ArtifactError: the evaluation is not in the store.
    """
    write_text(out, report_text(summary, store))


def report_text(summary: Summary, store: Store) -> str:
    """The report of a run as a page. Raises ArtifactError as `write_report` does."""
    recipe_text = yaml.safe_dump(summary.config, sort_keys=False, allow_unicode=True, width=100)
    return report_html(summary, answers_of(summary, store), recipe_text)


def answers_of(summary: Summary, store: Store) -> dict[str, list[dict[str, Any]]]:
    """EVALUATION rows that the sections show, with the `messages` of their prompts, by digest.

    `messages` is empty for a prompt that is in no prompt table of the run that can be read: the
    report then shows its id.
    """
    blocks = [block for section in summary.sections for block in section.blocks]
    return {
        block.evaluation.artifact: evaluation_rows(block.evaluation, summary, store)
        for block in blocks
        if block.kind == "answers"
    }


def evaluation_rows(evaluation: Reference, summary: Summary, store: Store) -> list[dict[str, Any]]:
    """The rows of an EVALUATION, with `messages`. Raises ArtifactError if it is not there."""
    return with_messages(store.table(_artifact(evaluation)).to_pylist(), summary, store)


def latest_answers(summary: Summary, store: Store) -> list[dict[str, Any]]:
    """The rows that were judged last, adopted or not; empty where there are none."""
    measure = of_headline(summary)
    curve = measure.rounds if measure else []
    if curve and curve[-1].evidence:
        return evaluation_rows(curve[-1].evidence, summary, store)
    found = list(answers_of(summary, store).values())
    return found[-1] if found else []


def headline_answers(summary: Summary, store: Store) -> list[dict[str, Any]]:
    """The rows behind the headline, of the round that gave it; empty where there are none."""
    measure = of_headline(summary)
    if measure is None or not measure.kept:
        return []
    found = [one.evidence for one in measure.rounds if one.round == measure.round and one.evidence]
    return evaluation_rows(found[-1], summary, store) if found else []


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


def _artifact(record: StageRecord | Reference) -> Artifact:
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)
