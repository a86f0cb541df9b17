"""Relabelling: the teacher's word against the student's, and what is dropped."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.recipes.recipe import TeacherConfig
from data.schemas import MINED, PREFERENCES, PROMPTS
from tasks.relabel import best_of_each, order_pairs
from tests.models.training.training_rows import preferences

PROMPT = pa.Table.from_pylist(
    [{"prompt_id": "p", "messages": [{"role": "user", "content": "Hi"}], "dataset": "d"}], PROMPTS
)
PAIR = pa.Table.from_pylist(
    [
        {
            "prompt_id": "p",
            "source": "best_worst",
            "best_model": "policy",
            "worst_model": "policy",
            "best_id": "b",
            "worst_id": "w",
            "best_completion": "best",
            "worst_completion": "worst",
            "best_token_ids": [1, 2],
            "worst_token_ids": None,
            "best_reward": 1.0,
            "worst_reward": 0.0,
        }
    ],
    MINED,
)


def relabel(best, worst, **config):
    config = TeacherConfig(**config)
    rewards = {"b": best, "w": worst}
    table, counts = order_pairs(PAIR, PROMPT, rewards, config, 2)
    return table.to_pylist(), {name: n for name, n in counts.items() if n}


def test_the_students_order_stands_where_the_teacher_agrees():
    rows, counts = relabel(3.0, 1.0)
    assert rows == [
        {
            "pair_id": "b>w",
            "prompt_id": "p",
            "messages": [{"role": "user", "content": "Hi"}],
            "dataset": "d",
            "chosen": "best",
            "rejected": "worst",
            "chosen_token_ids": [1, 2],
            "rejected_token_ids": None,
            "chosen_id": "b",
            "rejected_id": "w",
            "chosen_model": "policy",
            "rejected_model": "policy",
            "source": "best_worst",
            "margin": 2.0,
            "chosen_reward": 3.0,
            "weight": 1.0,
            "swapped": False,
            "round": 2,
        }
    ]
    assert counts == {"agreed": 1, "labelled": 1}


def test_a_disagreement_swaps_the_pair():
    rows, counts = relabel(1.0, 3.0)
    assert (rows[0]["chosen"], rows[0]["rejected"]) == ("worst", "best")
    assert (rows[0]["chosen_token_ids"], rows[0]["rejected_token_ids"]) == (None, [1, 2])
    assert rows[0]["swapped"] and rows[0]["margin"] == 2.0
    assert counts == {"swapped": 1, "labelled": 1}


@pytest.mark.parametrize(
    "rewards, config, counted",
    [
        ((1.0, 1.0), {}, {"teacher_tied": 1}),
        ((1.0, 3.0), {"on_disagreement": "drop"}, {"swapped": 1, "dropped_disagreement": 1}),
        ((1.2, 1.0), {"min_margin": 0.5}, {"agreed": 1, "below_margin": 1}),
        ((1.0, 1.2), {"min_margin": 0.5}, {"swapped": 1, "below_margin": 1}),
    ],
)
def test_what_is_dropped_is_counted(rewards, config, counted):
    assert relabel(*rewards, **config) == ([], counted)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 2), st.sampled_from(["swap", "drop"]))
def test_every_mined_pair_has_exactly_one_fate(best, worst, min_margin, on_disagreement):
    rows, counts = relabel(best, worst, min_margin=min_margin, on_disagreement=on_disagreement)
    fates = ("teacher_tied", "dropped_disagreement", "below_margin", "labelled")
    assert sum(counts.get(name, 0) for name in fates) == 1
    assert len(rows) == counts.get("labelled", 0)


def rewarded(sets, rewards):
    rows = [
        row | {"dataset": name, "chosen_reward": reward, "pair_id": str(number)}
        for number, (row, name, reward) in enumerate(
            zip(preferences(len(sets)).to_pylist(), sets, rewards, strict=True)
        )
    ]
    return pa.Table.from_pylist(rows, PREFERENCES)


def test_of_each_data_set_the_policy_learns_the_pairs_with_the_best_chosen_answer():
    table = rewarded("aababbbb", [3.0, 1.0, -9.0, 2.0, -1.0, -2.0, -1.0, -3.0])
    assert best_of_each(table, 0.4)["pair_id"].to_pylist() == ["0", "3", "4", "6"]
    assert best_of_each(table, 1.0).equals(table)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 2)), max_size=40),
    st.floats(0.01, 1),
)
def test_no_data_set_is_without_pairs_and_none_left_out_is_better(pairs, share):
    table = rewarded([name for name, _ in pairs], [float(reward) for _, reward in pairs])
    kept = set(best_of_each(table, share)["pair_id"].to_pylist())
    for name in {name for name, _ in pairs}:
        mine = {str(i): reward for i, (of, reward) in enumerate(pairs) if of == name}
        learnt = [reward for id_, reward in mine.items() if id_ in kept]
        left = [reward for id_, reward in mine.items() if id_ not in kept]
        assert len(learnt) == math.ceil(share * len(mine) - 1e-9)
        assert not left or max(left) <= min(learnt)


def test_pairs_without_a_reward_have_no_best():
    with pytest.raises(InputError, match="policy.best_pairs: the labels are without"):
        best_of_each(rewarded("a", [None]), 0.5)
