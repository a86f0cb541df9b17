"""What is said before a run: what will happen, how long as far as it is known, and where."""

import pytest

from data.recipes.files import PROJECT
from data.recipes.loading import config_digest
from data.summary import write_summary
from flows.planning.outlook import MEASURED, outlook
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from tests.reports import report_examples as examples


def said(name, folder, *overrides):
    recipe = load_recipe(PROJECT / f"{name}.yaml", overrides)
    return outlook(recipe, fitted(recipe), folder, "store")


def test_the_numbers_of_a_round(tmp_path):
    what, _, where = said("small", tmp_path / "small")
    assert "2 rounds of 63 prompts x 4 answers" in what
    assert "student screens all 252" in what and "judges up to 63 pairs" in what
    assert str(tmp_path / "small") in where and "store" in where


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tso", "cells of the matrix"),
        ("optune", "teacher scores all"),
        ("logged", "nothing is generated."),
        ("tso_logged", "recorded answers of 47 models"),
    ],
)
def test_every_method_in_its_words(name, words, tmp_path):
    assert words in said(name, tmp_path)[0]


@pytest.mark.parametrize("name", MEASURED)
def test_a_measured_recipe_says_how_long(name, tmp_path):
    assert f"about {MEASURED[name]}" in said(name, tmp_path)[1]
    assert f"about {MEASURED[name]}" in said(name, tmp_path, "seed=3")[1]
    assert "not known" in said(name, tmp_path, "prompts.per_round=20")[1]


def test_an_earlier_run_of_the_same_recipe_says_how_long(tmp_path):
    recipe = load_recipe("small", ["generate.k=3"])
    summary = examples.aligned()
    summary.config_digest = config_digest(fitted(recipe))
    write_summary(tmp_path / "summary.json", summary)
    _, time, _ = outlook(recipe, fitted(recipe), tmp_path, "store")
    assert "once took" in time
    summary.finished, summary.rounds = None, summary.rounds[:1]
    write_summary(tmp_path / "summary.json", summary)
    _, time, _ = outlook(recipe, fitted(recipe), tmp_path, "store")
    assert time.startswith("Time: its 1 finished round took ")
