"""What an instruction is once it is drawn, and how numbers are said in it."""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple


class Drawn(NamedTuple):
    """An instruction: its arguments as its checker takes them, and how it is said."""

    kwargs: dict[str, Any]
    text: str


Words = frozenset[str]  # that the task, or another instruction, has already
Draw = Callable[[Random, Words, str], Drawn]  # the last: the task's text

NUMBERS = dict(enumerate("zero one two three four five six seven eight nine ten".split()))
RELATIONS = ("at least", "less than")


def number(rng: Random, n: int) -> str:
    return NUMBERS[n] if n in NUMBERS and rng.random() < 0.5 else str(n)
