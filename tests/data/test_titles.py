"""Stages are told apart by title, and compared by what does not change over rounds."""

import pytest

from bench.budgets import is_method
from data.titles import answering, plain, policy_name, scoring, without_policy

PLAIN = {
    answering("base", "test"): "answer test prompts",
    answering("round 12", "dev"): "answer dev prompts",
    scoring("base", "dev"): "teacher scores dev",
    scoring("round 2", "test"): "teacher scores test",
    "student scores dev (before)": "student scores dev",
    "reference (pairs of round 1)": "reference",
    "answer test prompts": "answer test prompts",  # as earlier versions wrote it
    "generate": "generate",
}


@pytest.mark.parametrize("title", PLAIN)
def test_a_plain_title_names_no_round(title):
    assert plain(title) == PLAIN[title]


def test_the_policy_alone_is_left_out():
    assert without_policy("student scores dev (before)") == "student scores dev (before)"
    assert without_policy("round 3 answers dev prompts") == "answer dev prompts"


def test_the_first_rounds_predecessor_is_the_base():
    assert [policy_name(n) for n in (0, 1, 2)] == ["base", "round 1", "round 2"]


def test_what_measures_is_no_part_of_the_method_under_any_title():
    measuring = [answering("base", "test"), scoring("round 2", "test"), "teacher scores test"]
    assert not any(map(is_method, measuring))
    assert all(map(is_method, [answering("base", "dev"), scoring("round 2", "dev"), "optimize"]))
