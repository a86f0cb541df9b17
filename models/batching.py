"""Which rows go together: scoring batches under a token budget, training batches of a fixed size.

Both put rows of similar length together, because padding is work thrown away.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from data.recipes.recipe import RuntimeConfig
from models import devices

Row = dict[str, Any]
Collator = Callable[[list[Row]], dict[str, Any]]

# What `runtime.token_budget: auto` is where a model reads. A CPU computes a token of a large batch
# no faster than of a small one, whose intermediate results stay in its caches (measured:
# docs/performance.md, benchmarks/batches.py); a GPU is to be filled (not measured).
READING = {"cpu": 1_024, "cuda": 16_384}
# And where transformers samples: a step reads all weights to add a token to each row of a batch, so
# that more rows are nearly free on either device.
SAMPLING = 16_384
MOST_PADDING = 1 / 8  # of a row in a batch; what is read together is of about one length
_GROUP = 16  # batches whose rows are sorted by length together


def reading_budget(runtime: RuntimeConfig) -> int:
    """Tokens of a batch where a model reads, padding included."""
    if runtime.token_budget == "auto":
        return READING[devices.device(runtime)]
    return runtime.token_budget


def sampling_budget(runtime: RuntimeConfig) -> int:
    """Tokens of a batch where transformers samples, padding and those to come included."""
    return SAMPLING if runtime.token_budget == "auto" else runtime.token_budget


def length_batches(
    lengths: Sequence[int], token_budget: int, most_padding: float = MOST_PADDING
) -> list[list[int]]:
    """Row numbers in batches of at most `token_budget` padded tokens, the longest rows first.

    A row longer than the budget is a batch of its own. One that would be padded by more than the
    share `most_padding` of a batch's width begins the next: that adds at most as many batches as
    the longest row can be shortened by this share until it is the shortest, thirty from 2,000
    tokens to 40. Longest first, so that a lack of memory shows at once and not after hours.
    """
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        full = batches and (len(batches[-1]) + 1) * longest > token_budget
        if not batches or full or lengths[row] < longest * (1 - most_padding):
            batches.append([])
            longest = max(lengths[row], 1)
        batches[-1].append(row)
    return batches


class LengthGroups(Sampler[int]):
    """Row numbers, reshuffled every epoch, so that the rows of one batch are of similar length.

    Rows are shuffled, sorted by length within groups of 16 batches, cut into batches, and the
    batches shuffled. The order follows from seed and epoch alone. A short batch comes last: the
    data loader cuts by count.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        # The short batch is cut off before sorting, or it would always hold the longest rows.
        n_batches = len(order) // self.batch_size
        whole, short = order[: n_batches * self.batch_size], order[n_batches * self.batch_size :]
        group = self.batch_size * _GROUP
        for start in range(0, len(whole), group):
            whole[start : start + group] = sorted(
                whole[start : start + group], key=self.lengths.__getitem__
            )
        for batch in torch.randperm(n_batches, generator=generator).tolist():
            yield from whole[batch * self.batch_size : (batch + 1) * self.batch_size]
        yield from short


class Parts:
    """Collates a batch into parts of `size` rows, with their shares of its rows and tokens.

    `n_tokens` counts the tokens of a row that a token-averaged loss averages over. Size 0: whole.

    Where several processes train, all are given the whole batch. Each has a part of its own rows,
    every `processes`-th from its `rank` on, so that all have rows of like length. All have as many
    parts of as many rows, because they wait for each other at every one; so rows that do not go
    round are a part that all of them have, and each has its share in.
    """

    rank, processes = 0, 1

    def __init__(self, collate: Collator, size: int, n_tokens: Callable[[Row], int]) -> None:
        self.collate, self.size, self.n_tokens = collate, size, n_tokens

    def cut(self, n_rows: int) -> list[tuple[list[int], int]]:
        """The rows of each part, by number, and how many processes have the same part."""
        whole = n_rows - n_rows % self.processes
        size = self.size or max(whole // self.processes, 1)
        own = _chunks(range(self.rank, whole, self.processes), size)
        left = _chunks(range(whole, n_rows), size)
        return [(part, 1) for part in own] + [(part, self.processes) for part in left]

    def __call__(self, rows: list[Row]) -> dict[str, list[Any]]:
        total = max(sum(map(self.n_tokens, rows)), 1)
        parts = [([rows[i] for i in part], shared) for part, shared in self.cut(len(rows))]
        return {
            "parts": [self.collate(part) for part, _ in parts],
            "row_shares": [len(part) / shared / len(rows) for part, shared in parts],
            "token_shares": [
                sum(map(self.n_tokens, part)) / shared / total for part, shared in parts
            ],
        }


def _chunks(numbers: range, size: int) -> list[list[int]]:
    return [list(numbers[start : start + size]) for start in range(0, len(numbers), size)]
