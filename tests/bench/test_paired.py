"""Student's t, intervals over seeds, Holm: against tables and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.paired import (
    deviation,
    holm,
    mean_interval,
    next_interval,
    normal_p,
    range_covers,
    t_p,
    t_quantile,
    t_within,
)
from data.statistics import bootstrap_means, percentile_interval

finite = st.floats(-1, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("freedom", "quantile"),  # two-sided 95 %, as printed in any table
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042)],
)
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


@given(st.floats(0, 50))
def test_one_and_two_degrees_of_freedom_have_closed_forms(t):
    assert t_within(t, 1) == pytest.approx(2 / math.pi * math.atan(t), abs=1e-12)
    assert t_within(t, 2) == pytest.approx(t / math.sqrt(2 + t * t), abs=1e-12)


def test_many_degrees_of_freedom_are_as_good_as_normal():
    assert t_quantile(10_000) == pytest.approx(1.96, abs=1e-3)


def test_an_interval_is_what_a_hand_computes():
    # mean 2, standard deviation 1, n = 3: half width 4.3027 / sqrt(3)
    mean, ends = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2 and ends == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)


@given(st.lists(finite, min_size=2, max_size=8))
def test_the_interval_excludes_zero_exactly_where_p_is_small(values):
    _, ends = mean_interval(values)
    p = t_p(values)
    if ends is None:
        assert p == 1
    elif abs(p - 0.05) > 1e-6:
        assert (ends[0] > 0 or ends[1] < 0) == (p < 0.05)


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3], [0.1 + 0.2, 0.3]])
def test_one_value_or_equal_ones_show_nothing(values):
    assert mean_interval(values)[1] is None and t_p(values) == 1


def test_intervals_cover_the_truth_as_often_as_they_say():
    draws = np.random.default_rng(0).normal(0.1, 0.02, (2000, 5))
    ends = [mean_interval(list(row))[1] for row in draws]
    assert np.mean([low < 0.1 < high for low, high in ends]) == pytest.approx(0.95, abs=0.015)


def test_a_percentile_bootstrap_of_five_would_not():
    """Why intervals over five worlds are Student's: that one leaves out the truth in one of six."""
    rng = np.random.default_rng(0)
    draws = rng.normal(0.1, 0.02, (400, 5))
    ends = [percentile_interval(bootstrap_means(row, 500, rng)) for row in draws]
    assert 0.77 < np.mean([low < 0.1 < high for low, high in ends]) < 0.89


def test_one_value_more_is_what_a_hand_computes():
    # mean 2, standard deviation 1, n = 3: half width 4.3027 * sqrt(1 + 1/3)
    assert next_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.9683, 2 + 4.9683), abs=1e-3)
    assert next_interval([1.0]) is None and next_interval([0.3, 0.3]) is None


@given(st.lists(finite, min_size=2, max_size=8))
def test_one_value_more_lies_wider_than_the_mean_by_a_known_factor(values):
    _, ends = mean_interval(values)
    wider = next_interval(values)
    assert (ends is None) == (wider is None)
    if ends and wider:
        factor = (wider[1] - wider[0]) / (ends[1] - ends[0])
        assert factor == pytest.approx(math.sqrt(len(values) + 1))


def test_one_value_more_lies_there_as_often_as_is_said():
    draws = np.random.default_rng(1).normal(0.6, 0.03, (2000, 6))
    ends = [next_interval(list(row[:5])) for row in draws]
    held = [low < row[5] < high for row, (low, high) in zip(draws, ends, strict=True)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_deviation_has_one_less_in_its_denominator():
    assert deviation([1.0, 2.0, 3.0]) == pytest.approx(1) and deviation([1.0]) is None


def test_the_range_covers_the_median_of_any_distribution():
    assert [range_covers(n) for n in (1, 2, 5, 6)] == [0, 0.5, 0.9375, 0.96875]
    draws = np.random.default_rng(2).exponential(size=(4000, 5))  # far from normal
    held = (draws.min(axis=1) < math.log(2)) & (math.log(2) < draws.max(axis=1))
    assert held.mean() == pytest.approx(range_covers(5), abs=0.012)
    with pytest.raises(ValueError, match="n >= 1"):
        range_covers(0)


def test_an_interval_that_ends_at_zero_has_a_normal_p_of_five_percent():
    assert normal_p(0.2, (0.0, 0.4)) == pytest.approx(0.05)
    assert normal_p(0.2, (0.2, 0.2)) == 1


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1, then never falling
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1.0, 1.0] and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_keeps_the_order_and_is_never_stricter_than_bonferroni(ps):
    adjusted = holm(ps)
    assert all(p <= q <= min(1, len(ps) * p) + 1e-12 for p, q in zip(ps, adjusted, strict=True))
    order = sorted(range(len(ps)), key=ps.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)
