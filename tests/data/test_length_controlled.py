"""Length-controlled win rate against what can be worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.length_controlled import length_controlled, logistic
from data.statistics import win_rate

EXACT = 1e6  # a prior so wide that it says nothing


def controlled(outcomes, differences, datasets=None, samples=20, **options):
    datasets = datasets or ["a"] * len(outcomes)
    return length_controlled(outcomes, differences, datasets, samples, **options)


def test_by_hand_where_the_answers_are_longer_and_shorter_by_the_same():
    # Five answers are longer by 40 and win 4 of 5, four are shorter by 40 and win 2 of 4. With two
    # values of the length term the regression fits both rates: theta + c = logit(4/5) = ln 4,
    # theta - c = logit(1/2) = 0, so theta = ln(4) / 2 = ln 2 and the rate is 2/3; plain, it is 6/9.
    outcomes = [1, 1, 1, 1, 0, 1, 1, 0, 0]
    found = controlled(outcomes, [40] * 5 + [-40] * 4, prior=EXACT)
    assert found["win_rate"] == pytest.approx(2 / 3, abs=1e-9)
    spread = np.std([40] * 5 + [-40] * 4, ddof=1)
    assert found["length_effect"] == pytest.approx(math.log(2) / math.tanh(40 / spread), abs=1e-8)


def test_by_hand_where_some_answers_are_equally_long():
    # The rate of equally long answers is theta's own; those that are longer only tell phi.
    outcomes = [1, 0, 0, 0, 1, 1, 1, 1, 1, 0]
    found = controlled(outcomes, [0] * 4 + [25] * 6, prior=EXACT)
    assert found["win_rate"] == pytest.approx(1 / 4, abs=1e-9)
    phi = (math.log(5) - math.log(1 / 3)) / math.tanh(25 / np.std([0] * 4 + [25] * 6, ddof=1))
    assert found["length_effect"] == pytest.approx(phi, abs=1e-8)
    assert win_rate(outcomes, ["a"] * 10)["win_rate"] == 0.6


def test_by_hand_with_probabilities_and_two_data_sets():
    # One phi, a theta per data set. Of each data set's two prompts one is longer by d, one shorter:
    # rates of logit +-phi around theta, given as probabilities, are met exactly.
    theta, phi, d = {"a": 0.7, "b": -0.2}, 1.5, 30
    term = phi * math.tanh(d / np.std([d, -d, d, -d], ddof=1))
    shares = [1 / (1 + math.exp(-(theta[s] + sign * term))) for s in "ab" for sign in (1, -1)]
    found = controlled(shares, [d, -d, d, -d], ["a", "a", "b", "b"], prior=EXACT)
    assert found["length_effect"] == pytest.approx(phi, abs=1e-8)
    expected = np.mean([1 / (1 + math.exp(-value)) for value in theta.values()])
    assert found["win_rate"] == pytest.approx(expected, abs=1e-9)


@given(
    slope=st.floats(-6, 6),
    shift=st.floats(-2, 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_one_half_where_only_length_differs(slope, shift, seed):
    """Whatever the slope, and however much longer the policy's answers are.

    The prior flattens a steep slope, more so where one side is hardly ever the shorter: with a
    mean difference of two standard deviations the steepest slope leaves up to 0.035 (60 seeds).
    """
    rng = np.random.default_rng(seed)
    differences = rng.normal(shift * 300, 300, 200).round()
    outcomes = logistic(slope * np.tanh(differences / differences.std(ddof=1)))
    found = controlled(outcomes.tolist(), differences.tolist(), ["a", "b"] * 100, samples=2)
    left = 0.05 if abs(shift) > 1.25 else 0.01 if abs(slope) > 3 else 0.005
    assert found["win_rate"] == pytest.approx(0.5, abs=left)
    exact = controlled(outcomes.tolist(), differences.tolist(), samples=2, prior=EXACT)
    assert exact["win_rate"] == pytest.approx(0.5, abs=1e-6)
    assert exact["length_effect"] == pytest.approx(slope, abs=1e-5)


def test_a_judge_of_length_alone_says_nothing_of_the_policy():
    """Drawn verdicts, not probabilities: the plain rate is far off, the interval holds one half."""
    rng = np.random.default_rng(0)
    differences = rng.normal(400, 300, 2_000)
    chances = logistic(2 * np.tanh(differences / differences.std(ddof=1)))
    outcomes = (rng.random(2_000) < chances).astype(float).tolist()
    assert win_rate(outcomes, ["a"] * 2_000)["win_rate"] > 0.7
    low, high = controlled(outcomes, differences.tolist(), samples=500)["ci95"]
    assert low < 0.5 < high and high - low < 0.1


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from("abc")), min_size=1))
@settings(deadline=None)
def test_the_plain_rate_where_length_plays_no_part(rows):
    """Each outcome once with a longer and once with a shorter answer, or all equally long."""
    outcomes, datasets = [list(side) for side in zip(*rows, strict=True)]
    plain = win_rate(outcomes, datasets, 20)["win_rate"]
    twice = controlled(outcomes * 2, [9] * len(rows) + [-9] * len(rows), datasets * 2)
    assert twice["win_rate"] == pytest.approx(plain, abs=1e-7)
    assert twice["length_effect"] == pytest.approx(0, abs=1e-6)
    alike = controlled(outcomes, [0] * len(rows), datasets)
    assert alike["win_rate"] == pytest.approx(plain, abs=1e-7)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(-500, 500), st.sampled_from("ab")),
        min_size=2,
    )
)
@settings(max_examples=50, deadline=None)
def test_swapping_the_two_policies_mirrors_the_result(rows):
    outcomes, differences, datasets = [list(side) for side in zip(*rows, strict=True)]
    found = controlled(outcomes, differences, datasets)
    other = controlled([1 - x for x in outcomes], [-x for x in differences], datasets)
    assert (found is None) == (other is None)
    if found:
        assert 0 <= found["ci95"][0] <= found["ci95"][1] <= 1
        assert other["win_rate"] == pytest.approx(1 - found["win_rate"], abs=1e-5)


def test_nothing_is_said_where_every_answer_is_longer_by_the_same():
    assert controlled([1, 0, 1], [40, 40, 40]) is None
    assert controlled([1, 0, 1, 0], [40, 40, 10, 10], ["a", "a", "b", "b"]) is None


def test_where_length_decides_all_the_numbers_stay_finite():
    found = controlled([1, 1, 1, 0, 0, 0], [5, 9, 30, -5, -9, -30])
    assert found["win_rate"] == pytest.approx(0.5, abs=1e-6)
    assert 0 < found["length_effect"] < 100


def test_the_unit_of_length_and_the_order_of_prompts_do_not_matter_and_the_seed_repeats():
    rng = np.random.default_rng(1)
    outcomes, d = rng.choice([0, 0.5, 1], 60).tolist(), rng.normal(50, 200, 60).tolist()
    found = controlled(outcomes, d, ["a", "b"] * 30, samples=50, seed=3)
    assert controlled(outcomes, d, ["a", "b"] * 30, samples=50, seed=3) == found
    scaled = controlled(outcomes, [x * 7 for x in d], ["a", "b"] * 30)
    turned = controlled(outcomes[::-1], d[::-1], ["b", "a"] * 30)
    for other in (scaled, turned):
        assert other["win_rate"] == pytest.approx(found["win_rate"], abs=1e-9)


def test_the_interval_is_as_wide_as_the_rate_varies():
    """Over data drawn again and again 95 % of the intervals should hold the true rate."""
    rng, held = np.random.default_rng(5), 0
    for seed in range(100):
        differences = rng.normal(200, 300, 150)
        chances = logistic(0.4 + 1.2 * np.tanh(differences / 300))
        outcomes = (rng.random(150) < chances).astype(float).tolist()
        low, high = controlled(outcomes, differences.tolist(), samples=200, seed=seed)["ci95"]
        held += low <= logistic(np.array(0.4)) <= high
    assert 88 <= held <= 99
