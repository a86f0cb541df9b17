"""Which answers the report shows, and what it marks in them."""

import pytest

from reports import answers as report_answers
from reports.answers import SHOWN, differing, sample_groups
from tests.reports import report_examples as examples


def text(parts):
    return "".join(piece for piece, _ in parts)


def marked(parts):
    return [piece for piece, only_here in parts if only_here]


@pytest.mark.parametrize(
    ("left", "right", "only_left", "only_right"),
    [
        ("It is 17 + 5 = 21.", "It is 17 + 5 = 22.", ["21."], ["22."]),
        ("I see red 3 times. I see red", "I see red 2 times.", ["3", "I see red"], ["2"]),
        ("same\n\n  text ", "same text", [], []),  # white space is kept and not marked
        ("a b c d", "a b x c d", [], ["x"]),
        ("nothing of this", "has anything in common", [], []),
        ("", "an answer", [], []),
        ("  \n", "\n", [], []),
    ],
)
def test_what_only_one_answer_says_is_marked_and_no_sign_is_lost(
    left, right, only_left, only_right
):
    a, b = differing(left, right)
    assert (marked(a), marked(b)) == (only_left, only_right)
    assert (text(a), text(b)) == (left, right)


def test_very_long_answers_are_not_compared():
    left = "word " * 5_000
    assert differing(left, left + "more") == ([(left, False)], [(left + "more", False)])


def test_a_data_set_shows_its_largest_differences_and_half_as_many_ties():
    rows = [
        examples.samples()[0]
        | {"prompt_id": f"{outcome}-{n:03}", "outcome": outcome, "policy_score": 1.0 + n / 100}
        for outcome in (0.0, 0.5, 1.0)
        for n in range(40)
    ]
    (group,) = sample_groups(rows)
    assert group.counts == (40, 40, 40)
    assert [row["tag"] for row in group.rows] == (
        ["win"] * SHOWN[0] + ["loss"] * SHOWN[0] + ["tie"] * (SHOWN[0] // 2)
    )
    assert group.rows[0]["prompt_id"] == "1.0-039"


def test_fewer_are_shown_where_answers_are_long(monkeypatch):
    rows = [
        examples.samples()[1] | {"prompt_id": f"p{n:03}", "policy_completion": "x" * 1000}
        for n in range(40)
    ]
    monkeypatch.setattr(report_answers, "ROOM", 10_000)
    (group,) = sample_groups(rows)
    assert len(group.rows) == SHOWN[1] and group.counts[0] == 40
