"""When the monitor raises the alarm: each signal alone, by hand."""

import math

import pytest

from data.monitor import Rated, Watch, best_round, watched
from data.recipes.monitor import MonitorConfig

CONFIG = MonitorConfig()
STEPS = [1, 2, 4, 5, 8, 11, 16, 22, 32, 45, 64, 90, 100]


def rated(rate, error=0.01, n=200):
    return {"win_rate": rate, "error": error, "n": n}


def measured(steps=100, margin=None, grid=None, **raters):
    return {"steps": steps, "margin": margin, "grid": grid or {}, "raters": raters}


def rounds(*seen, config=CONFIG, from_base=True):
    """What is seen of rounds that are all adopted, in order."""
    found = []
    for number, one in enumerate(seen, start=1):
        found.append(watched(number, one, found, config, from_base))
    return found


def off(watch):
    return [(one.name, one.step) for one in watch.off]


def grid(values):
    return {"step": STEPS, "value": values}


def test_chosen_answers_that_get_likelier_raise_no_alarm():
    (watch,) = rounds(measured(grid=grid([30.0 * step**-0.05 for step in STEPS])))
    assert not watch.alarm and len(watch.training) == len(STEPS)
    assert [one.limit is None for one in watch.training] == [True] + [False] * (len(STEPS) - 1)
    (signal,) = watch.signals
    assert signal.name == "likelihood" and signal.step == 100 and signal.law


def test_chosen_answers_that_become_unlikely_raise_it_at_the_second_point_in_a_row():
    values = [30.0] * 8 + [30.0, 40.0, 50.0, 60.0, 70.0]
    (watch,) = rounds(measured(grid=grid(values)))
    assert off(watch) == [("likelihood", 64)] and watch.alarm
    (patient,) = rounds(measured(grid=grid(values)), config=MonitorConfig(in_row=5))
    assert not patient.alarm


def test_a_training_of_few_steps_has_no_law_and_raises_nothing():
    few = {"step": [1, 2, 4, 5], "value": [30.0, 30.0, 60.0, 90.0]}
    (watch,) = rounds(measured(steps=5, grid=few))
    assert not watch.alarm and watch.signals[0].limit is None


def test_what_is_too_small_to_matter_is_the_recipes_choice():
    values = grid([30.0] * 9 + [31.0] * 4)
    (quiet,) = rounds(measured(grid=values))
    (loud,) = rounds(measured(grid=values), config=MonitorConfig(floor=0.01))
    assert not quiet.alarm and off(loud) == [("likelihood", 64)]


@pytest.mark.parametrize("rater", ["teacher", "equal_length", "student"])
def test_a_rater_that_prefers_the_base_raises_it_in_the_first_round(rater):
    (fine,) = rounds(measured(**{rater: rated(0.49)}))
    assert not fine.alarm  # 1 - 0.49 is above a half by less than three of its standard errors
    (worse,) = rounds(measured(**{rater: rated(0.45)}))
    assert off(worse) == [(rater, None)]
    assert worse.signals[0].limit == pytest.approx(0.5 * math.exp(3 * 0.02))


def test_the_limit_before_a_law_is_the_lowest_so_far_and_the_errors_of_both():
    found = rounds(*(measured(student=rated(rate)) for rate in (0.6, 0.7, 0.68, 0.6)))
    assert [watch.alarm for watch in found] == [False, False, False, True]
    errors = math.hypot(0.01 / 0.3, 0.01 / 0.4)
    assert found[3].signals[0].limit == pytest.approx(0.3 * math.exp(3 * errors))
    assert not found[3].signals[0].law


def test_from_the_fifth_round_on_a_rater_has_a_law_that_a_plateau_leaves():
    law = [1 - 0.4 * k**-0.7 for k in range(1, 9)]
    found = rounds(*(measured(teacher=rated(rate, 0.001)) for rate in law))
    assert not any(watch.alarm for watch in found)
    assert [watch.signals[0].law for watch in found] == [False] * 4 + [True] * 4
    plateau = law[:4] + [law[4]] * 4
    found = rounds(*(measured(teacher=rated(rate, 0.001)) for rate in plateau))
    assert [watch.alarm for watch in found] == [False] * 5 + [True] * 3


def test_margins_that_rise_without_a_gain_raise_it_once_there_is_a_law():
    """The price of a unit of log-odds: in the last round twice the margin for the same win rate."""
    seen = [measured(margin=margin, teacher=rated(0.7)) for margin in (10.0, 10.0, 10.0, 10.0)]
    found = rounds(*seen, measured(margin=20.0, teacher=rated(0.7)))
    assert [watch.alarm for watch in found] == [False] * 4 + [True]
    assert off(found[4]) == [("price", None)]
    price = next(one for one in found[4].signals if one.name == "price")
    assert price.value == pytest.approx(20 / math.log(0.7 / 0.3))
    assert not rounds(*seen, measured(margin=20.0, teacher=rated(0.845)))[4].alarm


def test_a_price_that_rises_in_the_second_round_raises_nothing():
    twice = (measured(margin=margin, teacher=rated(0.7)) for margin in (10.0, 20.0))
    assert not any(watch.alarm for watch in rounds(*twice))


def test_where_the_gain_may_be_none_there_is_no_price():
    (watch,) = rounds(measured(margin=10.0, teacher=rated(0.51)))
    assert [one.name for one in watch.signals] == ["teacher"]


def test_margins_against_the_previous_policy_add_up_and_those_against_the_base_do_not():
    seen = [measured(margin=10.0), measured(margin=4.0)]
    assert [one.margin for one in rounds(*seen, from_base=False)] == [10.0, 14.0]
    assert [one.margin for one in rounds(*seen, from_base=True)] == [10.0, 4.0]
    assert [one.steps for one in rounds(*seen)] == [100, 200]


def test_what_nobody_measured_raises_nothing():
    (watch,) = rounds({"steps": 0, "margin": None, "grid": 0, "raters": 0})
    assert watch == Watch(round=1, steps=0)


def test_the_best_round_is_the_one_the_teacher_is_surest_of():
    def seen(number, rate, error):
        raters = {"teacher": Rated(win_rate=rate, error=error, n=100)}
        return Watch(round=number, steps=1, raters=raters)

    assert best_round([]) == 0
    assert best_round([seen(1, 0.51, 0.01)]) == 0  # its interval reaches below a half
    assert best_round([seen(1, 0.6, 0.01), seen(2, 0.62, 0.05), seen(3, 0.59, 0.01)]) == 1
    assert best_round([Watch(round=1, steps=1), Watch(round=2, steps=2)]) == 2  # no rewards
