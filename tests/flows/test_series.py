"""A series: what is new, what is held out, where the next run starts."""

import json

import pytest

from data.errors import InputError
from data.readers.prompts import read_prompts
from data.summary import Summary, write_summary
from flows.loop.recipe import AlignRecipe
from flows.series import finished_runs, freeze, going_on, next_run
from flows.table import recipe_from


@pytest.fixture
def prompts(tmp_path):
    return tmp_path / "prompts.jsonl"


def add(prompts, *numbers):
    with prompts.open("a") as file:
        for n in numbers:
            file.write(json.dumps({"prompt": f"prompt {n}"}) + "\n")


@pytest.fixture
def recipe(prompts):
    sizes = {"per_round": 10, "dev_size": 4, "test_size": 6}
    return AlignRecipe(run="s", rounds=2, world={}, prompts={"path": str(prompts), **sizes})


def finish(runs, name, finished="2026-11-21T00:00:00+00:00", made=("policy", "student")):
    for part in made:
        (runs / name / f"the-{part}").mkdir(parents=True, exist_ok=True)
        (runs / name / part).symlink_to(runs / name / f"the-{part}")
    summary = Summary(
        run=name,
        recipe="ts-align",
        seed=0,
        config_digest="",
        run_digest="",
        versions={},
        finished=finished,
    )
    write_summary(runs / name / "summary.json", summary)


def texts(path):
    return {row["messages"][-1]["content"] for row in read_prompts(path)[0].to_pylist()}


def test_the_first_run_holds_out_and_takes_the_rest(recipe, prompts, tmp_path):
    add(prompts, *range(40))
    first = next_run(recipe, tmp_path / "runs")
    assert (first.run, first.rounds, first.prompts.per_round) == ("s-001", 2, 10)
    parts = [first.prompts.path, first.prompts.dev_path, first.prompts.test_path]
    found = [texts(path) for path in parts]
    assert [len(part) for part in found] == [30, 4, 6]
    assert set.union(*found) == {f"prompt {n}" for n in range(40)}


def test_the_second_takes_what_is_new_from_where_the_first_ended(recipe, prompts, tmp_path):
    runs = tmp_path / "runs"
    add(prompts, *range(40))
    first = next_run(recipe, runs)
    finish(runs, "s-001")
    assert next_run(recipe, runs) is None  # nothing has arrived
    add(prompts, 3, 40, 41, 42)
    second = next_run(recipe, runs)
    assert texts(second.prompts.path) == {"prompt 40", "prompt 41", "prompt 42"}
    assert texts(second.prompts.test_path) == texts(first.prompts.test_path)
    assert (second.rounds, second.prompts.per_round) == (1, 3)
    assert second.policy.model == str(runs / "s-001" / "the-policy")
    assert second.student.model == str(runs / "s-001" / "the-student")


@pytest.mark.parametrize(
    "method",
    [
        {"recipe": "optune", "labels": "teacher", "student": {"model": "none"}, "world": {}},
        {"recipe": "best-of-n", "world": {}},
        {"recipe": "opd", "policy": {"model": "./p"}, "teacher": {"model": "./t"}},
    ],
    ids=lambda method: method["recipe"],
)
def test_a_flow_without_a_student_goes_on_with_its_policy(method, recipe, prompts, tmp_path):
    runs = tmp_path / "runs"
    values = {"run": "s", "rounds": 2, "prompts": recipe.prompts.model_dump(exclude_unset=True)}
    add(prompts, *range(40))
    own = recipe_from(values | method)
    assert next_run(own, runs).recipe == method["recipe"]
    finish(runs, "s-001", made=("policy",))
    add(prompts, 40, 41, 42)
    second = next_run(own, runs)
    assert type(second) is type(own) and second.recipe == method["recipe"]
    assert second.policy.model == str(runs / "s-001" / "the-policy")
    assert (second.rounds, second.prompts.per_round) == (1, 3)


def test_a_run_that_did_not_finish_is_continued_on_its_own_prompts(recipe, prompts, tmp_path):
    runs = tmp_path / "runs"
    add(prompts, *range(40))
    first = next_run(recipe, runs)
    finish(runs, "s-001", finished=None)
    add(prompts, *range(40, 50))
    assert finished_runs("s", runs) == []
    assert next_run(recipe, runs) == first


def test_the_worlds_prompts_do_not_grow(tmp_path):
    with pytest.raises(InputError, match="a series needs a file of prompts that can grow"):
        next_run(AlignRecipe(run="s", world={}), tmp_path)


def test_a_name_to_which_no_number_can_be_added_is_refused(recipe, prompts, tmp_path):
    add(prompts, *range(40))
    assert next_run(recipe.model_copy(update={"run": "s" * 60}), tmp_path / "runs")
    with pytest.raises(InputError, match="^series: 's+' is too long, .* 60 characters at most"):
        next_run(recipe.model_copy(update={"run": "s" * 61}), tmp_path / "runs")


def test_prompts_that_are_all_held_out_are_refused(recipe, prompts, tmp_path):
    add(prompts, *range(4))
    table, _ = read_prompts(prompts)
    for part in ("prompts", "dev", "test"):
        freeze(tmp_path / f"{part}.parquet", table)
    with pytest.raises(InputError, match="every prompt is held out too"):
        going_on(recipe, "a", tmp_path, None)
