"""Sets of bits that describe compounds: packed, compared by Tanimoto, clustered. No RDKit here.

A fingerprint of B bits is B / 8 bytes; bit number k is bit 7 - k % 8 of byte k // 8, as
`numpy.packbits` has it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Packed = npt.NDArray[np.uint8]  # (n, B / 8)
Numbers = npt.NDArray[np.int64]


def packed(column: pa.ChunkedArray) -> Packed:
    """The column `fingerprint` of MOLECULES, (n, B / 8)."""
    rows = column.to_pylist()
    width = len(rows[0]) if rows else 0
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), width)


def bits(rows: Packed) -> npt.NDArray[np.uint8]:
    """(n, B) of 0 and 1."""
    return np.unpackbits(rows, axis=1)


@dataclass(frozen=True)
class SetBits:
    """The bits that are set, without those that are not."""

    numbers: Numbers  # of bits, row after row
    begins: Numbers  # where each row begins among them, and where the last ends, (n + 1,)

    @classmethod
    def of(cls, rows: Packed) -> "SetBits":
        row, number = np.nonzero(bits(rows))
        return cls(number.astype(np.int64), np.searchsorted(row, np.arange(len(rows) + 1)))

    def take(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Numbers of the bits of these rows, one after the other, and where each begins, (n,)."""
        sizes = self.begins[rows + 1] - self.begins[rows]
        starts = np.cumsum(sizes) - sizes
        places = np.repeat(self.begins[rows] - starts, sizes) + np.arange(sizes.sum())
        return self.numbers[places], starts


def tanimoto(one: Packed, others: Packed) -> npt.NDArray[np.float64]:
    """Shared bits over bits of either, of a fingerprint (B / 8,) and each of (n, B / 8).

    Two without a bit are alike: 1.
    """
    words, word = _words(others), _words(one[None])[0]
    both = np.bitwise_count(words & word).sum(axis=1, dtype=np.int64)
    either = np.bitwise_count(words | word).sum(axis=1, dtype=np.int64)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def leaders(rows: Packed, similarity: float) -> Numbers:
    """The cluster of each row: the number of its leader's row, (n,).

    Leader clustering: the first row that has no cluster leads one, and all that have none and are
    more than `similarity` alike join it; the order of the rows decides.
    """
    found, left = np.full(len(rows), -1, np.int64), np.arange(len(rows))
    while len(left):
        near = tanimoto(rows[left[0]], rows[left]) > similarity
        near[0] = True
        found[left[near]] = left[0]
        left = left[~near]
    return found


def centroids(rows: Packed, similarity: float, number: int) -> Numbers:
    """The leaders of the `number` largest clusters, the largest first; ties by row."""
    led, counts = np.unique(leaders(rows, similarity), return_counts=True)
    return np.asarray(led[np.argsort(-counts, kind="stable")[:number]], np.int64)


def nearest(rows: Packed, to: Packed) -> Numbers:
    """Which of `to`, at least one, each row is most alike, (n,); ties: the first."""
    best, place = np.full(len(rows), -1.0), np.zeros(len(rows), np.int64)
    for number, one in enumerate(to):
        alike = tanimoto(one, rows)
        better = alike > best
        best[better], place[better] = alike[better], number
    return place


def _words(rows: Packed) -> npt.NDArray[np.uint64]:
    """The same bits, 64 to a number."""
    return np.ascontiguousarray(rows).view(np.uint64)
