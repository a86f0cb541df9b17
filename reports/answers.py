"""Answers side by side: which are shown, and where the two differ."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

DATASETS = 24  # at most so many data sets get samples
# Wins and losses shown of a data set, and half as many ties: the first row that fits `ROOM`.
SHOWN = (16, 8, 4)
ROOM = 1_500_000  # characters of answers, of a page that should open at once
MANY_WORDS = 1_500  # of an answer; where there are more, comparing takes too long
ALIKE = 0.3  # of the words; below that nearly everything would be marked

Row = dict[str, Any]
Part = tuple[str, bool]  # a piece of an answer, and whether only this answer has it


class Group(NamedTuple):
    """The answers of a data set that are shown."""

    name: str
    counts: tuple[int, int, int]  # won, tied, lost, of all answers
    rows: list[Row]  # wins, losses, ties, the largest difference first; with `tag`, `gain`, parts


def sample_groups(samples: Sequence[Row]) -> list[Group]:
    """Per data set its best wins, its worst losses and some ties, each with marked differences.

    Args:
        samples: Rows of EVALUATION with the `messages` of their prompts.
    """
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in samples:
        sets[row["dataset"]].append(row | {"gain": _gain(row)})
    sorted_sets = [(name, _by_tag(sets[name])) for name in sorted(sets)[:DATASETS]]
    for most in SHOWN:
        chosen = [(name, tags, _chosen(tags, most)) for name, tags in sorted_sets]
        if sum(_size(row) for _, _, rows in chosen for row in rows) <= ROOM:
            break
    return [
        Group(
            name,
            (len(tags["win"]), len(tags["tie"]), len(tags["loss"])),
            [row | _marked(row) for row in rows],
        )
        for name, tags, rows in chosen
    ]


def _by_tag(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {"win": [], "loss": [], "tie": []}
    # Largest difference first; where a score is missing, last.
    for row in sorted(rows, key=lambda row: (-abs(row["gain"] or 0), row["prompt_id"])):
        tag = {1: "win", 0: "loss"}.get(row["outcome"], "tie")
        found[tag].append(row | {"tag": tag})
    return found


def _chosen(tags: dict[str, list[Row]], most: int) -> list[Row]:
    return [*tags["win"][:most], *tags["loss"][:most], *tags["tie"][: most // 2]]


def _size(row: Row) -> int:
    return len(row["base_completion"]) + len(row["policy_completion"])


def _gain(row: Row) -> float | None:
    """Score of the aligned policy's answer less the base's, if the judge could read both."""
    base, policy = row["base_score"], row["policy_score"]
    return None if base is None or policy is None else policy - base


def _marked(row: Row) -> dict[str, list[Part]]:
    base, policy = differing(row["base_completion"], row["policy_completion"])
    return {"base_parts": base, "policy_parts": policy}


def differing(left: str, right: str) -> tuple[list[Part], list[Part]]:
    """Both texts in pieces; marked are the words that only one of them has.

    Nothing is marked in texts that are equal, too long to compare, or have little in common.
    """
    a, b = (re.findall(r"\s*\S+|\s+$", text) for text in (left, right))
    plain = [(left, False)] * bool(left), [(right, False)] * bool(right)
    if left == right or not (a and b) or max(len(a), len(b)) > MANY_WORDS:
        return plain
    # White space between words does not tell answers apart; that within an answer is kept.
    matcher = SequenceMatcher(None, [x.strip() for x in a], [x.strip() for x in b])
    if matcher.quick_ratio() < ALIKE or matcher.ratio() < ALIKE:
        return plain
    codes = matcher.get_opcodes()
    return (
        list(_pieces((a[i:j], kind != "equal") for kind, i, j, _, _ in codes)),
        list(_pieces((b[i:j], kind != "equal") for kind, _, _, i, j in codes)),
    )


def _pieces(runs: Iterable[tuple[list[str], bool]]) -> Iterator[Part]:
    """Runs of words as text; the space before a marked one is not marked."""
    for words, marked in runs:
        text = "".join(words)
        if not marked:
            yield text, False
            continue
        bare = text.lstrip()
        if space := text[: len(text) - len(bare)]:
            yield space, False
        if bare:
            yield bare, True
