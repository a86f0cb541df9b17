"""Learning rates for a recipe that gives none: by method and size, as none suits them all.

What is published is for trainings of a thousand steps and more; a round of 1,000 prompts has about
thirty. docs/recipes.md shows the table with its sources.
"""

from typing import Literal, NamedTuple

Trained = Literal["full", "lora", "student"]


class Rates(NamedTuple):
    """Peak learning rates of models of fewer than `below` parameters."""

    below: float
    full: float
    lora: float
    student: float  # a reward model's adapter and head


TABLE = (
    Rates(50e6, full=1e-4, lora=1e-3, student=1e-3),
    Rates(500e6, full=1e-5, lora=2e-4, student=4e-4),
    Rates(3e9, full=5e-6, lora=1e-4, student=1e-4),
    Rates(15e9, full=1e-6, lora=2e-5, student=5e-5),
    Rates(float("inf"), full=5e-7, lora=1e-5, student=2e-5),
)


def learning_rate(trained: Trained, parameters: int) -> float:
    """The default rate of a model of so many parameters."""
    row = next(row for row in TABLE if parameters < row.below)
    return {"full": row.full, "lora": row.lora, "student": row.student}[trained]
