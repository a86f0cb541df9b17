"""How many rows a stage that has not run can give at most, and what it must count to be one.

For a plan alone: `flows.planning.plan` puts stand-ins in place of artifacts that are not there yet.
They are of the best case, in which every completion is usable and every prompt gives its pairs.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from data.matrix import cell_pairs
from data.store.artifacts import Artifact
from tasks.running.outside import External

Inputs = Mapping[str, Any]
Counts = Mapping[str, int]  # rows of what the recipe names, by stage or field, as preflight read it

_PAIRS = {"top2_bottom2": 2}  # of a prompt at most, by the rule that makes them; others: 1

_NOTHING_LOST = dict.fromkeys(
    ("empty", "truncated", "unscored", "duplicate", "no_candidates", "tied"), 0
)
_ALL_KEPT = dict.fromkeys(
    ("swapped", "teacher_tied", "inconsistent", "unjudged", "dropped_disagreement")
    + ("below_margin", "kept_unsure", "reused", "teacher_calls"),
    0,
)


def rows(name: str) -> Callable[[Inputs], int]:
    """Rows of the artifact that is the input `name`."""
    return lambda inputs: inputs[name].rows or 0


def _split(inputs: Inputs) -> int:
    sizes = {"dev": inputs["dev_size"], "test": inputs["test_size"]}
    rest = (inputs["pool"].rows or 0) - sum(sizes.values())
    return int(sizes.get(inputs["part"], max(0, rest)))


def _pair_up(inputs: Inputs) -> int:
    config = inputs["config"]
    each = len(cell_pairs(inputs["places"], config))
    return (inputs["prompts"].rows or 0) * (min(each, config.per_prompt or each))


_ROWS: dict[str, Callable[[Inputs], int]] = {
    "world_prompts": lambda inputs: int(inputs["size"]),
    "teacher_preferences": lambda inputs: int(inputs["pairs"]),
    "student_preferences": lambda inputs: int(inputs["pairs"]),
    "people": rows("prompts"),
    "without": rows("pool"),
    "split": _split,
    "select": lambda inputs: int(inputs["size"]),
    "choose": lambda inputs: ceil(inputs["config"].share * (inputs["prompts"].rows or 0)),
    "generate": lambda inputs: (inputs["prompts"].rows or 0) * inputs["k"],
    "read_cell": rows("prompts"),
    "score": rows("completions"),
    "score_by_length": rows("completions"),
    "pair_up": _pair_up,
    "pick": rows("prompts"),
    "relabel": rows("mined"),
    "take_order": rows("mined"),
    "keep_order": rows("mined"),
    "correct": rows("mined"),
    "relabel_recorded": rows("mined"),
    "renew_scores": rows("old"),
    "renew_preferences": lambda inputs: rows("old")(inputs) + rows("new")(inputs),
    "sample_earlier": lambda inputs: sum(table.rows or 0 for table in inputs["earlier"]),
    "reference": rows("preferences"),
    "evaluate": rows("prompts"),
    "hold_out": rows("prompts"),
    "candidates": rows("completions"),
    "pair_table": rows("preferences"),
}


def most_rows(stage: str, inputs: Inputs, known: Counts, asked: int) -> int | None:
    """Rows of what the stage will give at most; None: it gives no table, or nobody knows.

    Args:
        known: Rows of the files that the recipe names.
        asked: Prompts of the completions among the inputs.
    """
    source = inputs.get("source")
    if stage == "mine":
        return asked * _PAIRS.get(inputs["config"].pairs, 1)
    if stage in _ROWS:
        return _ROWS[stage](inputs)
    field = source.field if isinstance(source, External) else stage
    return known.get(field)


def best_case(stage: str, kind: str, inputs: Inputs, most: int, asked: int) -> dict[str, Any]:
    """Counts of a stage as if nothing were lost, so that the flow can go on."""
    if kind == "mined":
        completions = inputs["completions"]
        tables = completions if isinstance(completions, list) else [completions]
        prompts = inputs["prompts"].rows if "prompts" in inputs else asked
        usable = sum(table.rows or 0 for table in tables)
        return _NOTHING_LOST | {"usable": usable, "paired": prompts, "mined": most}
    if kind == "preferences":
        return _ALL_KEPT | {"agreed": most, "labelled": most}
    others: dict[str, dict[str, Any]] = {
        "import_prompts": {"read": most, "duplicate": 0},
        "try_vllm": {"reason": ""},
        "gate": {"adopted": True},
        "agreement": {"agreement": None},
    }
    return others.get(stage, {})


def unknown(inputs: Any, is_stand_in: Callable[[Artifact], bool]) -> bool:
    """Whether something among a stage's arguments, in lists too, is not there yet."""
    if isinstance(inputs, list | tuple):
        return any(unknown(item, is_stand_in) for item in inputs)
    return isinstance(inputs, Artifact) and is_stand_in(inputs)
