"""Rules that make pairs of a prompt's completions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.recipes.recipe import MineConfig
from tasks.distill import earlier_sample
from tasks.mine import RULES, mine_pairs
from tests.tasks.test_mine import tables


def mined(rewards, seed=0, texts=None, **config):
    table, counts = mine_pairs(*tables(rewards, texts), MineConfig(**config), seed)
    return [(row["best_id"], row["worst_id"]) for row in table.to_pylist()], table, counts


def test_two_from_the_top_against_two_from_the_bottom():
    pairs, table, counts = mined([0.0, 3.0, 1.0, 2.0], pairs="top2_bottom2")
    assert pairs == [("p/1", "p/0"), ("p/3", "p/2")]
    assert counts["mined"] == 2 and counts["paired"] == 1
    assert set(table["source"].to_pylist()) == {"top2_bottom2"}
    assert mined([0.0, 3.0, 1.0], pairs="top2_bottom2")[0] == [("p/1", "p/0")]


def test_the_best_against_any_other():
    rewards = [0.0, 3.0, 1.0, 2.0]
    found = {mined(rewards, seed, pairs="best_random")[0][0] for seed in range(30)}
    assert found == {("p/1", "p/0"), ("p/1", "p/2"), ("p/1", "p/3")}
    assert len({mined(rewards, seed)[0][0] for seed in range(5)}) == 1


def test_a_length_penalty_takes_from_the_long():
    texts = ["long " * 40, "short", "bad"]  # 200, 5 and 3 characters
    assert mined([1.5, 1.0, 0.0], texts=texts)[0] == [("p/0", "p/2")]
    pairs, table, _ = mined([1.5, 1.0, 0.0], texts=texts, length_penalty=1.0)
    assert pairs == [("p/1", "p/0")]
    assert table["best_reward"].to_pylist() == pytest.approx([0.95])
    assert table["worst_reward"].to_pylist() == pytest.approx([-0.5])


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=8),
    st.sampled_from(sorted(RULES)),
    st.floats(0, 2),
    st.integers(0, 3),
)
def test_every_prompt_and_pair_is_counted_once(rewards, rule, margin, seed):
    pairs, table, counts = mined(rewards, seed, pairs=rule, min_margin=margin)
    assert counts["no_candidates"] + counts["tied"] + counts["paired"] == 1
    assert counts["mined"] == len(pairs)
    used = [name for pair in pairs for name in pair]
    assert len(used) == len(set(used))
    for row in table.to_pylist():
        assert row["best_reward"] - row["worst_reward"] > margin


def test_a_replay_share_is_a_share_of_all():
    (earlier, _) = tables([0.0] * 20)
    assert len(earlier_sample([earlier], 10, 0.5, seed=0)) == 10
    assert len(earlier_sample([earlier], 6, 0.25, seed=0)) == 2
    assert len(earlier_sample([earlier], 90, 0.5, seed=0)) == 20  # no more than there are
    assert earlier_sample([earlier], 5, 0.5, 1) == earlier_sample([earlier], 5, 0.5, 1)
