"""What the monitor measures, on literal rows and a literal log of a training."""

import pyarrow as pa
import pytest

from data.schemas import COMPLETIONS, SCORES
from tasks.watch import at_equal_length, longer, of_training, rated, wins

META = {
    "metrics": {"rewards/margins": 0.8, "rewards/chosen": -0.1, "logps/chosen": -35.0},
    "history": {
        "step": [1, 2, 3, 4, 5],
        "rewards/chosen": [0.0, -0.2, -0.1, -0.3, -0.4],
        "rewards/rejected": [0.0] * 5,
    },
}


def scores(*rows):
    table = [{"completion_id": f"{p}/{i}", "prompt_id": p, "reward": r}
             for i, (p, r) in enumerate(rows)]  # fmt: skip
    return pa.Table.from_pylist(table, SCORES)


def lengths(*rows):
    table = [{"completion_id": f"{p}/{i}", "prompt_id": p, "sample": i, "completion": "x",
              "finish_reason": "stop", "n_tokens": n, "token_ids": [1] * n}
             for i, (p, n) in enumerate(rows)]  # fmt: skip
    return pa.Table.from_pylist(table, COMPLETIONS)


def test_the_log_of_a_training_gives_margin_and_likelihood_in_nats():
    found = of_training(META, beta=0.1)
    assert found["margin"] == pytest.approx(8.0)
    # -35 nats at the end with a log-ratio of -1: 34 under the reference.
    assert found["grid"]["step"] == [1, 2, 4, 5]
    assert found["grid"]["value"] == pytest.approx([34, 36, 34 + 2, 38])


@pytest.mark.parametrize("lacking", ["metrics", "history"])
def test_a_log_that_lacks_it_gives_no_likelihood(lacking):
    assert "grid" not in of_training({k: v for k, v in META.items() if k != lacking}, beta=0.1)


def test_every_answer_is_compared_with_every_one_of_the_bases():
    base = scores(("a", 1.0), ("a", 3.0), ("b", 0.0), ("b", None))
    policy = scores(("a", 2.0), ("a", 3.0), ("b", 1.0), ("b", 1.0))
    assert wins(base, policy) == {"a": (1 + 0 + 1 + 0.5) / 4, "b": (1 + 1 + 0.5 + 0.5) / 4}


def test_lengths_are_means_of_a_prompts_answers():
    found = longer(lengths(("a", 2), ("a", 4), ("b", 1)), lengths(("a", 5), ("a", 5), ("b", 1)))
    assert found == {"a": 2.0, "b": 0.0}


def test_data_sets_count_the_same_and_equal_outcomes_leave_half_a_prompt_in_doubt():
    datasets = {"a": "x", "b": "x", "c": "x", "d": "y"}
    found = rated(datasets, {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0})
    assert found == {"win_rate": 0.5, "error": 0.125, "n": 4}


def test_wins_by_length_alone_are_gone_at_equal_length():
    prompts = [f"p{i}" for i in range(60)]
    datasets = dict.fromkeys(prompts, "x")
    apart = {prompt: float(i % 7 - 2) for i, prompt in enumerate(prompts)}  # longer on average
    won = {prompt: 1.0 if apart[prompt] > 0 else 0.0 if apart[prompt] < 0 else 0.5
           for prompt in prompts}  # fmt: skip
    assert rated(datasets, won)["win_rate"] > 0.6
    found = at_equal_length(datasets, won, apart)["equal_length"]
    assert found["win_rate"] == pytest.approx(0.5, abs=0.1) and found["error"] > 0


def test_where_all_answers_grew_alike_length_cannot_be_told_from_quality():
    assert at_equal_length({"a": "x", "b": "x"}, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0}) == {}
