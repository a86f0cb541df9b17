"""Laws of convergence in closed form, and how often noise alone raises an alarm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.convergence import CEILING, FEWEST, FLOOR, first_alarm, fit, limits, log_grid, turned

STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 23, 32, 45, 64]
EARLY = 7


def law(steps, level=0.7, rate=0.3):
    return [math.exp(level) * step**-rate for step in steps]


def alarm(values, z=3.0, in_row=1, steps=STEPS, early=EARLY):
    return first_alarm(values, limits(steps, values, early=early, z=z), in_row)


def test_a_fit_finds_the_law():
    found = fit(STEPS, law(STEPS))
    assert found.level == pytest.approx(0.7) and found.rate == pytest.approx(0.3)
    assert found.spread == pytest.approx(0, abs=1e-12)
    assert found.at(1000) == pytest.approx(math.exp(0.7) * 1000**-0.3)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 1.0, 2.5])
def test_an_exact_power_law_never_raises_an_alarm(rate):
    steps = [2**k for k in range(20)]
    assert alarm(law(steps, rate=rate), steps=steps) is None


@pytest.mark.parametrize("turn", [8, 10])
@pytest.mark.parametrize("in_row", [1, 2])
def test_a_u_turn_raises_an_alarm_at_the_step_it_is_known_to(turn, in_row):
    """From there on it rises by half at every point: far above 3 standard deviations of 0.02."""
    values = law(STEPS)
    values[turn:] = [values[turn - 1] * 1.5 ** (k + 1) for k in range(len(STEPS) - turn)]
    assert alarm(values, in_row=in_row) == turn + in_row - 1


def test_a_plateau_is_left_behind_by_the_law_and_raises_it_later():
    values = [max(value, law(STEPS)[7]) for value in law(STEPS)]
    most = limits(STEPS, values, early=EARLY, z=3.0)
    above = [value > limit for value, limit in zip(values[EARLY:], most[EARLY:], strict=True)]
    assert above == sorted(above) and above[-1] and not above[0]


def test_values_that_rise_early_excuse_nothing():
    """The law is then a constant, the mean of the logarithms."""
    rising = [1.01**k for k in range(EARLY)]
    found = fit(STEPS[:EARLY], rising)
    assert found.rate == 0 and found.at(64) == pytest.approx(1.01**3)
    assert alarm([*rising, *[2.0] * 5]) == EARLY


def test_a_steep_early_rise_is_no_noise():
    """By a power law itself: its spread is 0, so the first value after four points is off."""
    risen = [step**0.5 for step in STEPS[:EARLY]]
    assert fit(STEPS[:EARLY], risen).spread == pytest.approx(0, abs=1e-12)
    assert alarm([*risen, *[risen[-1]] * 5]) == FEWEST


def test_what_goes_wrong_early_raises_it_there_and_excuses_nothing_later():
    values = law(STEPS)
    values[5:] = [10 * value for value in values[5:]]
    assert alarm(values, in_row=2) == 6 < EARLY
    most = limits(STEPS, values, early=EARLY, z=3.0)
    assert all(limit < value for limit, value in zip(most[5:], values[5:], strict=True))


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_noise_around_a_constant_stays_below_the_bound_too(rate):
    """Where half of the fits rise and are held to a constant."""
    rng, z = np.random.default_rng(2), 2.0
    exact = np.array(law(STEPS, rate=rate))
    noisy = exact * np.exp(0.2 * rng.standard_normal((2_000, len(STEPS))))
    found = np.mean([alarm(list(values), z) is not None for values in noisy])
    assert found <= (len(STEPS) - FEWEST) * 1.5 * math.erfc(z / math.sqrt(2)) / 2


def test_the_limit_in_closed_form():
    """Four points at log steps 0, 1, 2, 3 with residuals d, -d, -d, d; t of two degrees."""
    d = 0.1
    steps = [math.exp(k) for k in range(4)]
    values = [math.exp(1 - 0.5 * k + s * d) for k, s in enumerate((1, -1, -1, 1))]
    found = fit(steps, values)
    assert found.level == pytest.approx(1) and found.rate == pytest.approx(0.5)
    assert found.spread == pytest.approx(d * math.sqrt(2))
    share = math.erf(2 / math.sqrt(2))
    t = share * math.sqrt(2 / (1 - share**2))  # P(|T| <= t) = t / sqrt(2 + t^2)
    widened = math.sqrt(1 + 1 / 4 + 3.5**2 / 5)
    expected = math.exp(1 - 0.5 * 5 + t * d * math.sqrt(2) * widened)
    assert found.limit(math.exp(5), z=2) == pytest.approx(expected)


def test_no_value_may_be_twice_the_highest_before_it():
    """Whatever a fit to four points allows: these lie far from any line."""
    wild = [2.4, 1.2, 2.3, 1.1]
    assert fit(STEPS[:4], wild).limit(5, 3.0) > 2 * CEILING * max(wild)
    most = limits(STEPS, [*wild, 4.9, 5.0, *wild, 4.7, 1.0], early=EARLY, z=3.0)
    assert most[0] is None and most[4:7] == [pytest.approx(4.8)] * 3
    assert alarm([*wild, 4.9, 5.0, *wild, 4.7, 1.0], in_row=2) == 5


def test_too_few_points_have_no_law_and_raise_no_alarm():
    assert fit([1, 2, 4], [3, 2, 1]) is None
    assert fit([2, 2, 2, 2], [3, 2, 1, 1]) is None
    assert alarm([1.0, 0.9, 0.8, 50.0], steps=[1, 2, 4, 8], early=3) is None


def test_what_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        fit([1, 2, 4, 8], [1, 1, 0, 1])
    with pytest.raises(ValueError, match="for every value"):
        fit([1, 2, 4, 8], [1, 1])


@pytest.mark.parametrize(("z", "in_row"), [(2.0, 1), (2.0, 2), (3.0, 1)])
def test_noise_alone_stays_below_the_stated_bound(z, in_row):
    """2,000 laws with a noise of 20 % standard deviation, eight compared points each."""
    rng, runs = np.random.default_rng(0), 2_000
    exact = np.array(law(STEPS))
    noisy = exact * np.exp(0.2 * rng.standard_normal((runs, len(STEPS))))
    rate = np.mean([alarm(list(values), z, in_row) is not None for values in noisy])
    p = math.erfc(z / math.sqrt(2)) / 2
    assert rate <= (len(STEPS) - FEWEST - in_row + 1) * 1.5 * p
    if in_row == 1:  # and the detector is not deaf: it is near what one point alone would give
        assert rate > p


def test_the_lowest_so_far_in_closed_form():
    assert turned([], 0.1, 3.0) is None
    assert turned([(0.5, 0.0), (0.4, 0.03)], 0.04, 3.0) == pytest.approx(0.4 * math.exp(0.15))
    assert turned([(0.5, 0.0)], 0.0, 3.0) == pytest.approx(0.5 * math.exp(3 * FLOOR))


def test_the_lowest_so_far_stays_below_its_bound():
    """Five rounds of one mean: the k-th exceeds one of those before it with k p at most."""
    rng, z = np.random.default_rng(1), 2.0
    noisy = np.exp(0.1 * rng.standard_normal((4_000, 5)))
    raised = [
        any(row[k] > turned([(v, 0.1) for v in row[:k]], 0.1, z) for k in range(1, 5))
        for row in noisy.tolist()
    ]
    p = math.erfc(z / math.sqrt(2)) / 2
    assert p < np.mean(raised) <= (1 + 2 + 3 + 4) * p


VALUES = st.lists(st.floats(0.01, 100), min_size=len(STEPS), max_size=len(STEPS))


@settings(deadline=None)
@given(VALUES, st.floats(0.001, 1000), st.sampled_from([2.0, 10.0]))
def test_units_of_values_and_steps_do_not_matter(values, scale, pace):
    most = limits(STEPS, values, early=EARLY, z=3.0)
    scaled = limits(STEPS, [scale * value for value in values], early=EARLY, z=3.0)
    slower = limits([pace * step for step in STEPS], values, early=EARLY, z=3.0)
    assert scaled[EARLY:] == pytest.approx([scale * limit for limit in most[EARLY:]], rel=1e-6)
    assert slower[EARLY:] == pytest.approx(most[EARLY:], rel=1e-6)


@settings(deadline=None)
@given(VALUES, st.lists(st.floats(1, 10), min_size=5, max_size=5), st.integers(1, 3))
def test_worse_later_values_never_raise_the_alarm_later(values, worse, in_row):
    before = alarm(values, in_row=in_row)
    higher = [*values[:EARLY], *(v * w for v, w in zip(values[EARLY:], worse, strict=True))]
    after = alarm(higher, in_row=in_row)
    assert before is None or (after is not None and after <= before)


@settings(deadline=None)
@given(VALUES, st.floats(0.5, 5), st.floats(0.1, 1))
def test_more_standard_deviations_never_raise_it_earlier(values, z, more):
    first, later = alarm(values, z), alarm(values, z + more)
    assert later is None or (first is not None and first <= later)


def test_the_grid_has_two_points_for_every_doubling():
    points = log_grid(list(range(1, 101)))
    last = [point[-1] + 1 for point in points]
    assert last == [1, 2, 4, 5, 8, 11, 16, 22, 32, 45, 64, 90, 100]
    assert [place for point in points for place in point] == list(range(100))
    assert [len(p) for p in log_grid([10, 20, 30, 40])] == [1, 1, 1, 1]
