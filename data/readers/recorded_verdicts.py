"""A judge's recorded verdicts on the pairs of another file, joined by id."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.readers.labelled_pairs import IDS, LABELS, Label, row_id, verdict
from data.readers.rows import SUFFIXES, format_of, read_rows

_VERDICT = re.compile(r"(?:.*_)?(?:verdict|result|" + "|".join(LABELS) + ")")


def is_recorded(name: str) -> bool:
    """Whether a judge is spelt as a file of rows."""
    return format_of(Path(name)) in SUFFIXES


class Verdict(NamedTuple):
    """What a judge said of a pair."""

    label: Label | None  # the better answer; None: it says neither 1, 2 nor tie
    written: str  # as the file has it


def read_verdicts(path: str | Path) -> dict[str, Verdict]:
    """Verdicts by the id of their pair.

    A row has an id (`pair_id`, `id` or `idx`) and a verdict: `verdict`, `result`, `label`,
    `preference` or `winner`, or one column whose name ends so, as `gpt_result`.

    Raises:
        InputError: with file and line, for a row without these or an id that comes twice.
    """
    found: dict[str, Verdict] = {}
    for place, row in read_rows(path):
        id_ = row_id(row)
        if id_ is None:
            raise InputError(f"{place}: no id; a verdict has {', '.join(IDS)} as its pair has")
        if id_ in found:
            raise InputError(f"{place}: a second verdict on the pair '{id_}'; leave one")
        names = [name for name in row if _VERDICT.fullmatch(name) and row[name] is not None]
        if len(names) != 1:
            raise InputError(
                f"{place}: {'no' if not names else 'more than one'} verdict; name one column "
                "verdict, result or winner, or let its name end so"
            )
        label = None
        with suppress(InputError):  # a judge may have said anything
            label = verdict(row[names[0]], place, names[0])
        found[id_] = Verdict(label, str(row[names[0]]))
    if not found:
        raise InputError(f"{path}: holds no verdict; give a file with at least one")
    return found
