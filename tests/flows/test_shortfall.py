"""A round without a pair stops there, with its ledger and a remedy that helps."""

import copy
import re
import shutil

import pytest

from cli.main import main
from data.ledger import Ledger
from data.summary import read_summary
from flows.loop.shortfall import few_line, mined_line, reason
from flows.table import recipe_from

WORLD = {"run": "r", "world": {}}


def recipe_of(**sections):
    return recipe_from(WORLD | sections)


def said_of(counts, **sections):
    return reason(Ledger(**counts), recipe_of(**sections))


MATRIX = {
    "labels": "matrix",
    "matrix": {
        "cells": [
            {"name": "a", "model": "policy", "scale": 2},
            {"name": "b", "model": "world-small"},
        ]
    },
}
NOTHING = {"asked": 100, "generated": 400, "no_candidates": 100}
MINED = {"asked": 100, "generated": 400, "paired": 100, "mined": 100}

# Counts, the recipe, what must be said: the cause that took most, and a remedy that names a value.
CASES = [
    (NOTHING | {"truncated": 397, "empty": 3}, {"generate": {"max_tokens": 64}},
     "400 completions: 397 truncated, 3 empty (generate.max_tokens is 64: raise it"),
    (NOTHING | {"empty": 400}, {}, "400 empty (the policy ends its answers at once"),
    (NOTHING | {"unscored": 400}, {}, "400 too long for the student (take one that reads more"),
    (NOTHING | {"unscored": 400}, {"labels": "teacher"}, "400 too long for the teacher"),
    (NOTHING | {"usable": 100, "duplicate": 300}, {"generate": {"temperature": 0.1}},
     "300 repeated (generate.temperature is 0.1: raise it"),
    (NOTHING | {"usable": 100, "duplicate": 300}, MATRIX, "300 repeated (the cells give the same"),
    (MINED | {"mined": 0, "paired": 0, "tied": 100}, {}, "100 prompts tied (the student gives all"),
    (MINED | {"mined": 0, "paired": 0, "tied": 100}, {"mine": {"min_margin": 2.5}},
     "(mine.min_margin is 2.5: lower it)"),
    (MINED | {"mined": 0, "paired": 0, "tied": 100}, {"labels": "teacher"}, "(the teacher gives"),
    (MINED | {"teacher_tied": 100}, {}, "100 pairs that the teacher scores alike (the teacher can"),
    (MINED | {"unjudged": 100}, {}, "100 pairs too long for the teacher (take one that reads"),
    (MINED | {"agreed": 100, "below_margin": 100}, {"teacher": {"min_margin": 3.0}},
     "100 pairs below teacher.min_margin (teacher.min_margin is 3: lower it)"),
    (MINED | {"swapped": 100, "dropped_disagreement": 100}, {},
     "(teacher.on_disagreement is drop: set it to swap"),
    (MINED | {"swapped": 100, "dropped_disagreement": 100}, MATRIX,
     "(matrix.correction.on_reversed is drop: set it to swap)"),
    (MINED | {"inconsistent": 100}, MATRIX, "set matrix.correction.on_unsure=keep"),
]  # fmt: skip


@pytest.mark.parametrize("counts, sections, said", CASES)
def test_the_cause_and_its_remedy_are_named(counts, sections, said):
    assert said in said_of(counts, **sections)


def test_what_mining_left_over_is_one_line():
    counts = MINED | {"truncated": 60, "tied": 12, "agreed": 100, "labelled": 98, "below_margin": 2}
    line = mined_line(Ledger(**counts), recipe_of())
    assert line == (
        "98 pairs of 100 prompts; left over: 60 truncated, 12 prompts tied, 2 pairs below "
        "teacher.min_margin"
    )
    kept = MINED | {"unjudged": 100, "kept_unsure": 100, "labelled": 100}  # a matrix, no judge
    assert mined_line(Ledger(**kept), recipe_of(**MATRIX)) == "100 pairs of 100 prompts"
    kept |= {"unparsable": 30}
    assert mined_line(Ledger(**kept), recipe_of(**MATRIX)) == "100 pairs of 100 prompts"
    silent = MINED | {"unjudged": 50, "unparsable": 30, "agreed": 50, "labelled": 50}
    assert mined_line(Ledger(**silent), recipe_of()) == (
        "50 pairs of 100 prompts; left over: 20 pairs too long for the teacher, "
        "30 pairs without a verdict of the teacher"
    )


