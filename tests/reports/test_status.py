from io import StringIO

import pytest
from rich.console import Console

from flows.earlier import whole
from reports import status
from tests.reports import report_examples as examples


def verdict(summary):
    return status.meaning(whole(summary))


def result_line(summary):
    return status.result_line(whole(summary))


def short_result(summary):
    return status.short_result(whole(summary))


def shown(summary, width=80):
    console = Console(width=width, file=StringIO())
    console.print(status.format_status(whole(summary)))
    return console.file.getvalue()


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_rounds_and_result_fit_a_narrow_terminal():
    text = shown(examples.aligned())
    rows = cells(text)
    assert ["1", "915", "22%", "74.2%", "to", "78.1%", "91.2%", "62.1%", "±2.4", "yes"] in rows
    assert ["3", "776", "20%", "80.3%", "to", "81.1%", "85.3%", "71.2%", "±2.4", "yes"] in rows
    assert "Win rate over the base: 71.2\u202f% (68.8 to 73.5\u202f%)" in text


def test_a_refused_policy_shows():
    rows = cells(shown(examples.aligned(last_adopted=False)))
    assert [row[-1] for row in rows if row and row[0] in "123"] == ["yes", "yes", "no"]


def refused():
    summary = examples.aligned()
    for entry in summary.rounds:
        entry.adopted = False
    summary.final = None
    return summary


def test_a_refused_policy_shows_its_win_rate():
    line = result_line(refused()).replace("\u202f", " ")
    assert line == (
        "Win rate over the base: 71.2 % (68.8 to 73.5 %), judged by the oracle, round 3: "
        "not adopted, the base policy stays"
    )
    assert short_result(refused()).endswith("73.5\u202f%), not adopted")


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.45, 0.55), "No result: the interval includes 50 %"),
        ((0.51, 0.6), "The policy is better than the base: the whole interval lies above 50 %."),
        ((0.4, 0.49), "The policy is worse than the base: the whole interval lies below 50 %."),
    ],
)
def test_an_honest_sentence_goes_with_the_interval(ends, words):
    summary = examples.aligned()
    summary.final.ci95 = ends
    assert verdict(summary)[0].startswith(words)


@pytest.mark.parametrize("judge, words", [("teacher", "both label and judge"), ("oracle", "exact")])
def test_the_judge_is_called_what_it_is(judge, words):
    summary = examples.aligned()
    summary.final.judge = judge
    assert words in verdict(summary)[1]


def test_a_student_is_held_against_the_longer_answer():
    summary = examples.logged()
    assert verdict(summary)[0].startswith("The student is better than the rule 'the longer answer")
    summary.rounds[-1].student.longer_baseline = 0.6
    assert verdict(summary)[0].startswith("No result: ")


def test_nothing_is_said_of_what_was_not_measured():
    summary = examples.aligned()
    summary.final, summary.rounds = None, []
    assert verdict(summary) == [] and short_result(summary) == "none yet"


def test_a_logged_run_shows_the_students_agreement():
    line = result_line(examples.logged()).replace("\u202f", " ")
    assert line == (
        "Student agrees with gpt-4: 49.8 % → 61.1 % (58.9 to 63.4 %); the longer answer: 57.8 %"
    )
    assert "57.8%" in shown(examples.logged()) and "win rate" not in shown(examples.logged())


@pytest.mark.parametrize("rounds", [0, 1])
def test_an_unfinished_run_says_what_to_do(rounds):
    summary = examples.aligned()
    summary.final = summary.finished = None
    summary.rounds = summary.rounds[:rounds]
    assert "Run the recipe again" in shown(summary, width=200)


def test_a_run_named_like_markup_is_shown_as_it_is():
    summary = examples.aligned()
    summary.run = "[red]x[/red]"
    assert "[red]x[/red]" in shown(summary)
