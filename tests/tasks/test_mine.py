"""Mining: which two completions of a prompt go to the teacher, and what is counted."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import CardinalityError
from data.recipes.recipe import MineConfig
from data.schemas import COMPLETIONS, SCORES
from tasks.mine import mine_pairs


def tables(rewards, texts=None, reasons=None, prompt="p"):
    n = len(rewards)
    texts = texts or [f"answer {i}" for i in range(n)]
    reasons = reasons or ["stop"] * n
    ids = [f"{prompt}/{i}" for i in range(n)]
    token_ids = [[5, 6, sample] for sample in range(n)]
    completions = pa.table(
        [ids, [prompt] * n, list(range(n)), texts, reasons, [3] * n, token_ids], schema=COMPLETIONS
    )
    return completions, pa.table([ids, [prompt] * n, rewards], schema=SCORES)


def best_and_worst(completions, scores, config):
    return mine_pairs(completions, scores, config, seed=0)


def test_best_and_worst_are_the_extremes_of_the_rewards():
    mined, counts = best_and_worst(*tables([0.1, 2.0, -3.0, 0.5]), MineConfig())
    assert mined.to_pylist() == [
        {
            "prompt_id": "p",
            "source": "best_worst",
            "best_model": "policy",
            "worst_model": "policy",
            "best_id": "p/1",
            "worst_id": "p/2",
            "best_completion": "answer 1",
            "worst_completion": "answer 2",
            "best_token_ids": [5, 6, 1],
            "worst_token_ids": [5, 6, 2],
            "best_reward": 2.0,
            "worst_reward": -3.0,
        }
    ]
    assert counts["mined"] == 1 and counts["usable"] == 4


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_outside_in_every_completion_is_in_one_pair_but_the_middle_one(n):
    mined, counts = best_and_worst(*tables(list(range(n))), MineConfig(pairs="outside_in"))
    pairs = list(
        zip(mined["best_reward"].to_pylist(), mined["worst_reward"].to_pylist(), strict=True)
    )
    assert pairs == [(n - 1 - i, i) for i in range(n // 2)] and counts["mined"] == n // 2


def test_scores_are_joined_by_id_not_by_position():
    completions, scores = tables([0.1, 2.0, -3.0])
    shuffled = scores.take(pa.array([2, 0, 1]))
    assert best_and_worst(completions, shuffled, MineConfig()) == best_and_worst(
        completions, scores, MineConfig()
    )


def test_a_missing_score_is_refused():
    completions, scores = tables([0.1, 2.0, -3.0])
    with pytest.raises(CardinalityError, match="p/2"):
        best_and_worst(completions, scores.slice(0, 2), MineConfig())


def test_empty_unfinished_and_repeated_completions_are_no_candidates():
    mined, counts = best_and_worst(
        *tables(
            [9.0, 8.0, 1.0, 2.0, 7.0],
            texts=["  ", "cut", "good", "better", "good"],
            reasons=["stop", "length", "stop", "stop", "stop"],
        ),
        MineConfig(),
    )
    assert mined["best_completion"].to_pylist() == ["better"]
    assert mined["worst_completion"].to_pylist() == ["good"]
    assert (counts["empty"], counts["truncated"], counts["duplicate"]) == (1, 1, 1)


def test_truncated_completions_may_stay_if_asked():
    mined, _ = best_and_worst(
        *tables([8.0, 1.0], reasons=["length", "stop"]), MineConfig(drop_truncated=False)
    )
    assert mined["best_id"].to_pylist() == ["p/0"]


@pytest.mark.parametrize("rewards, name", [([1.0, 1.0], "tied"), ([1.0, 1.4], "tied")])
def test_margins_at_or_below_the_minimum_are_ties(rewards, name):
    mined, counts = best_and_worst(*tables(rewards), MineConfig(min_margin=0.4))
    assert len(mined) == 0 and counts[name] == 1


def test_one_candidate_is_no_pair():
    mined, counts = best_and_worst(*tables([1.0, 2.0], texts=["same", "same"]), MineConfig())
    assert len(mined) == 0 and counts["no_candidates"] == 1


@given(
    st.lists(
        st.tuples(
            st.floats(-5, 5),
            st.sampled_from(["", "a", "b", "c d", "e"]),
            st.sampled_from(["stop", "length"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.floats(0, 2),
)
def test_every_completion_and_every_prompt_is_counted_once(rows, min_margin):
    rewards, texts, reasons = zip(*rows, strict=True)
    mined, counts = best_and_worst(
        *tables(list(rewards), list(texts), list(reasons)), MineConfig(min_margin=min_margin)
    )
    completions = ("usable", "empty", "truncated", "duplicate")
    assert sum(counts[name] for name in completions) == len(rows)
    assert counts["no_candidates"] + counts["tied"] + counts["mined"] == 1
    assert len(mined) == counts["mined"]
    for row in mined.to_pylist():
        assert row["best_reward"] - row["worst_reward"] > min_margin
        assert row["best_completion"] != row["worst_completion"]
