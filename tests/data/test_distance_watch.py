"""The monitor of a distillation: alarms by the distance to the teacher alone."""

import pytest
from pydantic import ValidationError

from data.distance_watch import Seen, distances_watched, first_alarm_round
from data.recipes.monitor import DistanceMonitor

CONFIG = DistanceMonitor()


def watched(values, config=CONFIG, every=1):
    seen = [Seen(n, 25 * n, value) for n, value in enumerate(values, start=1) if n % every == 0]
    return distances_watched(seen, config)


def law(rounds, rate=0.4):
    return [3.0 * number**-rate for number in range(1, rounds + 1)]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 1.0])
def test_a_distance_that_keeps_to_its_law_raises_none(rate):
    found = watched(law(40, rate))
    assert first_alarm_round(found) is None
    assert [one.round for one in found] == list(range(1, 41))
    assert found[0].signals[0].limit is None and not any(one.off for one in found)


def test_a_plateau_leaves_the_law_behind():
    """From round 6 on it stays, and the law goes on falling: 6 % above it, then once more."""
    values = law(40)
    values[6:] = [values[5]] * 34
    found = watched(values)
    alarm = first_alarm_round(found)
    assert alarm is not None and 7 < alarm <= 12
    before = next(one for one in found if one.round == alarm - 1)
    assert before.off and not before.alarm and found[-1].alarm


def test_a_turn_raises_it_at_the_second_value_in_a_row_or_the_one_asked_for():
    values = law(5)
    values += [values[-1] * 1.5**k for k in (1, 2, 3)]
    assert first_alarm_round(watched(values)) == 7
    assert first_alarm_round(watched(values, DistanceMonitor(in_row=1))) == 6
    assert first_alarm_round(watched(values, DistanceMonitor(in_row=4))) is None


def test_one_value_off_is_no_alarm():
    values = law(20)
    values[9] *= 1.5
    found = watched(values)
    assert [one.round for one in found if one.off] == [10] and first_alarm_round(found) is None


def test_few_rounds_have_no_law_but_nothing_doubles():
    assert first_alarm_round(watched([1.0, 1.2, 1.5])) is None
    assert first_alarm_round(watched([1.0, 2.1, 2.2])) == 3


def test_rounds_that_were_not_measured_are_no_rounds():
    values = law(16)
    values[10:] = [values[9] * 1.5] * 6
    assert [one.round for one in watched(values, every=2)] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert first_alarm_round(watched(values, every=2)) == 14


def test_a_later_value_changes_nothing_that_was_said():
    values = law(12)
    values[8:] = [values[7] * 1.3] * 4
    whole = watched(values)
    assert all(watched(values[:n]) == whole[:n] for n in range(1, 13))


@pytest.mark.parametrize(("field", "value"), [("z", 0), ("floor", 0), ("early_rounds", 3)])
def test_settings_that_make_no_law_are_refused(field, value):
    with pytest.raises(ValidationError):
        DistanceMonitor(**{field: value})
