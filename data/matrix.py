"""TSO's model matrix: the order that samplers' places presume of their answers.

Published: the newest and largest model's answer is the candidate positive, those of older or of
smaller models, and of people, complete the pairs. The partial order below is a reconstruction.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from data.recipes.methods import Matrix, Place

Axis = Literal["version", "scale", "both", "human"]
AXES: tuple[Axis, ...] = ("version", "scale", "both", "human")
SOURCE = "matrix:"  # before the axis, in the column `source` of MINED and PREFERENCES

# What became of the pairs of an axis: pairs = labelled + dropped
# = agreed + swapped + tied + inconsistent + unjudged.
FATES = (
    *("pairs", "agreed", "swapped", "tied", "inconsistent", "unjudged"),
    *("dropped", "labelled"),
)


class CellPair(NamedTuple):
    better: Place
    worse: Place
    axis: Axis


def beats(a: Place, b: Place) -> bool:
    """Whether the answer of `a` is presumed better than that of `b`.

    People beat every model. A model beats one of its family that is neither newer nor larger,
    unless both are in the same place. Irreflexive, antisymmetric and transitive.
    """
    if a.human or b.human:
        return a.human and not b.human
    return (
        a.family == b.family
        and a.version >= b.version
        and a.scale >= b.scale
        and (a.version, a.scale) != (b.version, b.scale)
    )


def axis(a: Place, b: Place) -> Axis | None:
    """What sets `a` above `b`; None where it does not beat it."""
    if not beats(a, b):
        return None
    if a.human:
        return "human"
    if a.scale == b.scale:
        return "version"
    return "scale" if a.version == b.version else "both"


def maximal(cells: Sequence[Place]) -> list[Place]:
    """The cells that no model beats, of every family the newest and largest, and all people.

    People stand apart: were a model no longer maximal because people answered too, no pair of
    two models would be left.
    """
    return [cell for cell in cells if not any(beats(x, cell) for x in cells if not x.human)]


def cell_pairs(cells: Sequence[Place], config: Matrix) -> list[CellPair]:
    """The pairs of cells whose answers make a preference, in the order of `cells`.

    `config.positives` says which cells may give the chosen answer, `config.axes` what chosen and
    rejected may differ in.
    """
    positives = {
        "maximal": maximal(cells),
        "any": list(cells),
        "human": [cell for cell in cells if cell.human],
    }[config.positives]
    found = ((a, b, axis(a, b)) for a in positives for b in cells)
    return [CellPair(a, b, way) for a, b, way in found if way is not None and way in config.axes]


def best_placed_first(cells: Sequence[Place]) -> list[int]:
    """Positions of the cells such that whoever beats another comes before it."""

    def rank(position: int) -> tuple[bool, float, float]:
        cell = cells[position]
        return (not cell.human, -cell.version, -cell.scale)

    return sorted(range(len(cells)), key=rank)


def axis_of(source: str) -> str:
    """The axis in a pair's `source`, "matrix:version" for "version"."""
    return source.removeprefix(SOURCE)


def by_axis(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """{axis: {fate: n}} of the flat counts of `correct`, "version_swapped" and so on.

    They are flat in the artifact, so that those of shards add up. Axes without pairs are left out.
    """
    found = {way: {fate: counts.get(f"{way}_{fate}", 0) for fate in FATES} for way in AXES}
    return {way: fates for way, fates in found.items() if fates["pairs"]}


def axis_counts() -> Iterator[str]:
    """The names of the flat counts."""
    return (f"{way}_{fate}" for way in AXES for fate in FATES)
