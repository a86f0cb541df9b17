"""Folders called like words that recipes know: a word is one only in the fields that know it."""

import shutil
from pathlib import Path

import pytest

from data.recipes.names import from_world
from flows.preflight.inputs import check_inputs
from flows.preflight.models import own_models
from flows.table import recipe_from

POLICY, STUDENT, TEACHER = "policy.model", "student.model", "teacher.model"


@pytest.mark.parametrize(
    ("field", "name"),
    [(POLICY, "teacher"), (POLICY, "policy"), (POLICY, "fresh"), (TEACHER, "none"),
     (TEACHER, "world-small"), (TEACHER, "policy"), (STUDENT, "teacher"), (STUDENT, "world-small")],
)  # fmt: skip
def test_a_folder_called_like_a_word_of_another_field(
    field, name, tiny_recipe, tmp_path, monkeypatch
):
    section = field.split(".")[0]
    shutil.copytree(tiny_recipe[section]["model"], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    values = tiny_recipe | {section: tiny_recipe[section] | {"model": name}}
    recipe = recipe_from(values)
    check_inputs(recipe)
    assert own_models(recipe)[field] == Path(name)
    assert not from_world(recipe)


def test_a_word_wins_in_the_field_that_knows_it(tiny_recipe, tmp_path, monkeypatch):
    """A folder of that name is meant with ./ before it."""
    shutil.copytree(tiny_recipe["policy"]["model"], tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    for name, own in (("world", False), ("./world", True)):
        values = tiny_recipe | {"policy": tiny_recipe["policy"] | {"model": name}, "world": {}}
        recipe = recipe_from(values)
        assert (POLICY in own_models(recipe)) is own
        assert from_world(recipe) == ({} if own else {POLICY: "world"})


def test_a_misspelt_reward_function_is_told_the_right_name(refuse_change, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = refuse_change({"teacher.model": "exact-answr"})
    assert line.startswith("teacher.model: 'exact-answr' is neither a folder here nor a model ")
    assert "(did you mean 'exact-answer'?)" in line
