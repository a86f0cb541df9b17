"""Questions of tasks with exact answers from a user's file: checked, and parted."""

from hashlib import sha256
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from data.errors import InputError
from data.final_answer import is_right, plain
from data.readers.rows import read_rows
from data.readers.texts import domains_of, given, text_row
from data.recipes.tailoring import QuestionColumns, TasksConfig
from data.schemas import DEMONSTRATIONS

Part = Literal["seeds", "validation", "test"]
PARTS: tuple[Part, ...] = ("seeds", "validation", "test")


class QuestionFile(NamedTuple):
    table: pa.Table  # DEMONSTRATIONS; `completion` is the answer, `dataset` the task
    places: list[str]  # of each row: "questions.jsonl line 3"
    counts: dict[str, int]  # read = kept + duplicate


def read_questions(path: str, columns: QuestionColumns, marker: str | None = None) -> QuestionFile:
    """The questions of a file; one that is there twice is dropped and counted.

    Args:
        marker: What stands before an answer; None: whether it can be read there is not looked at.

    Raises:
        InputError: with file and line for what is no question with task and answer, for an answer
            that no rationale can end at, and for a question that comes again with another answer.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    places, read = [], 0
    for place, row in read_rows(path, tuple(dict(columns).values())):
        read += 1
        task, question, answer = (
            given(row, place, getattr(columns, name), f"tasks.columns.{name}").strip()
            for name in ("task", "question", "answer")
        )
        if marker is not None:
            _check_answer(answer, marker, place)
        one = text_row([{"role": "user", "content": question}], answer, task)
        known = rows.setdefault((task, question), one)
        if known is one:
            places.append(place)
        elif known["completion"] != answer:
            raise InputError(
                f"{place}: asks what {places[list(rows).index((task, question))]} asks, and has "
                "another answer; leave one out"
            )
    if not rows:
        raise InputError(f"tasks.path: '{path}' holds no question; give it rows of them")
    table = pa.Table.from_pylist(list(rows.values()), schema=DEMONSTRATIONS)
    return QuestionFile(
        table, places, {"read": read, "kept": len(rows), "duplicate": read - len(rows)}
    )


def _check_answer(answer: str, marker: str, place: str) -> None:
    """InputError for an answer that none, or every, rationale would end at."""
    if not plain(answer) or not is_right(f"{marker} {answer}", marker, answer):
        how = f"as one line behind {marker!r}" if marker else "as the last word"
        raise InputError(
            f"{place}: the answer {answer!r:.40} cannot be told right from wrong, as answers are "
            f"read {how}; shorten it, or set another tasks.marker"
        )


def parted_questions(table: pa.Table, config: TasksConfig, seed: int) -> dict[Part, pa.Table]:
    """DEMONSTRATIONS of each part, so many of every task; the order follows from the seed.

    Raises:
        InputError: a task has no question left to test on.
    """
    datasets, ids = (table[name].to_pylist() for name in ("dataset", "prompt_id"))
    ranks = [sha256(f"{seed} {one}".encode()).hexdigest() for one in ids]
    parts: dict[Part, list[int]] = {part: [] for part in PARTS}
    for task in domains_of(table):
        rows = sorted((i for i, name in enumerate(datasets) if name == task), key=ranks.__getitem__)
        first = config.seeds + config.validation
        if len(rows) <= first:
            raise InputError(
                f"tasks.path: the task {task!r} has {len(rows)} questions, of which none is left "
                f"to test on beside tasks.seeds {config.seeds} and tasks.validation "
                f"{config.validation}; bring more, or lower these"
            )
        parts["seeds"] += rows[: config.seeds]
        parts["validation"] += rows[config.seeds : first]
        parts["test"] += rows[first : first + config.test]
    return {part: table.take(pa.array(rows)) for part, rows in parts.items()}
