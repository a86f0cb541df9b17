"""Labelled pairs of answers in the layouts of public data sets: to measure a judge, or to learn.

A row that is read and cannot be used (two equal answers, an empty one, answers to different talks)
is counted instead of refused, for data sets are known to hold such rows.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from data.errors import InputError
from data.readers.layouts import asked
from data.readers.messages import (
    Messages,
    as_messages,
    check_text,
    content_in,
    role_of,
    transcript,
    unwritten,
)
from data.readers.prompts import content_of
from data.readers.rows import read_rows

Label = Literal["first", "second", "tie"]
Unusable = Literal["same", "empty", "other"]

# Columns that hold two answers, as public data sets call them.
ANSWERS = (
    ("output_1", "output_2"), ("output1", "output2"), ("output_a", "output_b"),
    ("response_1", "response_2"), ("response1", "response2"), ("response_a", "response_b"),
    ("answer_1", "answer_2"), ("answer_a", "answer_b"), ("completion_a", "completion_b"),
)  # fmt: skip
LABELS = ("label", "preference", "winner")
IDS = ("pair_id", "id", "idx")
PROMPTS = ("prompt", "instruction", "question", "input", "messages")
_SCORES = ("fine-grained_score", "overall_score", "score")  # UltraFeedback's, the mean one first
_ANNOTATOR = re.compile(r"annotator_?\d+")
_DATASETS = ("dataset", "subset")
# Names of files that say nothing.
_PLAIN = set("data dataset test train dev validation eval".split())
COLUMNS = {
    *PROMPTS, *_DATASETS, *LABELS, *IDS, "chosen", "rejected",
    "annotator1", "annotator2", "annotator3", *(name for pair in ANSWERS for name in pair),
    "completions", "context", "system", "system_prompt",
}  # fmt: skip


@dataclass(frozen=True)
class LabelledPair:
    place: str  # file and line
    dataset: str
    messages: Messages  # the prompt
    first: str
    second: str
    label: Label  # the better of the two
    id: str | None = None
    votes: tuple[Label, ...] = ()  # of several annotators, in their order
    written: str | None = None  # the label as the file has it
    row: Mapping[str, Any] = field(default_factory=dict)  # as it was read

    @property
    def answers(self) -> tuple[str, str]:
        """The better one first; of a tie as they stand."""
        return (self.second, self.first) if self.label == "second" else (self.first, self.second)


def read_labelled_pairs(
    paths: Sequence[str | Path], columns: Collection[str] = (), keep_empty: bool = False
) -> tuple[list[LabelledPair], dict[str, dict[str, int]]]:
    """Pairs of all files, and by data set what became of its rows: read = pairs + same + empty +
    other.

    `same`: the two answers are equal. `empty`: one says nothing. `other`: they are of different
    talks.

    A row has `prompt` (or `messages`, as this project's own tables), `chosen` and `rejected`, texts
    or lists of messages; or `chosen` and `rejected` as whole talks that begin alike (lists of
    messages, or HH-RLHF's text); or two answers (`output_1` and `output_2`, `response1` ...) with a
    `label`, `preference` or `winner`, or the votes of `annotator1` and so on; or `completions` with
    a score each, as UltraFeedback, of which the best and the worst are the pair. The data set is
    the row's `dataset` or `subset`, else the file's name.

    Args:
        columns: Further ones that a judge wants to see, of a file that is read by columns.
        keep_empty: Answers that say nothing are judged too: a recorded judge has judged them.

    Raises:
        InputError: with file and line, for a row of no such layout or a file without a pair.
    """
    pairs: list[LabelledPair] = []
    counts: dict[str, Counter[str]] = {}
    for path, name in zip(paths, dataset_names([Path(path) for path in paths]), strict=True):
        before = len(pairs)
        for dataset, found in read_pairs(path, name, columns, keep_empty):
            count = counts.setdefault(dataset, Counter())
            count["read"] += 1
            if isinstance(found, str):
                count[found] += 1
            else:
                count["pairs"] += 1
                pairs.append(found)
        if len(pairs) == before:
            raise InputError(f"{path}: holds no pair of two different answers; give at least one")
    wanted = ("read", "pairs", "same", "empty", "other")
    return pairs, {name: {key: count[key] for key in wanted} for name, count in counts.items()}


def read_pairs(
    path: str | Path, name: str, columns: Collection[str] = (), keep_empty: bool = False
) -> Iterator[tuple[str, LabelledPair | Unusable]]:
    """The data set of every row, and its pair or why it is none; see `read_labelled_pairs`."""
    for place, row in read_rows(path, COLUMNS.union(columns)):
        dataset = next((row[field] for field in _DATASETS if row.get(field)), name)
        dataset = check_text(dataset, place, "dataset")
        found = _pair(row, place, dataset)
        if found is None:
            yield dataset, "other"
        elif not (keep_empty or (found.first.strip() and found.second.strip())):
            yield dataset, "empty"
        elif found.first == found.second:
            yield dataset, "same"
        else:
            votes = tuple(verdict(vote, place, "annotator") for vote in _votes(row))
            written = _written(row, found.label, place)
            yield (
                dataset,
                replace(found, id=row_id(row), votes=votes, written=written, row=row),
            )


def row_id(row: Mapping[str, Any]) -> str | None:
    """The id of a pair, or of a verdict on it, as text."""
    return next((str(row[name]) for name in IDS if row.get(name) is not None), None)


def dataset_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its own, with its folder's where that says nothing or is not alone."""
    stems = [path.name.split(".")[0] for path in paths]
    plain = [stem.lower() in _PLAIN or stems.count(stem) > 1 for stem in stems]
    folders = [path.absolute().parent.name for path in paths]
    names = [
        folder if alone.lower() in _PLAIN and folder else f"{folder}/{alone}" if needs else alone
        for folder, alone, needs in zip(folders, stems, plain, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{path.absolute().parent.parent.name}/{name}"
        for name, path in zip(names, paths, strict=True)
    ]


def _pair(row: Mapping[str, Any], place: str, dataset: str) -> LabelledPair | None:
    if row.get("chosen") is not None and row.get("rejected") is not None:
        return _chosen_and_rejected(row, place, dataset)
    if row.get("completions") is not None:
        return _best_and_worst(row, place, dataset)
    names = next((pair for pair in ANSWERS if all(row.get(n) is not None for n in pair)), None)
    if names is None:
        raise InputError(
            f"{place}: no pair of answers; a row has prompt, chosen and rejected, or two answers "
            "such as output_1 and output_2 with a label, or completions with scores"
        )
    # PandaLM has an answer that its file holds as true instead of "True".
    texts = (str(row[n]) if isinstance(row[n], bool | int | float) else row[n] for n in names)
    first, second = (
        check_text(text, place, name, blank=True) for text, name in zip(texts, names, strict=True)
    )
    messages = as_messages(_prompt(row, place), place)
    return LabelledPair(place, dataset, messages, first, second, _label(row, place))


def _chosen_and_rejected(row: Mapping[str, Any], place: str, dataset: str) -> LabelledPair | None:
    sides = {side: transcript(unwritten(row[side], place, side)) for side in ("chosen", "rejected")}
    if any(row.get(name) is not None for name in PROMPTS):
        messages = as_messages(_prompt(row, place), place)
        first, second = (_answer(sides[side], messages, place, side) for side in sides)
    else:
        for side, talk in sides.items():
            if not isinstance(talk, list):
                raise InputError(
                    f"{place}: the field 'prompt' is missing, and {side} is no whole talk; "
                    "add the prompt"
                )
        if sides["chosen"][:-1] != sides["rejected"][:-1]:
            return None
        messages = as_messages(sides["chosen"][:-1], place, "chosen")
        first, second = (_answer(sides[side], messages, place, side) for side in sides)
    return LabelledPair(place, dataset, messages, first, second, "first")


def _answer(value: Any, prompt: Messages, place: str, field: str) -> str:
    """The text of an answer; empty ones are counted later, not refused."""
    last = value[-1] if isinstance(value, list) and value else {"content": value}
    said = content_in(last) if isinstance(last, dict) else None
    return (
        ""
        if isinstance(said, str) and not said.strip()
        else answer_text(value, prompt, place, field)
    )


def answer_text(value: Any, prompt: Messages, place: str, field: str) -> str:
    """The text of an answer: itself, or the last message of a talk that begins with the prompt."""
    if isinstance(value, list):
        if not value or role_of(value[-1]) != "assistant":
            raise InputError(f"{place}: {field} must end with the assistant's message")
        talk = as_messages(value[:-1], place, field) if value[:-1] else prompt
        if content_of(talk[-len(prompt) :]) != content_of(prompt):
            raise InputError(
                f"{place}: {field} is a talk of another prompt than 'prompt'; correct the row"
            )
        value = content_in(value[-1])
    return check_text(value, place, field)


def _best_and_worst(row: Mapping[str, Any], place: str, dataset: str) -> LabelledPair | None:
    """The answers of the highest and the lowest score; None: fewer than two have one."""
    found = row["completions"]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InputError(f"{place}: completions must be a list of objects with response and score")
    name = next((n for n in _SCORES if found and all(_number(one.get(n)) for one in found)), None)
    if len(found) < 2 or name is None:
        return None
    ranked = sorted(found, key=lambda one: float(one[name]))  # stable: ties as they stand
    best, worst = (
        check_text(one.get("response"), place, "response", blank=True)
        for one in (ranked[-1], ranked[0])
    )
    messages = as_messages(_prompt(row, place), place)
    clear = float(ranked[-1][name]) > float(ranked[0][name])
    return LabelledPair(place, dataset, messages, best, worst, "first" if clear else "tie")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _prompt(row: Mapping[str, Any], place: str) -> Any:
    """The prompt; what an instruction is about follows it."""
    known = {name: value for name, value in row.items() if name not in ("chosen", "rejected")}
    if not any(known.get(name) not in (None, "") for name in PROMPTS):
        raise InputError(f"{place}: the field 'prompt' is missing; add the prompt's text")
    return asked(known, place, lambda: list(row)).value


def _label(row: Mapping[str, Any], place: str) -> Label:
    name = next((name for name in LABELS if row.get(name) is not None), None)
    if name is not None:
        return verdict(row[name], place, name)
    votes = _votes(row)
    if not votes:
        raise InputError(f"{place}: no label says which answer is better; add label: 1, 2 or tie")
    counted = Counter(verdict(vote, place, "annotator") for vote in votes).most_common(2)
    clear = len(counted) == 1 or counted[0][1] > counted[1][1]
    return counted[0][0] if clear else "tie"


def _votes(row: Mapping[str, Any]) -> list[Any]:
    """Of the annotators, by their names' order; none where the row has a label beside them."""
    if any(row.get(name) is not None for name in (*LABELS, "chosen")):
        return []
    names = sorted(name for name in row if _ANNOTATOR.fullmatch(name))
    return [row[name] for name in names if row[name] is not None]


def _written(row: Mapping[str, Any], label: Label, place: str) -> str | None:
    """The label in the file's own spelling: the column's, or that of an annotator who says so."""
    said = [row[name] for name in LABELS if row.get(name) is not None][:1] or _votes(row)
    return next((str(value) for value in said if verdict(value, place, "label") == label), None)


def verdict(value: Any, place: str, field: str) -> Label:
    """1 or 2, also as text, A or B, 0 or "tie"; between 1 and 2, as AlpacaEval weighs it."""
    text = str(value).strip().lower().removeprefix("model_").removeprefix("response_")
    named: dict[str, Label] = {"a": "first", "b": "second", "tie": "tie", "0": "tie", "0.0": "tie"}
    if text in named or text.startswith("tie"):
        return named.get(text, "tie")
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 1 <= number <= 2:
        raise InputError(f"{place}: {field} must be 1, 2 or tie, got {str(value)[:40]!r}")
    return "tie" if number == 1.5 else "first" if number < 1.5 else "second"


def by_dataset(pairs: Sequence[LabelledPair]) -> Iterator[tuple[str, list[int]]]:
    """Places of the pairs of each data set, in the order they came."""
    places: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair.dataset, []).append(place)
    yield from places.items()
