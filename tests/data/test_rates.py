"""Measurements of stages: kept by machine, found by call, and lines through them."""

import json

import pytest

from data.rates import Line, Measured, Rates, line

MACHINE = {"cpu": "one", "cores": "2"}


def measured(units, seconds, call="a", like="x", **more):
    return Measured(call, like, "score", units, seconds, cores=seconds, **more)


@pytest.fixture
def rates(tmp_path):
    return Rates(tmp_path / "store", MACHINE)


def test_a_line_goes_through_two_sizes():
    assert line([(10, 3.0), (30, 5.0)]) == pytest.approx(Line(2.0, 0.1))
    assert line([(10, 3.0), (30, 5.0)]).at(100, bodies=2) == pytest.approx(2 * 2.0 + 0.1 * 100)


def test_points_of_a_line_give_it_back_whatever_their_number():
    true = Line(1.5, 0.02)
    found = line((units, true.at(units)) for units in (1, 5, 70, 70, 900))
    assert found == pytest.approx(true)


def test_one_size_is_taken_to_grow_with_its_units():
    assert line([(40, 2.0), (40, 2.0)]) == pytest.approx(Line(0.0, 0.05))


def test_nothing_costs_less_than_nothing():
    proportional = line([(10, 1.0), (100, 20.0)])  # the line itself would begin below 0
    assert proportional.fixed == 0 and 0.1 < proportional.each < 0.2
    level = line([(10, 2.0), (100, 1.0)])
    assert level.each == 0 and 1.0 < level.fixed < 2.0
    # Of the two the larger counts more: the weighted harmonic least squares in closed form.
    weights, inverse = (0.1**0.5, 1.0), (1 / 2.0, 1 / 1.0)
    top = sum(w * x for w, x in zip(weights, inverse, strict=True))
    bottom = sum(w * x * x for w, x in zip(weights, inverse, strict=True))
    assert level.fixed == pytest.approx(top / bottom)


def test_a_line_needs_a_point():
    with pytest.raises(ValueError, match="needs a point"):
        line([])


def test_what_is_kept_is_found_by_its_call_and_else_by_what_it_is_like(rates):
    assert rates.known().rate("a", "x") is None
    for units, seconds in ((10, 3.0), (30, 5.0)):
        rates.add(measured(units, seconds, rows=units // 2, most=units, memory=100 * units))
    known = Rates(rates.path.parents[1], MACHINE).known()
    rate, like = known.rate("a", "x"), known.rate("b", "x")
    assert len(known) == 2 and known.rate("b", "y") is None
    assert rate.seconds == pytest.approx(Line(2.0, 0.1)) and rate.source == "run"
    assert rate.kept == 0.5 and rate.memory.at(100) == pytest.approx(10_000)
    assert not like.exact and like.source == "like" and like.seconds == rate.seconds


def test_one_size_says_little_of_others(rates):
    rates.add(measured(10, 3.0))
    rate = rates.known().rate("a", "x")
    assert rate.is_thin
    assert [rate.is_far(units) for units in (4, 5, 10, 20, 21)] == [
        True,
        False,
        False,
        False,
        True,
    ]
    rates.add(measured(30, 5.0))
    rate = rates.known().rate("a", "x")
    assert not rate.is_thin and [rate.is_far(units) for units in (4, 5, 60, 61)] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("points", "thin", "level"),
    [
        ([(128, 6.9), (192, 5.1)], True, True),  # 1.5 times apart, and the larger was faster
        ([(128, 5.0), (192, 6.0)], True, False),
        ([(128, 6.9), (512, 5.1)], False, True),
        ([(128, 0.3), (512, 0.2)], False, False),  # of so little it does not matter
        ([(128, 5.0), (512, 6.0)], False, False),
    ],
)
def test_sizes_that_do_not_tell_what_grows(rates, points, thin, level):
    for units, seconds in points:
        rates.add(measured(units, seconds))
    rate = rates.known().rate("a", "x")
    assert (rate.is_thin, rate.is_level) == (thin, level)


def test_another_machine_has_measurements_of_its_own(rates):
    rates.add(measured(10, 3.0))
    other = Rates(rates.path.parents[1], MACHINE | {"threads": "1"})
    assert other.path != rates.path and len(other.known()) == 0
    assert json.loads(rates.path.read_text().splitlines()[0]) == {"machine": MACHINE}


def test_runs_count_before_the_pilot_once_they_have_two_sizes(rates):
    rates.add(measured(2, 9.0, pilot=True, tokens=20, rows=2))
    assert rates.known().rate("a", "x").source == "pilot"
    rates.add(measured(100, 5.0, tokens=300, rows=100))
    both = rates.known().rate("a", "x")
    assert (both.source, len(both.points)) == ("run", 2)
    rates.add(measured(200, 10.0, tokens=600, rows=200))
    alone = rates.known().rate("a", "x")
    assert [one.units for one in alone.points] == [100, 200] and alone.tokens == 3.0


def test_lines_that_cannot_be_read_are_left_out(rates):
    rates.add(measured(10, 3.0))
    with rates.path.open("a") as file:
        file.write('{"call": "a"}\nnot json\n[1]\n')
        file.write('{"call": "a", "like": "x", "stage": "s", "units": 1, "seconds": 1, '
                   '"cores": 1, "of_a_later_version": 1}\n')  # fmt: skip
    assert len(rates.known()) == 2


def test_one_size_says_nothing_of_how_memory_or_a_model_grows(tmp_path):
    rates = Rates(tmp_path, {"cpu": "one"})
    rates.add(measured(12, 0.6, memory=800_000_000, size=3_500_000, shape="a model"))
    rate = rates.known().rate("a", "x")
    assert rate.memory.at(800) == 800_000_000 and rate.size.at(800) == 3_500_000
    assert rate.seconds.at(24) == pytest.approx(1.2)
    rates.add(measured(48, 1.0, memory=900_000_000, size=3_500_000, shape="a model"))
    grown = rates.known().rate("a", "x")
    assert grown.memory.at(96) > 900_000_000 and grown.size.at(96) == 3_500_000


def test_a_pilots_process_grows_with_what_it_loads_and_not_with_rows(tmp_path):
    rates = Rates(tmp_path, {"cpu": "one"})
    for units, memory in ((256, 630_000_000), (384, 2_720_000_000)):
        rates.add(measured(units, 0.6, memory=memory, pilot=True))
    assert rates.known().rate("a", "x").memory.at(36_000) == 2_720_000_000
    for units, memory in ((100, 1_000_000_000), (1_000, 1_900_000_000)):  # of runs
        rates.add(measured(units, 0.6, memory=memory))
    grown = rates.known().rate("a", "x").memory
    assert grown.at(10_000) == pytest.approx(10_900_000_000, rel=0.01)


def test_a_store_that_cannot_be_written_keeps_nothing_and_ends_nothing(tmp_path):
    (tmp_path / "store").write_text("a file in its place")
    rates = Rates(tmp_path / "store", MACHINE)
    rates.add(measured(10, 3.0))
    assert len(rates.known()) == 0


def test_a_long_file_keeps_its_newer_half(rates, monkeypatch):
    monkeypatch.setattr("data.rates._MOST_BYTES", 4000)
    for number in range(60):
        rates.add(measured(number, 1.0, call=str(number)))
    known = rates.known()
    assert rates.path.stat().st_size < 4400
    assert known.rate("59", "") is not None and known.rate("0", "") is None
    assert rates.path.read_text().startswith('{"machine"')
