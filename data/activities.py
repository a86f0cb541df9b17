"""Activities as arrays, and how they are parted: whole scaffolds or whole targets are held out.

Compounds repeat over targets, so scaffolds are held out over all targets together: else a student
that has seen a compound at one target is asked for it at another.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.retrieval import Vectors, matrix
from data.tables import index_by, mapping

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
PARTS = ("train", "dev", "test")
FEWEST = 10  # held-out activities of a target: of fewer nothing is measured


@dataclass(frozen=True)
class Cells:
    """Activities of a part: where compound and target of each are in their tables."""

    ids: list[str]
    targets: list[str]  # names, in the order of PROTEINS
    molecule: Numbers  # (n,), rows of MOLECULES
    target: Numbers  # (n,), rows of PROTEINS
    value: Values  # (n,), pXC50
    cliff: npt.NDArray[np.bool_]  # (n,), False where nobody says

    def of(self, target: int) -> Numbers:
        """The cells of a target."""
        return np.flatnonzero(self.target == target)


def cells_of(
    activities: pa.Table, parts: pa.Table, molecules: pa.Table, proteins: pa.Table, part: str
) -> Cells:
    """The activities of a part, in the order of their table."""
    said = mapping(parts, "activity_id", "part")
    ids = activities["activity_id"].to_pylist()
    rows = [row for row, name in enumerate(ids) if said[name] == part]
    own = activities.take(pa.array(rows, pa.int64()))
    compounds, targets = index_by(molecules, "molecule_id"), index_by(proteins, "target")
    return Cells(
        own["activity_id"].to_pylist(),
        list(targets),
        np.asarray([compounds[name] for name in own["molecule_id"].to_pylist()], np.int64),
        np.asarray([targets[name] for name in own["target"].to_pylist()], np.int64),
        own["pxc50"].to_numpy(),
        np.asarray([bool(one) for one in own["cliff"].to_pylist()], bool),
    )


def target_vectors(proteins: pa.Table) -> Vectors:
    """(targets, d)."""
    return matrix(proteins["vector"])


def groups_in_parts(
    groups: Sequence[Hashable], dev: float, test: float, seed: int
) -> dict[Hashable, str]:
    """The part of each group, so that about the shares `dev` and `test` of the rows are held out.

    Args:
        groups: Of each row.

    Groups come in random order; each goes to the first of test and dev that it still fits into,
    else to the training part, so that one too large to be held out is learned from. Where the dev
    or test part would be empty it is given the smallest group of a part that has several.
    """
    sizes: dict[Hashable, int] = {}
    for one in groups:
        sizes[one] = sizes.get(one, 0) + 1
    names = sorted(sizes, key=str)
    order = np.random.default_rng(seed).permutation(len(names))
    room = {"test": round(test * len(groups)), "dev": round(dev * len(groups))}
    found: dict[Hashable, str] = {}
    for name in (names[int(place)] for place in order):
        part = next((one for one in room if sizes[name] <= room[one]), "train")
        found[name] = part
        if part in room:
            room[part] -= sizes[name]
    for part in room:
        said = list(found.values())
        spare = [name for name in found if said.count(found[name]) > 1]
        if part not in said and spare:
            found[min(spare, key=lambda name: sizes[name])] = part
    return found


def kmer_vectors(sequences: Sequence[str], k: int) -> Vectors:
    """How often each piece of k residues comes in each sequence, at length 1, (n, 20**k).

    Residues that are none of the twenty are passed over, with every piece they are in.
    """
    place = {one: number for number, one in enumerate(RESIDUES)}
    found = np.zeros((len(sequences), len(RESIDUES) ** k), np.float32)
    for row, sequence in enumerate(sequences):
        for start in range(len(sequence) - k + 1):
            numbers = [place.get(one) for one in sequence[start : start + k]]
            if None not in numbers:
                column = 0
                for number in numbers:
                    column = column * len(RESIDUES) + (number or 0)
                found[row, column] += 1
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(lengths == 0, 1, lengths), np.float32)


def ranked_lists(
    values: Values, size: int, repeats: int, span: float, rng: np.random.Generator
) -> list[Numbers]:
    """Lists of `size` places of one target's values, each the strongest first.

    So often: noise of a width of `span` is added, and what is sorted by it is cut into lists, the
    last one filled up with those before it. So a list holds near ties, and not always the same.
    None where there are fewer than `size` values. How such lists are drawn is not published; this
    is our reconstruction of "batches favour similar fitness values".
    """
    if len(values) < size:
        return []
    found = []
    for _ in range(repeats):
        order = np.argsort(values + span * (rng.random(len(values)) - 0.5), kind="stable")
        starts = [min(start, len(order) - size) for start in range(0, len(order), size)]
        for start in starts:
            one = order[start : start + size]
            found.append(one[np.argsort(-values[one], kind="stable")])
    return found
