"""Reward functions that come with this project, by the names that recipes have for them.

Each is `f(prompts, completions, **columns) -> list[float | None]`, as TRL's trainers call them:
`prompts` and `completions` are lists of message lists, every column a list of the same length.
None: the function does not apply to that row.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from data.instructed.checkers import PACKAGES


class Shipped(NamedTuple):
    """Where a function is, and what of a prompt file it reads."""

    module: str
    function: str
    version: str  # of what it gives, in the keys of its results: bumped by hand
    needs: tuple[str, ...] = ()  # columns without which it cannot judge
    uses: tuple[str, ...] = ()  # columns that it reads where they are there
    # Modules outside of tsalign's own requirements, and the package of each.
    imports: Mapping[str, str] = MappingProxyType({})


SHIPPED: dict[str, Shipped] = {
    "exact-answer": Shipped("data.reward_functions.exact_answer", "exact_answer", "1", ("answer",)),
    "instructions": Shipped(
        "data.reward_functions.instructions",
        "instructions",
        "1",
        ("instruction_id_list", "kwargs"),
        imports=PACKAGES,
    ),
    "length-band": Shipped(
        "data.reward_functions.length_band",
        "length_band",
        "1",
        uses=("min_words", "max_words"),
    ),
}
