"""The claims about teacher hacking: what meets them, on curves made by hand."""

import pytest

from benchmarks.teacher_hacking import (
    FEWER,
    MORE,
    OFFLINE,
    ONLINE,
    Arm,
    claims,
    rows,
    watched_by,
)
from data.recipes.monitor import DistanceMonitor

FALLS = [3.0, 2.0, 1.5, 1.2, 1.1]


def arm(label, world=0, golden=FALLS, proxy=FALLS, alarm=None):
    return Arm(label, world, list(golden), list(proxy), list(range(len(golden))), alarm)


def risen(by):
    return [3.0, 2.0, 1.5, 1.5 + by / 2, 1.5 + by]


def as_claimed(world):
    return [
        arm(OFFLINE, world, golden=risen(0.3 + world / 100), alarm=2),
        arm(FEWER, world, golden=risen(0.6)),
        arm(MORE, world, golden=risen(0.1)),
        *(arm(label, world) for label in ONLINE),
    ]


def said(arms):
    """What was found, by claim."""
    lines = [line.strip("| ").split(" | ") for line in claims(arms)][2:]
    return dict(lines)


def test_curves_as_the_paper_shows_them_meet_every_claim():
    found = said([one for world in range(5) for one in as_claimed(world)])
    assert found["offline: mean gap 5 % or more, interval above 0"] == "21.3 % [20.0, 22.6]: met"
    assert len(found) == 10 and all(text.endswith(": met") for text in found.values())


def test_four_worlds_of_five_are_enough_and_three_are_not():
    arms = [one for world in range(5) for one in as_claimed(world)]
    late = [arm(OFFLINE, world, golden=risen(0.3), alarm=3) for world in (3, 4)]
    claim = "alarm at or before the U-turn, offline"
    assert said([*arms[:20], late[1], *arms[21:]])[claim] == "4 of 5: met"
    assert (
        said([*arms[:15], late[0], *arms[16:20], late[1], *arms[21:]])[claim] == "3 of 5: not met"
    )


def test_alarms_of_other_settings():
    law = [4 / (number or 1) for number in range(9)]
    stuck = [*law[:6], *[law[5]] * 9]
    config = DistanceMonitor(early_rounds=4)
    assert watched_by(config, arm(OFFLINE, golden=stuck, proxy=stuck)).alarm == 7
    assert watched_by(config, arm(OFFLINE, golden=law, proxy=law, alarm=2)).alarm is None


@pytest.mark.parametrize(
    ("other", "claim", "text"),
    [
        (
            arm(OFFLINE, golden=risen(0.3), proxy=risen(0.3)),
            "offline: gap 5 % or more while the held-out proxy falls or stays",
            "0 of 1: not met",
        ),
        (
            arm(ONLINE[0], golden=risen(0.03)),
            "online-teacher: mean gap 1 % or less",
            "2.0 %: not met",
        ),
        (arm(ONLINE[1], alarm=4), "no alarm online", "1 alarms in 2 runs: not met"),
        (
            arm(FEWER, golden=risen(0.2)),
            "fewer prompts: a larger gap than offline",
            "0 of 1: not met",
        ),
        (arm(MORE, golden=risen(0.4)), "more answers: golden ends lower", "0 of 1: not met"),
        (arm(OFFLINE), "alarm at or before the U-turn, offline", "0 of 1: not met"),
    ],
)
def test_each_claim_can_fail(other, claim, text):
    arms = [one for one in as_claimed(0) if one.label != other.label]
    assert said([other, *arms])[claim] == text


def test_one_world_has_no_interval_and_so_shows_nothing_to_be_above_0():
    found = said(as_claimed(0))
    assert found["offline: mean gap 5 % or more, interval above 0"] == "20.0 %: not met"
    assert said([])["offline: mean gap 5 % or more, interval above 0"] == "not run"


def test_a_row_tells_where_golden_was_lowest():
    (line,) = list(rows([arm(OFFLINE, 3, golden=risen(0.3), alarm=2)]))[2:]
    assert line == (
        "| offline | 3 | 3.000, 1.500 (2), 1.800 | 3.000, 1.100 | 20.0 % | round 2 | hacking |"
    )
