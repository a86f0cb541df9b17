"""What `tsalign init --world` writes: a recipe of the embedded world, for who has no models yet."""

from typing import Any

from data.recipes.recipe import SMALL, WORLD

Values = dict[str, Any]  # of a recipe, by dotted field
Reasons = dict[str, str]  # of values that were derived, by dotted field

# The embedded world, at the scale of recipes/tunnel.yaml, whose bootstrap it shares.
_WORLD: Values = {
    "world.lessons": 36_000,
    "world.policy_examples": 9_000,
    "world.teacher_lessons": 24_000,
    "world.student_pairs": 400,
    "world.prompts": 6_000,
    "prompts.per_round": 500,
    "prompts.max_tokens": 64,
    "generate.k": 8,
    "generate.max_tokens": 40,
    "policy.method": "full",
    "policy.learning_rate": 1e-4,
    "policy.epochs": 2,
    "policy.batch_size": 16,
    "policy.sft_weight": 1.0,
    "policy.reference": "initial",
    "policy.max_length": 96,
    "evaluate.judge": "oracle",
    "evaluate.temperature": 1.0,
}
_WORLD_STUDENT: Values = {
    "teacher.min_margin": 0.5,
    "policy.best_pairs": 0.4,
    "mine.pairs": "top2_bottom2",
    "student.learning_rate": 5e-4,
    "student.epochs": 2,
    "student.batch_size": 16,
    "student.max_length": 96,
    "student.replay": 0.7,
    "policy.replay": "all",
}
WORLD_REASONS: Reasons = {
    "world.lessons": "Sizes of what is made before the first round, in minutes on two CPU cores, "
    "once per store (docs/world.md).",
    "evaluate.judge": "The exact oracle of the embedded world; the loop itself never asks it.",
    "evaluate.temperature": "As in generation; the gain is smaller at lower ones.",
    "policy.sft_weight": "Meant to keep the chosen answers likely.",
}


# Distillation there: the policy is the small one, and has no pairs.
_WORLD_DISTILLED: Values = {
    "policy.model": SMALL,
    "generate.k": 1,
    "policy.learning_rate": 1e-3,
}
_OF_PAIRS = ("policy.sft_weight", "policy.reference")


def of_the_world(method: str, judge: str | None) -> Values:
    """The values of a recipe that runs a method there."""
    values: Values = {"rounds": 2} | _WORLD
    if judge:
        values["evaluate.judge"] = judge
    if method == "opd":
        values |= _WORLD_DISTILLED
        values = {name: value for name, value in values.items() if name not in _OF_PAIRS}
    if method == "ts-align":
        values |= _WORLD_STUDENT
    if method == "tso":
        values |= {"rounds": 4, "prompts.per_round": 250, "evaluate.every": 2}
        values |= {"policy.reference": "previous", "teacher.min_margin": 0.5}
        smaller: Values = {"name": "smaller", "model": SMALL, "scale": 0.14}
        people: Values = {"name": "people", "model": WORLD, "human": True}
        values["matrix.cells"] = [*policy_cells(0.86), smaller, people]
    return values


def policy_cells(scale: float) -> list[Values]:
    """The policy's own cells of a matrix."""
    newest: Values = {"name": "newest", "model": "policy", "scale": scale}
    return [newest, newest | {"name": "older", "version": -1}]
