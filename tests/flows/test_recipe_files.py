"""Deployments that are given a recipe's file: where names begin, what changes, what errors say."""

import os

import pytest

from data.errors import InputError
from data.summary import read_summary
from flows.align_file import align_file
from flows.recipe_files import named, read_recipe, working_in
from flows.weekly import align_new_prompts


def test_relative_names_begin_at_the_folder_and_only_within(tmp_path):
    before = os.getcwd()
    with working_in(str(tmp_path)):
        assert os.getcwd() == str(tmp_path)
    with working_in(None):
        assert os.getcwd() == before
    assert os.getcwd() == before


def test_a_folder_that_the_worker_lacks_is_named(tmp_path):
    refused = pytest.raises(InputError, match="folder: '.*/nowhere' cannot be worked in")
    with refused, working_in(str(tmp_path / "nowhere")):
        pass


def test_errors_name_the_recipe_and_where_names_begin(tmp_path):
    with working_in(str(tmp_path)), pytest.raises(InputError) as caught, named("my.yaml"):
        read_recipe("my.yaml", [], None)
    assert str(caught.value) == (
        f"recipe_file: my.yaml: no such file; check the path (relative to {tmp_path})"
    )


def test_a_recipe_file_is_run_with_its_overrides(
    prefect, tmp_path, tiny_copy, tiny_recipe, write_recipe
):
    """The prompts are named relative to the folder, as someone who works there writes them."""
    prompts = tmp_path / "my prompts.jsonl"
    os.link(tiny_recipe["prompts"]["path"], prompts)
    recipe = tiny_recipe | {"prompts": tiny_recipe["prompts"] | {"path": prompts.name}}
    write_recipe(recipe).rename(tmp_path / "my.yaml")
    state = align_file(
        "my.yaml",
        overrides=["rounds=1", "policy.beta=0.2"],
        run="mine",
        folder=str(tmp_path),
        store=str(tmp_path / "store"),
        runs_dir="runs",
        quiet=True,
        return_state=True,
    )
    assert state.is_completed(), state.message
    summary = read_summary(tmp_path / "runs" / "mine" / "summary.json")
    assert (len(summary.rounds), summary.config["policy"]["beta"]) == (1, 0.2)
    assert summary.config["prompts"]["path"] == prompts.name


def test_the_flow_run_is_called_by_the_run_in_the_file(prefect, tmp_path, write_recipe):
    from prefect.client.orchestration import get_client

    path = write_recipe({"run": "from-the-file", "world": {}, "prompts": {"path": "none.jsonl"}})
    state = align_file(str(path), return_state=True, quiet=True)
    assert (
        f"prompts.path: no such file 'none.jsonl'; check the path (relative to {os.getcwd()})"
        in (state.message)
    )
    missing = align_file("no.yaml", return_state=True, quiet=True)
    assert "recipe_file: no.yaml: no such file" in missing.message
    with get_client(sync_client=True) as client:
        names = [
            client.read_flow_run(one.state_details.flow_run_id).name for one in (state, missing)
        ]
    assert names == ["from-the-file", "no.yaml"]


def test_the_weekly_run_says_which_file_of_which_recipe_is_missing(prefect, tmp_path, write_recipe):
    path = write_recipe({"run": "w", "world": {}, "prompts": {"path": "arrived.jsonl"}})
    state = align_new_prompts(str(path), folder=str(tmp_path), return_state=True)
    assert state.message.endswith(
        f"InputError: {path}: prompts.path: no such file 'arrived.jsonl'; check the path "
        f"(relative to {tmp_path})"
    )
    path.write_text(path.read_text().replace("arrived.jsonl", "world"))
    state = align_new_prompts(str(path), folder=str(tmp_path), return_state=True)
    assert f"{path}: prompts.path: a series needs a file" in state.message