def test_few_pairs_are_worth_a_warning():
    ledger = Ledger(asked=1000, labelled=49)
    assert few_line(ledger, recipe_of(), 31).startswith("warning: 31 pairs are less than one batch")
    assert few_line(ledger, recipe_of(), 49) == "warning: only 49 of 1,000 prompts gave a pair"
    assert few_line(Ledger(asked=1000, labelled=50), recipe_of(), 50) == ""


@pytest.fixture
def align(without_prefect, tiny_recipe, tiny_copy, write_recipe, capsys):
    """Run the tiny recipe with other values, in its store: exit status, stderr and summary."""
    shutil.rmtree(tiny_copy / "runs")

    def call(*arguments, **changes):
        values = copy.deepcopy(tiny_recipe)
        for name, value in changes.items():
            old = values.get(name)
            values[name] = old | value if isinstance(old, dict) else value
        where = ["--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs")]
        code = main(["align", str(write_recipe(values)), *where, *arguments])
        error = capsys.readouterr().err
        return code, error, read_summary(tiny_copy / "runs" / "tiny" / "summary.json")

    return call


STOPS = {
    "truncated": (
        {"generate": {"max_tokens": 1}, "mine": {"drop_truncated": True}},
        r"39 truncated, 1 empty \(generate.max_tokens is 1: raise it",
    ),
    "teacher": (
        {"labels": "teacher", "generate": {"temperature": 0.0}, "student": {"model": "none"}},
        r"30 repeated \(generate.temperature is 0: raise it",
    ),
    "student": ({"labels": "student", "mine": {"min_margin": 1e9}}, r"10 prompts tied \(mine.min"),
    "margin": (
        {"teacher": {"min_margin": 1e9}},
        r"below teacher.min_margin \(teacher.min_margin is",
    ),
    "matrix": (
        {
            "labels": "matrix",
            "matrix": {"cells": [{"name": "a", "model": "policy", "scale": 2}]},
            "student": {"model": "none"},
            "generate": {"max_tokens": 1},
            "mine": {"drop_truncated": True},
        },
        r"truncated.* \(generate.max_tokens is 1: raise it",
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_round_without_a_pair_stops_before_its_trainings(
    align, tiny_recipe, capsys, tmp_path, name
):
    changes, said = STOPS[name]
    if name == "matrix":
        smaller = {"name": "b", "model": tiny_recipe["policy"]["model"]}
        changes = changes | {"matrix": {"cells": [*changes["matrix"]["cells"], smaller]}}
    code, error, summary = align("--quiet", **changes)
    assert code == 2 and error.count("\n") == 1, error
    assert error.startswith("tsalign: error: round 1: no pair is left of ")
    assert re.search(said, error), error
    (entry,) = summary.rounds
    assert entry.stopped and entry.stopped in error and summary.finished is None
    titles = {record.stage for record in entry.stages}
    assert "mine" in titles and not titles & {"distill", "reference", "optimize"}
    assert main(["status", "tiny", "--runs-dir", str(tmp_path / "runs")]) == 0
    assert "Stopped in round 1: no pair is left" in " ".join(capsys.readouterr().out.split())


LATER = '''
"""Nothing is labelled from the second round on."""
from flows.loop.label import by_student_and_teacher

def label(run, recipe, parts, state, number):
    if number > 1:
        strict = recipe.teacher.model_copy(update={"min_margin": 1e9})
        recipe = recipe.model_copy(update={"teacher": strict})
    return by_student_and_teacher(run, recipe, parts, state, number)
'''


@pytest.mark.parametrize(
    "stored",
    [
        "replay",
        pytest.param("refresh", marks=pytest.mark.slow),
        pytest.param("share", marks=pytest.mark.slow),
    ],
)
def test_a_later_round_without_a_pair_goes_on_with_earlier_ones(align, tmp_path, stored):
    code = tmp_path / "later.py"
    code.write_text(LATER)
    changes = {
        "labels": f"{code}:label",
        "runtime": {"trust_remote_code": True},
        "policy": {"replay": {"replay": "all", "refresh": "none", "share": "share"}[stored]},
        "prompts": {"refresh": {"share": 0.5}} if stored == "refresh" else {},
    }
    status, error, summary = align(**changes)
    first, second = summary.rounds
    assert "pairs of 10 prompts" in error
    if stored == "share":  # of no new pairs: none
        assert status == 2 and second.stopped and first.policy
        return
    assert status == 0 and "no new pair; the policy trains on" in error
    assert second.ledger.labelled == 0 and second.ledger.trained == second.ledger.reused > 0
    assert "distill" not in {record.stage for record in second.stages}
