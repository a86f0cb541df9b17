"""Layouts of recorded completions and judgments, read into one kind of record."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.readers.messages import Messages, as_messages, check_text
from data.readers.rows import read_rows
from data.recipes.logged import LoggedConfig, LoggedFields

# The fields of AlpacaEval's outputs and annotations that are read.
_ALPACA_EVAL = (
    "instruction", "dataset", "generator", "output", "generator_1", "generator_2", "output_1",
    "output_2", "preference", "annotator",
)  # fmt: skip


@dataclass(frozen=True)
class LoggedCompletion:
    place: str  # file and line, for messages
    messages: Messages
    dataset: str
    sample: str | None  # what names it among its prompt's completions; None: order of appearance
    text: str
    finish_reason: str
    reward: float | None


@dataclass(frozen=True)
class LoggedJudgment:
    place: str
    messages: Messages
    sample: str | None  # None: every completion with this text
    text: str | None
    reward: float | None  # None: the judge gave no preference
    judge: str


def read_completions(config: LoggedConfig, files: list[Path]) -> Iterator[LoggedCompletion]:
    """The completions in `files`. Raises InputError with file and line."""
    for path in files:
        for place, row in read_rows(path, _columns(config)):
            if config.format == "alpaca_eval":
                yield _output(place, row, path.name.split(".")[0])
            else:
                yield _completion(place, row, config.fields, path.name.split(".")[0])


def read_judgments(
    config: LoggedConfig, files: list[Path], samples: set[str]
) -> Iterator[LoggedJudgment]:
    """The judgments in `files`; `samples` are the names that completions have.

    Raises InputError with file and line.
    """
    for path in files:
        for place, row in read_rows(path, _columns(config)):
            if config.format == "alpaca_eval":
                yield _annotation(place, row, samples)
            else:
                yield _judgment(place, row, config)


def _columns(config: LoggedConfig) -> tuple[str, ...]:
    return _ALPACA_EVAL if config.format == "alpaca_eval" else tuple(dict(config.fields).values())


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Sorted with numbers as numbers: sample.2 before sample.10."""
    return sorted(names, key=lambda name: [_part(p) for p in re.split(r"(\d+)", name)])


def _part(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def _completion(
    place: str, row: dict[str, Any], names: LoggedFields, dataset: str
) -> LoggedCompletion:
    finish_reason = row.get(names.finish_reason) or "stop"
    if finish_reason not in ("stop", "length"):
        raise InputError(f"{place}: {names.finish_reason} must be 'stop' or 'length'")
    return LoggedCompletion(
        place=place,
        messages=as_messages(row.get(names.prompt), place, names.prompt),
        dataset=check_text(row.get(names.dataset) or dataset, place, names.dataset),
        sample=_sample(row, place, names.sample),
        # An empty answer happens; it is counted when candidates are chosen.
        text=check_text(row.get(names.completion), place, names.completion, blank=True),
        finish_reason=finish_reason,
        reward=_number(row.get(names.reward), place, names.reward),
    )


def _judgment(place: str, row: dict[str, Any], config: LoggedConfig) -> LoggedJudgment:
    names = config.fields
    sample, text = _sample(row, place, names.sample), row.get(names.completion)
    if sample is None and text is None:
        raise InputError(
            f"{place}: needs {names.sample!r} or {names.completion!r} to find its text"
        )
    return LoggedJudgment(
        place=place,
        messages=as_messages(row.get(names.prompt), place, names.prompt),
        sample=sample,
        text=None if text is None else check_text(text, place, names.completion, blank=True),
        reward=_number(row.get(names.reward), place, names.reward),
        judge=config.judge,
    )


def _output(place: str, row: dict[str, Any], dataset: str) -> LoggedCompletion:
    """A row of AlpacaEval model outputs; one generator is one sample."""
    return LoggedCompletion(
        place=place,
        messages=as_messages(row.get("instruction"), place, "instruction"),
        dataset=check_text(row.get("dataset") or dataset, place, "dataset"),
        sample=check_text(row.get("generator"), place, "generator"),
        text=check_text(row.get("output"), place, "output", blank=True),
        finish_reason="stop",
        reward=None,
    )


def _annotation(place: str, row: dict[str, Any], samples: set[str]) -> LoggedJudgment:
    """A row of AlpacaEval annotations: a preference of 1 is for output_1, of 2 for output_2.

    Newer files write 1.5 for a draw, older ones 0. One of the two is a sample, the other the fixed
    reference; the sample's reward is the probability in [0, 1] that the judge prefers it.
    """
    # As text: what is no text may not be hashable, and is refused below.
    sides = [side for side in ("1", "2") if str(row.get(f"generator_{side}")) in samples]
    if len(sides) == 2:
        raise InputError(f"{place}: both outputs are samples; the other must be a fixed reference")
    side = sides[0] if sides else "2"  # neither: stays unmatched, and is counted
    preference = _number(row.get("preference"), place, "preference")
    preference = 1.5 if preference == 0 else preference
    if preference is not None and not 1 <= preference <= 2:
        raise InputError(
            f"{place}: preference must lie between 1 and 2 or be 0 for a draw, got {preference:g}"
        )
    reward = None
    if preference is not None:
        reward = preference - 1 if side == "2" else 2 - preference
    return LoggedJudgment(
        place=place,
        messages=as_messages(row.get("instruction"), place, "instruction"),
        sample=check_text(row.get(f"generator_{side}"), place, f"generator_{side}"),
        text=check_text(row.get(f"output_{side}"), place, f"output_{side}", blank=True),
        reward=reward,
        judge=check_text(row.get("annotator") or "alpaca_eval", place, "annotator"),
    )


def _sample(row: dict[str, Any], place: str, name: str) -> str | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)  # CSV
    if type(value) is not int or not 0 <= value < 10**9:
        raise InputError(f"{place}: {name} must be a whole number from 0, got {str(value)[:40]!r}")
    return str(value)


def _number(value: Any, place: str, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool | list | dict) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{place}: {name} must be a finite number, got {str(value)[:40]!r}")
    return number
