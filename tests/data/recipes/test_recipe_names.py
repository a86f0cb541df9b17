"""Recipes by name, the nearest name for a misspelt one, and where missing data comes from."""

import pytest

from data.errors import InputError
from data.files import check_regular
from data.places import going_on, one_at_a_time
from data.readers.known_data import where_from
from data.readers.logged import read_logged
from data.recipes.files import PROJECT, known_names, recipe_file
from data.store.inventory import run_folder
from flows.recipe_files import load_recipe
from flows.table import recipe_from


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refusal(call, *arguments):
    with pytest.raises(InputError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["small", "small.yaml"])
def test_a_recipe_of_the_project_is_found_by_name(name):
    assert recipe_file(name) == PROJECT / "small.yaml"
    assert load_recipe(name).run == "small"


def test_one_of_the_working_folder_comes_first(elsewhere):
    (elsewhere / "recipes").mkdir()
    (elsewhere / "recipes" / "small.yml").write_text("run: mine\nworld: {}\n")
    assert load_recipe("small").run == "mine"
    (elsewhere / "small.yaml").write_text("run: here\nworld: {}\n")
    assert load_recipe("small").run == "here"
    (elsewhere / "small").write_text("run: exactly\nworld: {}\n")
    assert load_recipe("small").run == "exactly"


@pytest.mark.parametrize("name", ["smal", "smal.yaml", "recipes/smal.yaml", "./sma1"])
def test_a_misspelt_recipe_is_answered_with_the_nearest(name):
    line = refusal(load_recipe, name)
    assert "no such file" in line and "(did you mean 'small'?)" in line


def test_nothing_near_lists_what_there_is(elsewhere):
    (elsewhere / "other.yaml").write_text("services: {}\n")  # no recipe
    (elsewhere / "own.yaml").write_text("# mine\nrun: own\n")
    line = refusal(load_recipe, "qqq")
    assert "did you mean" not in line and ", own, " in line and "other" not in known_names()


def test_a_path_is_taken_as_it_is(elsewhere):
    assert recipe_file(elsewhere / "x" / "none.yaml") == elsewhere / "x" / "none.yaml"
    assert refusal(load_recipe, "none.yaml") == "none.yaml: no such file; check the path"


def test_data_that_is_not_there_says_where_it_comes_from():
    line = refusal(read_logged, load_recipe("logged").logged)
    assert "rewardbench_bon16/samples' does not exist" in line
    assert "github.com/allenai/reward-bench" in line and "not part of this project" in line
    line = refusal(check_regular, "../shared/realdata/alpacaeval_outputs/gpt4.json.gz")
    assert "no such file" in line and "github.com/tatsu-lab/alpaca_eval" in line
    assert where_from("some/where.jsonl") == ""
    line = refusal(check_regular, ".real/leaf/none.jsonl", "texts.queries.0")
    assert line.endswith("; `python -m benchmarks.leaf_data` puts it there")
    assert where_from(".real/smollm2-cut") == "; `python -m benchmarks.real_models` puts it there"
    assert where_from(".real/minilm") == "; `make real-models` puts it there"


def test_a_misspelt_run_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "summary.json").touch()
    assert "no such run (did you mean 'embedded'?)" in refusal(run_folder, tmp_path, "embeded")
    assert run_folder(tmp_path, "other") == tmp_path / "other"  # nothing near: who reads it says so


def test_a_run_that_goes_on_is_seen_by_its_lock(tmp_path):
    folder = tmp_path / "run"
    assert not going_on(folder)
    with one_at_a_time(folder):
        assert going_on(folder)
        with pytest.raises(InputError, match="is going on"), one_at_a_time(folder):
            pass
    assert not going_on(folder) and not (folder / ".lock").exists()
    (folder / ".lock").touch()  # of a process that was killed
    assert not going_on(folder)


def test_a_warm_up_needs_earlier_preferences():
    own = {part: {"model": f"./{part}"} for part in ("policy", "teacher")}
    student = {"model": "./student", "warm_up": True}
    values = own | {"run": "r", "student": student, "prompts": {"path": "p.jsonl"}}
    with pytest.raises(ValueError, match="student.warm_up: goes with student.replay_path"):
        recipe_from(values)
    assert recipe_from(values | {"student": student | {"replay_path": "pairs.jsonl"}})
