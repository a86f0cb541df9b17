"""Sizes that a recipe leaves out follow from how many prompts there are."""

import json

import pytest

from data.recipes.methods import RefreshConfig
from flows.preflight.fitting import fitted, left_out, said
from flows.preflight.inputs import check_inputs
from flows.preflight.prompts import check_pool
from flows.preflight.sizes import shared_out
from flows.recipe_files import load_recipe
from flows.table import recipe_from

HELD_OUT = {"dev_size": 0, "test_size": 0}


@pytest.mark.parametrize("rounds", [1, 3, 7])
@pytest.mark.parametrize("given", [{}, {"per_round": 2}, {"dev_size": 3}, HELD_OUT])
def test_they_never_need_more_than_there_is(rounds, given):
    for available in [20, 21, 60, 100, 999, 5_000, 100_000]:
        sizes = shared_out(available, rounds, given)
        assert sizes | given == sizes
        assert sizes["dev_size"] + sizes["test_size"] + rounds * sizes["per_round"] <= available
        assert sizes["per_round"] >= 1
        assert sizes["per_round"] <= 1_000 and sizes["test_size"] <= 500 >= sizes["dev_size"]


def test_a_tenth_a_fifth_and_the_rest_up_to_the_defaults():
    assert shared_out(100, 2, {}) == {"dev_size": 10, "test_size": 20, "per_round": 35}
    assert shared_out(10**5, 3, {}) == {"dev_size": 200, "test_size": 500, "per_round": 1000}
    given = {"per_round": 9}
    assert shared_out(30, 3, given) == given | {"dev_size": 2, "test_size": 2}  # preflight refuses
    assert shared_out(36, 3, given) == given | {"dev_size": 2, "test_size": 6}


@pytest.fixture
def recipe_of(tiny_recipe, tmp_path):
    """A recipe of the tiny models on so many prompts, of which each is there twice."""

    def make(prompts, rounds=1, **fields):
        path = tmp_path / "prompts.jsonl"
        rows = [json.dumps({"prompt": f"What is {i} plus 1?"}) + "\n" for i in range(prompts)]
        path.write_text("".join(rows * 2))
        values = {"path": str(path), "max_tokens": 64, **fields}
        return recipe_from(tiny_recipe | {"rounds": rounds, "prompts": values})

    return make


def test_a_run_on_few_prompts_is_not_refused(recipe_of):
    recipe = recipe_of(30, rounds=2)
    values = left_out(recipe)
    assert {k: n for k, n in values.items() if k.startswith("prompts.")} == {
        "prompts.dev_size": 3, "prompts.test_size": 6, "prompts.per_round": 10,
    }  # fmt: skip
    assert "prompts.test_size 6" in said(values)
    whole = fitted(recipe)
    assert check_inputs(whole) == [] and left_out(whole) == {}


def test_files_of_held_out_prompts_take_nothing_of_the_pool_but_what_they_share(
    recipe_of, tmp_path
):
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"prompt": "What is 3 plus 1?"}) + "\n")
    recipe = recipe_of(31, dev_path=str(path), test_path=str(path))
    assert recipe.sizes() == {"prompts.per_round": 30}
    check_pool(fitted(recipe).prompts, recipe.rounds, 30)


def test_prompts_asked_again_in_every_round_are_counted_once(recipe_of):
    recipe = recipe_of(40, rounds=4)
    assert recipe.sizes()["prompts.per_round"] == 7
    prompts = recipe.prompts.model_copy(update={"refresh": RefreshConfig(share=0.5)})
    refreshed = recipe.model_copy(update={"prompts": prompts})
    assert refreshed.sizes()["prompts.per_round"] == 40 - 4 - 8


def test_a_changed_file_is_counted_again(recipe_of):
    assert recipe_of(30).sizes()["prompts.per_round"] == 21
    assert recipe_of(50).sizes()["prompts.per_round"] == 35


def test_the_world_has_its_own_held_out_prompts(tmp_path):
    world = {"run": "w", "world": {"prompts": 120}, "rounds": 3}
    assert recipe_from(world).sizes() == {"prompts.per_round": 40}


def test_prompts_that_cannot_be_read_are_left_to_preflight(recipe_of, tmp_path):
    recipe = recipe_of(30)
    (tmp_path / "prompts.jsonl").write_text("{")
    assert recipe.sizes() == {}
    (tmp_path / "prompts.jsonl").unlink()
    assert recipe.sizes() == {}


def test_sizes_that_are_given_cost_no_reading(tiny_recipe, monkeypatch):
    monkeypatch.setattr("flows.preflight.sizes.read_files", lambda *_: pytest.fail("read"))
    assert recipe_from(tiny_recipe).sizes() == {}


def test_five_lines_are_enough(tiny_recipe, tmp_path):
    """README's recipe, on thirty prompts."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Count to {i}."}) + "\n" for i in range(30)))
    models = {part: tiny_recipe[part]["model"] for part in ("policy", "student", "teacher")}
    lines = ["run: mine", *(f"{part}: {{model: {name}}}" for part, name in models.items())]
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("\n".join([*lines, f"prompts: {{path: {path}}}"]))
    assert check_inputs(fitted(load_recipe(recipe))) == []
