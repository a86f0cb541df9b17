"""The report tells of the method that ran, not of TS-Align's parts where there are none."""

from io import StringIO

import pytest
from rich.console import Console

from flows.earlier import whole
from flows.loop.rules import warnings
from flows.loop.wording import words
from reports.compare import comparison_html
from reports.status import format_status
from tests.reports import report_examples as examples
from tests.reports.test_report import Page, page, section

OPTUNE = {
    "labels": "teacher",
    "student": {"model": "none"},
    "prompts": {"refresh": {"share": 0.5, "by": "reward"}},
}
CELLS = [{"name": "newest", "model": "policy"}, {"name": "people", "human": True}]
TSO = {
    "labels": "matrix",
    "student": {"model": "none"},
    "matrix": {"cells": CELLS, "correction": {"judge": "teacher"}},
    "gate": {"min_win_rate": 0.0},
    "evaluate": {"every": 2},
}


def run(config):
    """A run of a method without a student, as its summary would be."""
    summary = examples.aligned(judge="teacher")
    summary.config |= config
    for entry in summary.rounds:
        entry.student = type(entry.student)(adopted=False)
        entry.drift.student_reward = entry.label_precision = None
        entry.label_precision_by_dataset = {}
    return summary


def test_optune_has_no_student_and_says_which_prompts_are_answered_again():
    summary = run(OPTUNE)
    for entry in summary.rounds:
        entry.ledger.agreed, entry.ledger.swapped = entry.ledger.mined, 0
        entry.ledger.teacher_tied, entry.swap_rate = 0, 0.0
        entry.teacher_calls = entry.ledger.generated
    summary.rounds[1].ledger.reused = summary.rounds[1].ledger.trained = 500
    shown = page(summary, examples.samples())
    assert "after the first, 50% of them are answered again" in shown.text
    assert "with the lowest rewards" in shown.text
    assert words(summary.config).tied == "all answers alike to the teacher"
    assert "the teacher scores every answer" in shown.text and "500 500 reused" in shown.text
    assert "teacher calls to label pairs, one for every answer" in shown.text
    assert "Are the labels right?" not in shown.text and "reversed by" not in shown.text
    told = shown.text.split("Provenance")[-2]
    assert "student picks" not in told.replace("No student picks", "")
    assert "not adopted" not in told and "Student's reward" not in told


def test_tso_tells_of_its_cells_and_of_the_presumed_order():
    shown = page(run(TSO), examples.samples()).text
    assert "The cells of the model matrix (newest, people) each answer the prompts." in shown
    assert "the teacher agreed with the presumed order on 741 and reversed 214" in shown
    assert "Every new policy is adopted, better or not. It is judged every 2 rounds." in shown
    assert "reversed by the teacher" in shown and "the student" not in shown
    uncorrected = TSO | {"matrix": {"cells": CELLS, "correction": {"judge": "none"}}}
    shown = page(run(uncorrected), examples.samples()).text
    assert "which nobody checks" in shown and "reversed by" not in shown
    assert "The teacher has decided which policies were kept" in shown


def test_warnings_blame_nobody_who_is_not_there():
    summary = run(TSO)
    summary.rounds[0].ledger.swapped, summary.rounds[0].ledger.agreed = 741, 214
    summary.rounds[0].ledger.truncated = 4000
    found = {one.rule: one.found for one in warnings({}, summary.rounds, words(summary.config))}
    assert "the presumed order is worse than chance" in found["many_swaps"]
    assert "too long for the judge" in found["cut_short"]


def test_a_student_that_labels_alone_is_checked_by_nobody():
    summary = examples.aligned(judge="teacher")
    summary.config["labels"] = "student"
    shown = page(summary, examples.samples()).text
    assert "the teacher labels nothing" in shown and "student agrees" in shown
    assert "The teacher has decided which policies were kept" in shown


def test_a_function_of_the_recipe_is_named_without_its_folder():
    summary = examples.aligned()
    summary.config["labels"] = "/home/someone/mine.py:lexical"
    assert "the recipe's own function lexical makes pairs" in page(summary).text


@pytest.mark.parametrize("share", [0.0, 0.5, 0.7])
def test_the_gate_is_told_as_it_was_set(share):
    summary = examples.aligned()
    summary.config["gate"] = {"min_win_rate": share}
    said = {0.0: "better or not", 0.5: "only if the teacher prefers it", 0.7: "at least 70%"}
    told = section(page(summary), "Round by round")
    assert [text in told for text in said.values()].count(True) == 1 and said[share] in told


def test_a_refused_policy_shows_its_win_rate():
    summary = examples.aligned()
    summary.final = None
    for entry in summary.rounds:
        entry.adopted = False
    shown = page(summary).text
    assert (
        "No new policy was adopted 71.2 % win rate over the base in round 3, not adopted" in shown
    )


def begun(config):
    """The same after the first of two rounds, whose policy is not judged yet."""
    summary = run(config | {"rounds": 2})
    summary.rounds = summary.rounds[:1]
    summary.final = summary.finished = summary.rounds[0].policy = summary.rounds[0].drift = None
    summary.base = {}
    return summary


@pytest.mark.parametrize("config", [OPTUNE, TSO], ids=["optune", "tso"])
def test_a_run_after_its_first_round_is_none_of_recorded_answers(config):
    summary = begun(config)
    shown = page(summary).text
    assert "The run has not finished. Run the recipe again" in shown
    assert "recorded" not in shown and "No result yet" in shown
    assert "Round by round" in shown and "Agreement with the judge" not in shown
    assert "not judged" in shown and "Drift" in shown
    assert "longer answer" not in terminal(summary) and "win rate" in terminal(summary)


@pytest.mark.parametrize("config", [OPTUNE, TSO], ids=["optune", "tso"])
def test_neither_terminal_nor_comparison_tell_of_a_student_where_there_is_none(config):
    summary = run(config)
    assert "student" not in terminal(summary) and "71.2" in terminal(summary)
    both = Page(comparison_html(whole(summary), whole(summary), [], [])).text
    told = both.split("What was measured")[1].split("Provenance")[0]
    assert "student" not in told.lower() and "win rate over the base" in told


def terminal(summary):
    console = Console(width=100, file=StringIO())
    console.print(format_status(whole(summary)))
    return console.file.getvalue()
