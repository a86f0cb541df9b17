"""The best of n: which answer of a prompt is picked, and what is counted."""

import pyarrow as pa
import pytest

from data.errors import CardinalityError
from data.recipes.fine_tuning import PickConfig
from data.schemas import COMPLETIONS, DEMONSTRATIONS, PROMPTS, SCORES
from tasks.pick import COUNTS, pick_rows

MESSAGES = [{"role": "user", "content": "Hello?"}]


def tables(rewards, texts=None, reasons=None):
    """One prompt per list of rewards, its answers in order."""
    prompts, completions, scores = [], [], []
    for p, row in enumerate(rewards):
        prompts.append({"prompt_id": f"p{p}", "messages": MESSAGES, "dataset": "d"})
        for s, reward in enumerate(row):
            text = texts[p][s] if texts else f"answer {s}"
            of_id = {"completion_id": f"p{p}/{s}", "prompt_id": f"p{p}"}
            reason = reasons[p][s] if reasons else "stop"
            rest = {"sample": s, "completion": text, "finish_reason": reason, "n_tokens": 2}
            completions.append(of_id | rest | {"token_ids": [s, 9]})
            scores.append(of_id | {"reward": reward})
    return (
        pa.Table.from_pylist(prompts, PROMPTS),
        pa.Table.from_pylist(completions, COMPLETIONS),
        pa.Table.from_pylist(scores, SCORES),
    )


def picked(*given, **config):
    table, counts = pick_rows(*given, PickConfig(**config))
    assert table.schema == DEMONSTRATIONS
    return table.to_pylist(), counts


def test_the_best_answer_is_picked_with_its_tokens():
    rows, counts = picked(*tables([[0.1, 0.9, 0.5]]))
    assert rows == [
        {
            "prompt_id": "p0",
            "messages": MESSAGES,
            "dataset": "d",
            "completion_id": "p0/1",
            "completion": "answer 1",
            "token_ids": [1, 9],
            "reward": 0.9,
        }
    ]
    assert counts["reward_of_picked"] == 0.9
    assert counts["reward_of_usable"] == pytest.approx(0.5)


def test_of_equally_good_answers_the_lowest_sample_is_picked():
    ((row,), _) = picked(*tables([[0.1, 0.9, 0.9]]))
    assert row["completion_id"] == "p0/1"


def test_every_answer_and_every_prompt_is_counted_once():
    rewards = [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, None, 2.0], [5.0, 6.0, 7.0]]
    texts = [["a", "b", "c"], ["a", "b", "c"], ["a", "b", " "], ["a", "a", "c"]]
    reasons = [["stop", "length", "stop"]] * 4
    given = tables(rewards, texts, reasons)
    rows, counts = picked(*given)
    answers = ("usable", "empty", "truncated", "unscored", "duplicate")
    assert sum(counts[name] for name in answers) == 12
    assert counts["picked"] + counts["tied"] + counts["no_candidates"] == 4
    assert [row["completion_id"] for row in rows] == ["p0/2", "p3/2"]
    assert (counts["tied"], counts["no_candidates"]) == (1, 1)
    assert set(COUNTS) < set(counts)
    whole, kept = picked(*given, drop_truncated=False)
    assert kept["truncated"] == 0 and kept["unscored"] == 1 and kept["duplicate"] == 1


def test_a_margin_leaves_out_what_the_scorer_hardly_tells_apart():
    rewards = [[0.0, 0.3], [0.0, 0.5], [0.0, 0.8]]
    rows, counts = picked(*tables(rewards), min_margin=0.5)
    assert [row["prompt_id"] for row in rows] == ["p2"] and counts["tied"] == 2


def test_without_a_pick_there_is_no_mean():
    rows, counts = picked(*tables([[1.0, 1.0]]))
    assert rows == [] and counts["reward_of_picked"] is None is counts["reward_of_usable"]


def test_scores_of_other_answers_are_refused():
    prompts, completions, scores = tables([[1.0, 2.0]])
    with pytest.raises(CardinalityError):
        pick_rows(prompts, completions, scores.slice(1), PickConfig())
