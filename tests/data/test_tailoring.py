"""Which drafts make pairs, and which are learned, from scores that are known."""

import random

import pytest

from data.elicitation import ASK, asking, asking_for_question
from data.tailoring import (
    Draft,
    best_styles,
    draft_scores,
    picked,
    question_pairs,
    rationale_pairs,
    style_scores,
)

SCORES = {  # by question: of the styles a, b and c
    "q0": (0.9, 0.1, 0.5),
    "q1": (0.8, 0.2, 0.2),
    "q2": (0.1, 0.9, 0.5),
    "q3": (0.0, 0.0, 0.0),
}
DRAFTS = [
    Draft(f"{question}{style}", question, "t", style, score)
    for question, scores in SCORES.items()
    for style, score in zip("abc", scores, strict=True)
]
OTHER = [Draft(f"p{i}{style}", f"p{i}", "u", style, 0.5) for i in range(4) for style in "ab"]


def names(drafts):
    return [one.draft for one in drafts]


def test_a_rationale_pair_is_the_best_and_the_worst_of_a_question():
    found = [(one.chosen, one.rejected, one.scores) for one in rationale_pairs(DRAFTS)]
    assert found == [
        ("q0a", "q0b", (0.9, 0.1)),
        ("q1a", "q1b", (0.8, 0.2)),
        ("q2b", "q2a", (0.9, 0.1)),
    ]  # of q3 all score alike


def test_a_question_pair_is_of_the_best_and_the_worst_quarter_of_its_task():
    found = question_pairs(DRAFTS + OTHER, 20, 0.25, random.Random(0))
    # Means: q0 0.5, q1 0.4, q2 0.5, q3 0; of the other task all are worth the same.
    assert {(one.task, one.chosen, one.rejected) for one in found} == {("t", "q0", "q3")}
    assert len(found) == 20 and found[0].scores == pytest.approx((0.5, 0.0))
    wider = question_pairs(DRAFTS, 50, 0.5, random.Random(0))
    assert {one.chosen for one in wider} == {"q0", "q2"}
    assert {one.rejected for one in wider} == {"q1", "q3"}


def test_scores_of_styles_are_means_within_tasks():
    found = style_scores(DRAFTS + OTHER)
    assert found["t"] == pytest.approx({"a": 0.45, "b": 0.3, "c": 0.3})
    assert best_styles(DRAFTS + OTHER) == {"t": "a", "u": "a"}


def test_what_is_learned():
    rng = random.Random(0)
    assert names(picked(DRAFTS, "best", None, rng)) == ["q0a", "q1a", "q2b", "q3a"]
    assert names(picked(DRAFTS, "fixed", None, rng)) == ["q0a", "q1a", "q2a", "q3a"]
    assert names(picked(DRAFTS, "style", "c", rng)) == ["q0c", "q1c", "q2c", "q3c"]
    drawn = [names(picked(DRAFTS, "random", None, random.Random(i))) for i in range(60)]
    assert {name for found in drawn for name in found} == set(names(DRAFTS))
    assert all([name[:2] for name in found] == list(SCORES) for found in drawn)
    without = [one for one in DRAFTS if one.draft != "q1c"]
    assert names(picked(without, "style", "c", rng)) == ["q0c", "q2c", "q3c"]


def test_a_score_is_a_share():
    assert draft_scores({"a": [True, False, True, True], "b": [False]}) == {"a": 0.75, "b": 0.0}


def test_what_a_teacher_is_asked():
    assert asking("Why?", "2 + 2") == "Why?\n2 + 2"
    text = asking_for_question(ASK, "sums", ["1 + 1", "2 + {task}"])
    assert text.startswith("Write a new question of the task sums, ")
    assert text.splitlines()[1:] == ["1 + 1", "2 + {task}"]
