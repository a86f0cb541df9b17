"""Which measures are drawn round by round."""

from data.measures import Measure, RoundValue
from reports.drawing import has_course


def of(rounds: int, even: float | None = None) -> Measure:
    points = [RoundValue(round=n, value=1.0) for n in range(1, rounds + 1)]
    return Measure(value=1.0, even=even, rounds=points)


def test_a_lone_round_is_drawn_only_against_no_change():
    assert has_course(of(2)) and has_course(of(1, even=0.5))
    assert not has_course(of(1)) and not has_course(of(0)) and not has_course(None)
