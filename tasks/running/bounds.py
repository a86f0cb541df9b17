"""How many rows a stage that has not run can give at most, and what it must count to be one.

For plans, and for what is measured of a run. `flows.planning.plan` puts stand-ins in place of
artifacts that are not there yet. They are of the best case, in which every completion is usable and
every prompt gives its pairs.
"""

from collections.abc import Callable, Mapping
from typing import Any

from data.store.artifacts import Artifact
from tasks.running.definition import Definition
from tasks.running.outside import External

Inputs = Mapping[str, Any]
# Rows of what the recipe names, as preflight read it: by field, by stage, or by stage and part.
Counts = Mapping[str, int]

_NOTHING_LOST = dict.fromkeys(
    ("empty", "truncated", "unscored", "duplicate", "no_candidates", "tied"), 0
)
_ALL_KEPT = dict.fromkeys(
    ("swapped", "teacher_tied", "inconsistent", "unjudged", "dropped_disagreement")
    + ("below_margin", "kept_unsure", "reused", "teacher_calls"),
    0,
)


class BestCase(dict[str, Any]):
    """Counts of a stage as if nothing were lost: what is not named is 0."""

    def __missing__(self, name: str) -> int:
        return 0


class _NobodyKnowsError(Exception):
    """A bound depends on a table whose rows nobody knows."""


class _Told(dict[str, Any]):
    """Inputs of a call, of which a bound may read those whose rows are known."""

    def __init__(self, inputs: Inputs, is_vague: Callable[[Artifact], bool]) -> None:
        super().__init__(inputs)
        self._is_vague = is_vague

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if among(value, self._is_vague):
            raise _NobodyKnowsError
        return value


def most_rows(
    stage: Definition, inputs: Inputs, known: Counts, is_vague: Callable[[Artifact], bool]
) -> int | None:
    """Rows of what the stage will give, or of what it learns from, at most; None: nobody knows.

    Args:
        known: Rows of the files that the recipe names.
        is_vague: Whether nobody knows the rows of this table.
    """
    told = _Told(inputs, is_vague)
    try:
        if stage.rows is None:
            return known.get(stage.name)
        if callable(stage.rows):
            return stage.rows(told)
        bound = told[stage.rows]
    except _NobodyKnowsError:
        return None
    if isinstance(bound, External):
        return known.get(bound.field)
    if isinstance(bound, str):
        return known.get(f"{stage.name} {bound}")
    return bound if isinstance(bound, int) else sum(table.rows or 0 for table in artifacts(bound))


def best_case(stage: Definition, inputs: Inputs, most: int, rows: int) -> BestCase:
    """Counts of a stage that gives so many rows of those it can give at most, so that the flow can
    go on: they add up, and no more is lost than these."""
    counts: dict[str, Any] = {}
    if stage.kind == "completions" and "prompts" in inputs:
        counts = {"prompts": inputs["prompts"].rows or 0}
    elif stage.kind == "mined":
        completions = artifacts(inputs.get("completions"))
        prompts = inputs["prompts"].rows if "prompts" in inputs else asked(completions)
        usable = sum(table.rows or 0 for table in completions)
        counts = _NOTHING_LOST | {"usable": usable, "paired": prompts, "mined": rows}
    elif stage.kind == "preferences":
        counts = _ALL_KEPT | {"agreed": most, "labelled": rows, "below_margin": most - rows}
    return BestCase(counts | stage.at_best)


def asked(completions: list[Artifact]) -> int:
    """Prompts that these completions answer."""
    return max((table.meta.get("prompts", 0) for table in completions), default=0)


def artifacts(inputs: Any) -> list[Artifact]:
    """The artifacts among a stage's arguments, in lists too."""
    if isinstance(inputs, list | tuple):
        return [found for one in inputs for found in artifacts(one)]
    return [inputs] if isinstance(inputs, Artifact) else []


def among(inputs: Any, is_so: Callable[[Artifact], bool]) -> bool:
    """Whether an artifact among a stage's arguments is so."""
    return any(is_so(one) for one in artifacts(inputs))
