"""Near pairs, enrichment and recall, against their definitions and at their limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.ranking import enrichment, most_active, near_pairs, recall_of_top

tenths = st.lists(st.integers(40, 90), min_size=2, max_size=25)


@given(tenths, st.integers(0, 1000))
def test_near_pairs_by_their_definition(values, seed):
    measured = np.array(values) / 10
    said = np.round(np.random.default_rng(seed).normal(size=len(values)), 1)
    right = pairs = 0.0
    for i in range(len(values)):
        for j in range(len(values)):
            if 3 <= values[i] - values[j] <= 10:  # tenths: whole numbers
                pairs += 1
                right += (said[i] > said[j]) + 0.5 * (said[i] == said[j])
    found, n = near_pairs(measured, said, 0.3, 1.0)
    assert n == pairs and (np.isnan(found) if not pairs else found == pytest.approx(right / pairs))


def test_a_perfect_order_a_reversed_one_and_none():
    measured = np.array([5.0, 5.5, 6.0, 9.0])
    assert near_pairs(measured, measured, 0.3, 1.0) == (1.0, 3)
    assert near_pairs(measured, -measured, 0.3, 1.0) == (0.0, 3)
    assert near_pairs(measured, np.zeros(4), 0.3, 1.0) == (0.5, 3)


def test_enrichment_of_the_best_a_random_and_the_worst_order():
    active = np.arange(100) >= 90
    assert enrichment(active, np.arange(100.0), 0.05) == pytest.approx(10)
    assert enrichment(active, np.arange(100.0), 0.2) == pytest.approx(5)
    assert enrichment(active, -np.arange(100.0), 0.05) == 0
    assert enrichment(active, np.zeros(100), 0.05) == pytest.approx(1)
    with pytest.raises(ValueError, match="nothing is active"):
        enrichment(np.zeros(3, bool), np.arange(3.0), 0.5)


def test_equal_predictions_at_the_border_count_as_far_as_there_is_room():
    active = np.array([True, False, True, False])
    # One place for two that are equal, of which one is active: half of it.
    assert enrichment(active, np.array([1.0, 1.0, 0.0, 0.0]), 0.25) == pytest.approx(0.5 / 0.5)


def test_active_are_the_highest_with_all_that_equal_the_last():
    assert most_active(np.array([1.0, 3, 2, 3]), 0.25).tolist() == [False, True, False, True]
    assert most_active(np.array([1.0, 2]), 0.01).tolist() == [False, True]


def test_recall_of_the_top():
    teacher = np.arange(200.0)
    assert recall_of_top(teacher, teacher, 0.01, 0.05) == 1
    assert recall_of_top(teacher, -teacher, 0.01, 0.05) == 0
    half = np.where(teacher == 199, -1, teacher)
    assert recall_of_top(teacher, half, 0.01, 0.05) == 0.5
