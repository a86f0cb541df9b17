"""Selection: rounds never share a prompt, whatever the seed."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.readers.held_out import split_prompts, without_prompts
from data.schemas import PROMPTS
from tasks.select import take_slice


def pool(n):
    return pa.Table.from_pylist(
        [
            {
                "prompt_id": f"p{i}",
                "messages": [{"role": "user", "content": f"prompt {i}"}],
                "dataset": "d",
            }
            for i in range(n)
        ],
        PROMPTS,
    )


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**31))
def test_rounds_are_disjoint_slices_of_the_pool(size, rounds, seed):
    slices = [take_slice(pool(size * rounds), size, r + 1, seed) for r in range(rounds)]
    ids = [p for part in slices for p in part["prompt_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == size * rounds


def test_an_exhausted_pool_says_what_to_change():
    with pytest.raises(InputError, match=r"round 2 needs 20 prompts in all, the pool has 15"):
        take_slice(pool(15), 10, 2, 0)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 50), st.integers(0, 99))
def test_a_split_is_a_partition(dev, test, rest, seed):
    table = pool(dev + test + rest)
    parts = split_prompts([table], dev, test, seed)
    parts["pool"] = without_prompts(table, list(parts.values()))
    ids = [p for part in parts.values() for p in part["prompt_id"].to_pylist()]
    assert sorted(ids) == sorted(table["prompt_id"].to_pylist())
    assert (len(parts["dev"]), len(parts["test"])) == (dev, test)


def test_too_few_prompts_to_hold_any_out():
    with pytest.raises(InputError, match="too few to hold out 5 \\+ 5"):
        split_prompts([pool(10)], 5, 5, 0)
