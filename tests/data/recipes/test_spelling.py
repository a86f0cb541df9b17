"""Recipes as they were spelt before: translated, or refused with today's spelling."""

import pytest

from data.errors import InputError
from data.recipes.spelling import current
from data.summary import read_summary, write_summary
from flows.recipe_files import load_recipe, recipe_of
from flows.table import recipe_from
from tests.reports import report_examples as examples

CELLS = [{"name": n, "path": f"{n}.json", "model": None, "version": v} for v, n in enumerate("ab")]
OLD_DUMP = {  # of a summary: everything is there
    "recipe": "ts-align",
    "run": "old",
    "rounds": 1,
    "world": None,
    "logged": None,
    "matrix": None,
    "labels": "student+teacher",
    "prompts": {"path": "p.jsonl"},
    "policy": {
        "model": "./policy",
        "method": "full",
        "losses": {"sigmoid": 1.0},
        "label_smoothing": 0.0,
        "margin_offset": 0.0,
        "dual_clip": {"variant": "one_sided", "chosen": 2.0, "rejected": 4.0},
        "pair_weight": {"form": "none", "beta_2": 1.0, "normalize": False},
        "adapter": {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"},
    },
    "student": {"model": "./student", "loss": "bradley_terry", "margin": 1.0},
    "teacher": {"model": "./teacher"},
}


def test_a_summary_of_before_is_a_recipe():
    recipe = recipe_from(OLD_DUMP)
    assert recipe.policy.adapter is None and recipe.policy.pair_weight.form == "none"
    assert recipe.model_dump(mode="json")["policy"]["losses"] == {
        "sigmoid": {"weight": 1.0, "margin_offset": 0.0}
    }
    assert recipe_from(recipe.model_dump(mode="json")) == recipe


def test_settings_move_to_the_losses_that_use_them():
    policy = {
        "losses": {"dual_clip": 1.0, "sigmoid": 0.5},
        "dual_clip": {"chosen": 0.1},
        "margin_offset": 0.3,
    }
    losses = recipe_from(OLD_DUMP | {"policy": policy | {"model": "./p"}}).policy.losses
    assert (losses.dual_clip.weight, losses.dual_clip.chosen) == (1.0, 0.1)
    assert (losses.sigmoid.weight, losses.sigmoid.margin_offset) == (0.5, 0.3)
    smooth = {"losses": {"robust": 1, "exo_pair": 2}, "label_smoothing": 0.1, "model": "./p"}
    losses = recipe_from(OLD_DUMP | {"policy": smooth}).policy.losses
    assert losses.label_smoothing == losses.exo_pair.label_smoothing == 0.1
    ranking = {"model": "./s", "loss": "margin_ranking", "margin": 0.5}
    assert recipe_from(OLD_DUMP | {"student": ranking}).student.loss.margin == 0.5


def test_logged_completions_and_recorded_cells_name_their_flow():
    logged = OLD_DUMP | {"logged": {"completions": "c.jsonl"}}
    recipe = recipe_from(logged)
    assert (recipe.recipe, recipe.student.model) == ("logged", "./student")
    matrix = {"cells": CELLS, "correction": {"judge": "none"}}
    values = OLD_DUMP | {"labels": "matrix", "matrix": matrix, "teacher": {"model": "world"}}
    values |= {"policy": OLD_DUMP["policy"] | {"model": "none"}, "generate": {"max_tokens": 100}}
    recipe = recipe_from(values)
    assert (recipe.recipe, len(recipe.cells), recipe.max_length) == ("matrix", 2, 612)
    assert recipe.teacher.model is None


REFUSED = {
    "policy: {model: none}": "policy.model: 'none' makes pairs of recorded answers",
    "policy: {dual_clip: {chosen: 3.0}}": "as policy.losses: {dual_clip: {chosen: 3.0}}",
    "policy: {label_smoothing: 0.1}": "as policy.losses: {robust: {label_smoothing: 0.1}}",
    "policy: {method: full, adapter: {r: 4}}": "policy.adapter: the method full has none",
    "student: {margin: 2.0}": "as student.loss: {name: margin_ranking, margin: 2.0}",
    "policy: {model: none}\nrounds: 2": "(today 'recipe: matrix')",
    "policy: {pair_weight: {beta_2: 3.0}}": "as policy.pair_weight: {form: sigmoid, beta_2: 3.0}",
    "recipe: best-of-n\nlogged: {completions: a}": "unknown key 'logged' in a recipe of best-of-n",
    "logged: {completions: a}\nrounds: 2": "rounds: logged completions are learnt from in one",
}


@pytest.mark.parametrize(("text", "says"), REFUSED.items(), ids=REFUSED)
def test_what_would_be_ignored_is_refused_with_todays_spelling(tmp_path, text, says):
    (tmp_path / "x.yaml").write_text(f"run: a\nworld: {{}}\n{text}\n")
    with pytest.raises(InputError) as error:
        load_recipe(tmp_path / "x.yaml")
    assert says in str(error.value) and str(error.value).startswith(str(tmp_path / "x.yaml"))


def test_todays_spelling_stays_as_it_is():
    recipe = recipe_from({"run": "a", "world": {}})
    values = recipe.model_dump(mode="json")
    assert current(values) == values and current(["no recipe"]) == ["no recipe"]


def test_a_summary_of_before_is_read_in_todays_spelling(tmp_path):
    summary = examples.aligned()
    summary.config = OLD_DUMP
    write_summary(tmp_path / "summary.json", summary)
    config = read_summary(tmp_path / "summary.json").config
    assert recipe_from(config) == recipe_from(OLD_DUMP) and "margin" not in config["student"]
    summary.config = OLD_DUMP | {"student": {"margin": 3.0}}  # of no loss: it stays as it was
    write_summary(tmp_path / "summary.json", summary)
    assert read_summary(tmp_path / "summary.json").config == summary.config
    with pytest.raises(InputError, match="its recipe is of another version of tsalign"):
        recipe_of(tmp_path)
