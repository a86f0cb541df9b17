"""Batches: every row once, within the budget, in an order that follows from the seed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.recipes.recipe import RuntimeConfig
from models import batching
from models.batching import LengthGroups, Parts, length_batches

LENGTHS = st.lists(st.integers(0, 300), max_size=60)


@given(LENGTHS, st.integers(1, 400), st.sampled_from([batching.MOST_PADDING, 0.5, 1.0]))
def test_scoring_batches_hold_every_row_once_within_the_budget(
    lengths: list[int], budget: int, most_padding: float
) -> None:
    batches = length_batches(lengths, budget, most_padding)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert [lengths[row] for batch in batches for row in batch] == sorted(lengths, reverse=True)
    for batch in batches:
        widest = max(lengths[row] for row in batch)
        assert len(batch) * widest <= budget or len(batch) == 1
        assert all(lengths[row] >= (1 - most_padding) * widest for row in batch)


@given(LENGTHS, st.integers(1, 400))
def test_no_batch_ends_before_it_must(lengths: list[int], budget: int) -> None:
    batches = length_batches(lengths, budget)
    for batch, following in zip(batches, batches[1:], strict=False):
        widest, length = max(lengths[batch[0]], 1), lengths[following[0]]
        full = (len(batch) + 1) * widest > budget
        assert full or length < (1 - batching.MOST_PADDING) * widest


def test_the_budget_follows_from_the_device_where_the_recipe_leaves_it_open(monkeypatch) -> None:
    monkeypatch.setattr("models.devices.has_cuda", lambda: True)
    left_open, given_one = RuntimeConfig(), RuntimeConfig(token_budget=99)
    assert batching.reading_budget(left_open) == batching.READING["cuda"] == 16_384
    on_cpu = left_open.model_copy(update={"device": "cpu"})
    assert batching.reading_budget(on_cpu) == batching.READING["cpu"] == 1_024
    assert batching.sampling_budget(on_cpu) == batching.sampling_budget(left_open)
    assert batching.reading_budget(given_one) == batching.sampling_budget(given_one) == 99


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
