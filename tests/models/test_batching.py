"""Batches: every row once, within the budget, in an order that follows from the seed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batching import LengthGroups, Parts, length_batches

LENGTHS = st.lists(st.integers(0, 300), max_size=60)


@given(LENGTHS, st.integers(1, 400))
def test_scoring_batches_hold_every_row_once_within_the_budget(
    lengths: list[int], budget: int
) -> None:
    batches = length_batches(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= budget or len(batch) == 1


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_training_order_holds_every_row_once_in_every_epoch(
    lengths: list[int], batch_size: int, epoch: int
) -> None:
    order = LengthGroups(lengths, batch_size, seed=1)
    order.set_epoch(epoch)
    assert sorted(order) == list(range(len(lengths)))


def test_training_order_follows_from_seed_and_epoch() -> None:
    lengths = [7 * i % 50 for i in range(100)]

    def rows(seed: int, epoch: int) -> list[int]:
        order = LengthGroups(lengths, 8, seed)
        order.set_epoch(epoch)
        return list(order)

    assert rows(0, 0) == rows(0, 0)
    assert rows(0, 0) != rows(0, 1)
    assert rows(0, 0) != rows(1, 0)


def test_rows_of_a_batch_are_of_similar_length() -> None:
    lengths = [37 * i % 101 for i in range(1000)]
    order = list(LengthGroups(lengths, 10, seed=0))
    spread = [
        max(lengths[r] for r in order[i : i + 10]) - min(lengths[r] for r in order[i : i + 10])
        for i in range(0, 1000, 10)
    ]
    assert sum(spread) / len(spread) < 15  # of 100; about 82 for rows drawn at random


def test_short_batch_is_no_choice_of_long_or_short_rows() -> None:
    lengths = list(range(1003))
    last = [list(LengthGroups(lengths, 10, seed))[-3:] for seed in range(40)]
    assert 350 < sum(map(sum, last)) / 120 < 650


@pytest.mark.parametrize("size", [0, 1, 3, 8, 100])
def test_shares_of_the_parts_add_up(size: int) -> None:
    parts = Parts(lambda rows: {"rows": rows}, size, lambda row: row["n"])(
        [{"n": i} for i in range(8)]
    )
    n_parts = math.ceil(8 / (size or 8))
    assert [len(parts[key]) for key in ("parts", "row_shares", "token_shares")] == [n_parts] * 3
    assert sum(parts["row_shares"]) == pytest.approx(1)
    assert sum(parts["token_shares"]) == pytest.approx(1)
    assert [row for part in parts["parts"] for row in part["rows"]] == [{"n": i} for i in range(8)]
