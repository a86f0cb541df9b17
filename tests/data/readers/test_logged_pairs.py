import pyarrow as pa
import pytest

from data.errors import CardinalityError
from data.readers.logged import judged_only, longer_answer_scores, recorded_rewards
from data.readers.logged_pairs import (
    agreement,
    best_of,
    judged_pairs,
    of_equal_length,
    pairs_with,
    preferred,
)
from data.schemas import COMPLETIONS, JUDGMENTS


def tables(texts, rewards):
    rows = [
        {
            "completion_id": f"p-{i}",
            "prompt_id": "p",
            "sample": i,
            "completion": text,
            "finish_reason": "stop",
            "n_tokens": None,
        }
        for i, text in enumerate(texts)
    ]
    judged = [
        {"completion_id": f"p-{i}", "prompt_id": "p", "reward": reward, "judge": "j"}
        for i, reward in enumerate(rewards)
        if reward is not None
    ]
    return pa.Table.from_pylist(rows, COMPLETIONS), pa.Table.from_pylist(judged, JUDGMENTS)


def test_a_recorded_teacher_answers_for_judged_completions_only():
    completions, judgments = tables(["x", "y", "z"], [0.5, None, 0.1])
    candidates, unjudged = judged_only(completions, judgments)
    assert (candidates["completion_id"].to_pylist(), unjudged) == (["p-0", "p-2"], 1)
    assert recorded_rewards(judgments, ["p-2", "p-0"]) == {"p-2": 0.1, "p-0": 0.5}
    with pytest.raises(CardinalityError, match="'p-1': has no recorded judgment"):
        recorded_rewards(judgments, ["p-0", "p-1"])


def test_pairs_are_those_the_judge_tells_apart_and_that_differ():
    completions, judgments = tables(["xxxx", "yy", "zz", "yy", "w"], [0.9, 0.5, 0.5, 0.1, None])
    pairs = judged_pairs(completions, judgments, min_margin=0.1)
    assert {(r["better_id"], r["worse_id"], r["length_ratio"]) for r in pairs.to_pylist()} == {
        ("p-0", "p-1", 2.0),
        ("p-0", "p-2", 2.0),
        ("p-0", "p-3", 2.0),
        ("p-2", "p-3", 1.0),  # p-1 and p-3 are the same text, p-1 and p-2 the same reward
    }
    assert of_equal_length(pairs)["better_id"].to_pylist() == ["p-2"]


def test_agreement_counts_pairs_in_the_judges_order_and_ties_half():
    pairs = judged_pairs(*tables(["a", "b", "c"], [3.0, 2.0, 1.0]))
    result = agreement(pairs, {"p-0": 5.0, "p-1": 1.0, "p-2": 1.0})
    assert (result["agreement"], result["pairs"], result["ties"]) == (2.5 / 3, 3, 1)
    with pytest.raises(CardinalityError, match="has no reward"):
        agreement(pairs, {"p-0": 1.0})
    assert agreement(pairs.slice(0, 0), {})["agreement"] is None


def test_longer_answer_scores_are_lengths():
    completions, _ = tables(["abc", "", "é"], [])
    assert longer_answer_scores(completions)["reward"].to_pylist() == [3.0, 0.0, 1.0]


def test_a_pick_is_preferred_to_the_others_that_the_judge_tells_apart_from_it():
    """0.5 is better than 0.1, worse than 0.9 and tied with the other 0.5: one of two."""
    completions, judgments = tables(["a", "b", "c", "d"], [0.9, 0.5, 0.5, 0.1])
    pairs = judged_pairs(completions, judgments)
    assert len(pairs_with(pairs, {"p": "p-1"})) == 2
    found = preferred(pairs, {"p": "p-1"})
    assert (found["agreement"], found["pairs"], found["prompts"]) == (0.5, 2, 1)
    assert preferred(pairs, {"p": "p-0"})["agreement"] == 1.0
    assert preferred(pairs, {"another": "p-0"})["pairs"] == 0


def test_picks_at_random_are_preferred_in_half_of_the_pairs():
    completions, judgments = tables(["a", "b", "c", "d"], [0.9, 0.5, 0.5, 0.1])
    pairs = judged_pairs(completions, judgments)
    found = [preferred(pairs, {"p": f"p-{i}"}) for i in range(4)]
    right = sum(one["agreement"] * one["pairs"] for one in found)
    assert right / sum(one["pairs"] for one in found) == 0.5


def test_the_best_answer_has_the_highest_reward_then_the_lowest_sample():
    completions, _ = tables(["a", "b", "c"], [None] * 3)
    assert best_of(completions, {"p-0": 1.0, "p-1": 2.0, "p-2": 2.0}) == {"p": "p-1"}
