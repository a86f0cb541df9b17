"""The world of puzzles: right answers, four styles of one computation, parts that share nothing."""

import random

import pytest

from data.final_answer import final_answer, is_right, plain
from data.world import puzzles
from data.world.puzzle_lessons import student_lessons, teacher_lessons
from data.world.puzzles import FAMILIES, LEVELS, MARKER, STYLES, falling, odd, solve, sorting


def test_each_family_computes_what_it_says():
    one = odd([7, 2, 9, 7])
    assert one.text == "odd 7 2 9 7"
    assert one.rationale("steps") == "take 7 left 9 7 then take 7 left 9 then take 9 answer 7 7 9"
    assert one.rationale("short") == "7 7 9 answer 7 7 9"
    assert one.rationale("recall") == "we have odd 7 2 9 7 so 7 7 9 answer 7 7 9"
    assert one.rationale("words") == "seven then seven then nine answer 7 7 9"
    assert sorting([7, 2, 9]).rationale("steps") == (
        "take 2 left 7 9 then take 7 left 9 then take 9 answer 2 7 9"
    )
    fallen = falling([2, 9, 7])
    assert (
        fallen.rationale("steps") == "take 9 left 2 7 then take 7 left 2 then take 2 answer 9 7 2"
    )
    assert fallen.results == ("9", "7", "2") and fallen.answer == "9 7 2"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_style_ends_at_the_answer_and_the_text_alone_gives_it(family):
    rng = random.Random(0)
    for level in LEVELS * 10:
        one = FAMILIES[family](level, rng)
        assert solve(one.text) == one.answer
        for style in STYLES:
            assert final_answer(one.rationale(style), MARKER) == one.answer
        assert len({one.rationale(style) for style in STYLES}) == len(STYLES)


@pytest.mark.parametrize(
    "text",
    ["", "odd", "odd 7", "odd 2 4", "odd 17 2", "sort", "sort 7 a", "add 7 2",
     "sort 7 5 answer 5 7"],
)  # fmt: skip
def test_what_is_no_puzzle_has_no_answer(text):
    assert solve(text) is None


def test_parts_share_no_puzzle_and_are_the_same_for_a_seed():
    parts = {
        part: {one.text for family in FAMILIES for one in puzzles.different(family, part, 40, 3)}
        for part in ("seeds", "validation", "test")
    }
    assert all(len(found) == 40 * len(FAMILIES) for found in parts.values())
    assert len(set.union(*parts.values())) == 120 * len(FAMILIES)
    again = [one.text for one in puzzles.different("odd", "test", 40, 3)]
    assert again == [one.text for one in puzzles.different("odd", "test", 40, 3)]
    assert again != [one.text for one in puzzles.different("odd", "test", 40, 4)]
    with pytest.raises(ValueError, match="the puzzles 'odd' run out"):
        puzzles.different("odd", "seeds", 100_000, 0)


def test_nobody_learns_a_puzzle_that_is_held_out():
    learned = [talk for make in (student_lessons, teacher_lessons) for talk in make(300, 1)]
    texts = [turn["content"] for talk in learned for turn in talk if turn["role"] == "user"]
    asked = [line for text in texts for line in text.splitlines() if solve(line)]
    assert len(asked) > 600
    held_out = {
        one.text
        for family in FAMILIES
        for part in ("seeds", "validation", "test")
        for one in puzzles.different(family, part, 60, 0)
    }
    assert not held_out & set(asked)


def test_a_student_is_shown_its_familys_puzzles_in_the_style_of_its_answer():
    lengths = set()
    for talk in student_lessons(200, 0):
        lengths.add(len(talk))
        said = [
            next(style for style in STYLES if _same(question, answer, style))
            for question, answer in zip(talk[::2], talk[1::2], strict=True)
        ]
        assert len(set(said)) == 1
        assert len({turn["content"].split()[0] for turn in talk[::2]}) == 1
    assert lengths == {2, 4, 6}


def _same(question, answer, style):
    return _puzzle(question["content"]).rationale(style) == answer["content"]


def _puzzle(text):
    word, *digits = text.split()
    make = {"sort": sorting, "odd": odd, "fall": falling}[word]
    return make([int(one) for one in digits])


@pytest.mark.parametrize(
    ("text", "marker", "found"),
    [
        ("so 2 9 answer 9", "answer", "9"),
        ("answer 1. No: ANSWER: 2, 3.", "answer", "2, 3"),
        ("So the answer is **Yes**.\nBye.", "the answer is", "yes"),
        ("no end", "answer", None),
        ("the answer", "answer", None),
        ("The last word, ok.", "", "ok"),
        ("", "", None),
    ],
)
def test_the_answer_is_what_follows_the_last_marker(text, marker, found):
    assert final_answer(text, marker) == found


def test_answers_are_compared_plainly():
    assert plain('  "Not  Plausible." ') == "not plausible"
    assert is_right("answer Yes", "answer", "yes.") and not is_right("", "answer", "yes")
