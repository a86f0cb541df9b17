"""The reader on real recordings, against figures known beforehand."""

import numpy as np
import pyarrow.compute as pc
import pytest

from data.readers.logged import held_out_split, judged_only, longer_answer_scores, read_logged
from data.readers.logged_pairs import agreement, judged_pairs, of_equal_length
from data.recipes.recipe import LoggedConfig
from data.tables import assert_same_ids, mapping
from tests.repository import SHARED

REAL = SHARED / "realdata/rewardbench_bon16"
pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the recorded AlpacaEval samples in ../shared/realdata"
)


@pytest.fixture(scope="module")
def recorded():
    config = LoggedConfig(
        format="alpaca_eval", completions=str(REAL / "samples"), judgments=str(REAL / "judged")
    )
    return read_logged(config)


def test_the_judged_win_rates_of_the_recorded_samples_are_the_published_ones(recorded):
    rewards = rewards_by_number(recorded.judgments)
    found = [round(100 * float(np.mean(rewards[number])), 2) for number in range(11)]
    assert found == [27.31, 28.68, 30.55, 31.25, 30.91, 32.57, 33.77, 33.01, 34.34, 34.44, 35.45]
    assert recorded.counts == {
        "prompts": 805,
        "completions": 12_880,
        "judgments": 8_855,
        "used": 8_855,
        "unmatched": 0,
        "no_preference": 0,
        "judged": 8_855,
    }


def rewards_by_number(judgments):
    found = {}
    for row in judgments.to_pylist():
        found.setdefault(int(row["completion_id"].rpartition("-")[2]), []).append(row["reward"])
    return found


def test_the_recorded_order_by_length_is_gone(recorded):
    """Mean length rises with the recorded number; after shuffling it must not."""
    rows = recorded.completions.to_pylist()
    lengths = [len(row["completion"]) for row in rows]
    numbers = [int(row["completion_id"].rpartition("-")[2]) for row in rows]
    assert np.corrcoef(numbers, lengths)[0, 1] > 0.2
    assert abs(np.corrcoef([row["sample"] for row in rows], lengths)[0, 1]) < 0.03


def test_length_predicts_the_recorded_judge_only_where_lengths_differ(recorded):
    _, held_out = held_out_split(recorded.prompts, 0.25, seed=0)
    mask = pc.is_in(recorded.completions["prompt_id"], held_out["prompt_id"].combine_chunks())
    completions, unjudged = judged_only(recorded.completions.filter(mask), recorded.judgments)
    assert (len(held_out), len(completions), unjudged) == (201, 201 * 11, 201 * 5)
    scores = longer_answer_scores(completions)
    assert_same_ids(scores, completions, "completion_id")
    lengths = mapping(scores, "completion_id", "reward")
    pairs = judged_pairs(completions, recorded.judgments)
    everywhere, equal = agreement(pairs, lengths), agreement(of_equal_length(pairs), lengths)
    assert everywhere["ci95"][0] > 0.55
    assert equal["agreement"] < everywhere["ci95"][0]
