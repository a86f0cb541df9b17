"""Gap, U-turn and what two curves say together, in closed form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.u_turn import RISE, gaps, lowest_place, reading, u_turn

DISTANCES = st.lists(st.floats(0.01, 100), min_size=1, max_size=30)


def test_the_gap_is_the_share_of_the_lowest_so_far():
    assert gaps([4.0, 2.0, 3.0, 1.0, 1.5]) == pytest.approx([0, 0, 0.5, 0, 0.5])
    assert gaps([]) == []


def test_a_parabola_turns_at_its_vertex():
    values = [1 + (place - 7) ** 2 / 100 for place in range(12)]
    assert lowest_place(values) == u_turn(values) == 7
    assert gaps(values)[-1] == pytest.approx(0.16)


def test_what_falls_to_the_end_or_comes_back_has_not_turned():
    assert u_turn([5.0, 3.0, 2.0, 1.9]) is None
    assert u_turn([5.0, 2.0, 3.0, 2.0]) is None  # there and back
    assert u_turn([]) is None


def test_a_rise_within_the_tolerance_is_none():
    assert u_turn([2.0, 1.0, 1.0 + RISE / 2]) is None
    assert u_turn([2.0, 1.0, 1.0 + 2 * RISE]) == 1
    assert u_turn([2.0, 1.0, 1.04], rise=0.05) is None


def test_one_that_rises_from_the_first_has_turned_there():
    assert u_turn([1.0, 2.0, 3.0]) == 0


def test_no_distance_at_all_is_lowest_and_has_a_finite_gap():
    assert gaps([1.0, 0.0, 0.0]) == [0, 0, 0]
    assert u_turn([1.0, 0.0, 0.5]) == 1


@given(DISTANCES, st.floats(0.1, 10))
def test_neither_depends_on_the_unit_and_no_gap_is_negative(values, unit):
    found = gaps(values)
    assert min(found) >= 0 and found[lowest_place(values)] == 0
    assert gaps([unit * value for value in values]) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(
    ("golden", "proxy", "says"),
    [
        ([3.0, 2.0, 2.4], [3.0, 2.0, 1.5], "hacking"),
        ([3.0, 2.0, 2.4], [3.0, 2.0, 2.0], "hacking"),  # it stays
        ([3.0, 2.0, 2.4], [3.0, 2.0, 2.3], "overfitting"),
        ([3.0, 2.0, 1.9], [3.0, 2.0, 2.3], "no U-turn"),
        # From the U-turn on: what proxy did before does not count.
        ([2.0, 3.0, 4.0], [1.0, 3.0, 0.9], "hacking"),
    ],
)
def test_what_golden_and_proxy_say_together(golden, proxy, says):
    assert reading(golden, proxy) == says


def test_curves_over_other_places_are_refused():
    with pytest.raises(ValueError, match="as many values of both, got 2 and 1"):
        reading([1.0, 2.0], [1.0])
