"""Prompts by columns: their turns side by side, for what is asked of a million of them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_AT_A_TIME = 2**16  # prompts
_SIGN = r"[\pL\pN\pP\pS]"  # none of which is white space


class Turns(NamedTuple):
    """The turns of some prompts in a row, one after the other."""

    first: int  # which of the table's prompts the first is
    sizes: Ints  # turns of each prompt
    roles: pa.StringArray
    contents: pa.StringArray

    def coded_roles(self) -> tuple[list[str], Ints]:
        """The roles that there are, and the number of each turn's among them."""
        coded = self.roles.dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)

    def of_any(self, turns: Bools) -> Bools:
        """Of each prompt whether it holds of any of its turns."""
        return np.asarray(self.sums(turns.astype(np.int64)) > 0)

    def sums(self, turns: Ints) -> Ints:
        """The sum over each prompt's turns."""
        ends = np.cumsum(self.sizes)
        before = np.concatenate([[0], np.cumsum(turns)])
        return np.asarray(before[ends] - before[ends - self.sizes])

    def groups(self, codes: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Every sequence of codes, one a turn, and the prompts of that sequence."""
        starts = np.cumsum(self.sizes) - self.sizes
        for size in np.unique(self.sizes).tolist():
            rows = np.flatnonzero(self.sizes == size)
            table = codes[starts[rows][:, None] + np.arange(size)]
            kinds, which, counts = np.unique(table, axis=0, return_inverse=True, return_counts=True)
            order = rows[np.argsort(which.reshape(-1), kind="stable")]
            yield from zip(kinds, np.split(order, np.cumsum(counts)[:-1]), strict=True)


def turns_of(prompts: pa.Table) -> Iterator[Turns]:
    """The turns of the column "messages", some prompts at a time."""
    first = 0
    for batch in prompts.select(["messages"]).to_batches(max_chunksize=_AT_A_TIME):
        sizes = batch["messages"].value_lengths().to_numpy(zero_copy_only=False)
        flat = batch["messages"].flatten()
        yield Turns(first, sizes.astype(np.int64), flat.field("role"), flat.field("content"))
        first += len(batch)


def holding(texts: pa.StringArray, sought: Iterable[str]) -> Bools:
    """Which of the texts hold one of these."""
    signs = ("".join(map(_escaped, one)) for one in sorted(sought, key=len))
    pattern = "|".join(filter(None, signs))
    return _matching(texts, pattern) if pattern else np.zeros(len(texts), bool)


def with_a_sign(texts: pa.StringArray) -> Bools:
    """Which of the texts are surely more than white space."""
    return _matching(texts, _SIGN)


def _matching(texts: pa.StringArray, pattern: str) -> Bools:
    found = pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
    return np.asarray(found.astype(bool))


def _escaped(sign: str) -> str:
    return sign if sign.isalnum() else f"\\x{{{ord(sign):x}}}"
