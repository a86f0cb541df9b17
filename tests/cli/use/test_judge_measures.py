"""Measures of a judge, on margins whose measures are known."""

import math

import numpy as np
import pytest

from cli.use.judge_measures import QUANTILES, calibration_error, measures, quantiles, spearman
from data.statistics import wilson


def measured(margins, lengths=None, ties=None, rewards=None):
    n = len(margins)
    return measures(
        np.array(margins, float),
        np.array(ties if ties is not None else [False] * n),
        np.array(lengths if lengths is not None else [[2, 1]] * n, float),
        rewards,
    )


def test_accuracy_counts_a_margin_of_zero_half_and_leaves_ties_and_unread_out():
    found = measured([1.0, 2.0, -1.0, 0.0, math.nan, 5.0], ties=[False] * 5 + [True])
    assert found["accuracy"] == {"share": 2.5 / 4, "ci95": wilson(2.5, 4), "n": 4}
    assert (found["pairs"], found["unread"], found["label_ties"], found["judge_ties"]) == (
        6,
        1,
        1,
        1,
    )


def test_accuracy_where_the_better_answer_is_longer_or_shorter():
    lengths = [[9, 1], [9, 1], [1, 9], [1, 9], [1, 9], [5, 5]]
    found = measured([1, 1, -1, -1, 1, 1], lengths)
    assert found["accuracy_longer_better"]["share"] == 1
    assert found["accuracy_shorter_better"]["share"] == pytest.approx(1 / 3)
    assert found["length"]["label_prefers_longer"]["share"] == pytest.approx(2 / 5)
    assert found["length"]["judge_prefers_longer"]["share"] == pytest.approx(4 / 5)


def test_a_judge_that_is_right_as_often_as_it_is_sure_has_no_calibration_error():
    # log(3): sure to 75 %, and three of four are right, in every group.
    margins = np.array([math.log(3) * sign for sign in (1, 1, 1, -1)] * 10)
    assert calibration_error(margins) == pytest.approx(0.0, abs=0.06)
    sure = np.array([9.0, 9.0, 9.0, -9.0] * 10)
    assert calibration_error(sure) == pytest.approx(0.25, abs=0.01)
    assert calibration_error(np.array([])) is None


def test_quantiles_hold_every_pair_once_from_small_margins_to_large():
    margins = np.array([0.1, -0.2, 0.3, -0.4, 1.0, 2.0, 3.0, 4.0, 5.0, -6.0, 7.0])
    groups = quantiles(margins)
    assert len(groups) == QUANTILES
    assert sum(group["accuracy"]["n"] for group in groups) == len(margins)
    edges = [edge for group in groups for edge in group["margin"]]
    assert edges == sorted(edges) and edges[0] == 0.1 and edges[-1] == 7.0
    assert groups[0]["accuracy"]["share"] == pytest.approx(2 / 3)
    assert groups[-1]["promised"] == pytest.approx(1, abs=0.01)


def test_rank_correlation():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, x**3) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    assert spearman(x, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(0.894427)
    assert spearman(x, np.ones(4)) is None
    assert spearman(np.array([1.0, math.nan]), np.array([1.0, 2.0])) is None


def test_a_reward_that_is_the_length_is_found_out():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, (200, 2)).astype(float)
    found = measured(lengths[:, 0] - lengths[:, 1], lengths, rewards=lengths)
    assert found["length"]["reward_and_length"] == pytest.approx(1)
    assert found["length"]["margin_and_difference"] == pytest.approx(1)
    assert found["length"]["judge_prefers_longer"]["share"] == 1
    assert found["accuracy"]["share"] == found["length"]["label_prefers_longer"]["share"]


def test_nothing_to_measure_gives_no_numbers():
    found = measured([math.nan], rewards=np.full((1, 2), math.nan))
    assert found["accuracy"] == {"share": None, "ci95": None, "n": 0}
    assert found["quantiles"] == [] and found["calibration_error"] is None
