"""A plan says of every stage of a run whether it is there, and stays true to the flow."""

import copy
import re
import shutil
from pathlib import Path

import pytest
import yaml

from cli.main import main
from data.recipes.recipe import RunRecipe
from data.summary import read_summary
from flows.planning.plan import Foresight, Plan, planned
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from flows.table import recipe_from
from tests.repository import ROOT

COUNTS = {"prompts.path": 60}
CODE = ("python", "yaml")  # of docs/new_method.md


def plan_of(recipe: RunRecipe, folder: Path, counts=COUNTS) -> Plan:
    whole = fitted(recipe)
    return planned(whole, str(folder / "store"), folder / "runs" / whole.run, counts)


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def records(folder: Path, run: str):
    return list(read_summary(folder / "runs" / run / "summary.json").stages())


def test_before_a_run_the_plan_names_its_stages_in_order(tiny_recipe, tiny_run, tmp_path):
    plan = plan_of(recipe_from(tiny_recipe), tmp_path)
    made = records(tiny_run, "tiny")
    assert titles(plan) == [record.stage for record in made] and plan.ends is None
    again = [step.title for step in plan.steps if step.state == "again"]
    assert again and not any(step.state == "found" for step in plan.steps)
    # Of the stages that the plan takes for work every one was.
    for step, record in zip(plan.steps, made, strict=True):
        assert not record.cached or step.state in ("again", "later")
    assert list(plan.sections()) == ["Preparing", "Round 1 of 2", "Round 2 of 2"]
    assert not (tmp_path / "store").exists() and not (tmp_path / "runs").exists()


def test_what_the_plan_expects_is_never_exceeded(tiny_recipe, tiny_run, tmp_path):
    plan = plan_of(recipe_from(tiny_recipe), tmp_path)
    made = records(tiny_run, "tiny")
    for step, record in zip(plan.steps, made, strict=True):
        if step.state != "again":
            assert step.sampled >= record.counts.get("generated", 0)
            assert step.tokens >= record.counts.get("tokens", 0)
    first = [step for step in plan.steps if step.section == "Round 1 of 2"]
    assert sum(step.sampled for step in first) == 10 * 4 + 2 * 6 * 4 + 2 * 20
    summary = read_summary(tiny_run / "runs" / "tiny" / "summary.json")
    (relabelled,) = (step for step in first if step.stage == "relabel")
    assert relabelled.reader == "teacher"
    assert relabelled.reads >= summary.rounds[0].teacher_calls > 0


def test_after_a_run_every_stage_is_found(tiny_recipe, tiny_run):
    plan = plan_of(recipe_from(tiny_recipe), tiny_run)
    assert {step.state for step in plan.steps} == {"found"}
    assert not any(step.sampled or step.reads or step.makes for step in plan.steps)


def test_a_change_is_work_and_what_follows_from_it_is_known_later(tiny_recipe, tiny_run):
    values = copy.deepcopy(tiny_recipe)
    values["policy"]["beta"] = 0.317  # no other test's
    plan = plan_of(recipe_from(values), tiny_run)
    states = {(step.section, step.title): step.state for step in plan.steps}
    assert states["Round 1 of 2", "relabel"] == "found"
    assert states["Round 1 of 2", "optimize"] == "compute"
    assert states["Round 1 of 2", "gate"] == "later"
    assert states["Round 2 of 2", "select"] == "found"
    assert states["Round 2 of 2", "generate"] == "later"


def test_shards_that_a_run_has_left_are_counted(tiny_recipe, tiny_copy):
    values = copy.deepcopy(tiny_recipe)
    values["runtime"] = {"shard_prompts": 4}
    recipe = recipe_from(values)
    (made,) = (r for r in records(tiny_copy, "tiny")[:20] if r.stage == "generate")
    digest = made.key.removeprefix("sha256:")
    shutil.rmtree(tiny_copy / "store" / made.kind / digest[:2] / digest)
    step = next(s for s in plan_of(recipe, tiny_copy).steps if s.title == "generate")
    assert (step.state, step.shards_found, step.shards, step.sampled) == ("compute", 0, 3, 40)


@pytest.mark.parametrize("name", ["small", "optune", "tso", "embedded"])
def test_the_embedded_world_is_planned_before_it_is_made(name, tmp_path):
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    plan = plan_of(recipe, tmp_path, {})
    assert plan.ends is None and len(plan.sections()) == recipe.rounds + 1
    assert titles(plan)[0] == "pool prompts"
    assert sum(step.sampled for step in plan.steps) > 0


LEARNS, ASKED = "student", "student's preferences"


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ({"recipe": "ts-align"}, {"teacher", ASKED, LEARNS}),
        ({"recipe": "opd", "world": {"teacher_lessons": 9}}, {"teacher"}),
        ({"recipe": "ddk", "world": {"teacher_lessons": 9}}, {"teacher"}),
        ({"recipe": "adpa", "policy": {"model": "world-small"}}, {ASKED, "small policy"}),
        ({"recipe": "best-of-n"}, {"teacher"}),
        ({"recipe": "best-of-n", "scorer": "student", "student": {"model": "world"}},
         {"teacher", ASKED, LEARNS}),
    ],
)  # fmt: skip
def test_of_the_world_is_made_what_the_recipe_takes(values, made, tmp_path):
    plan = plan_of(recipe_from({"run": "w", "world": {}} | values), tmp_path, {})
    assert plan.ends is None
    parts = {"teacher", LEARNS, ASKED, "small policy"}
    assert {step.title for step in plan.sections()["Preparing"]} & parts == made


def test_an_aligned_teacher_is_the_teacher_though_it_is_a_policy(tmp_path):
    values = {"run": "w", "world": {}, "recipe": "adpa", "policy": {"model": "world-small"}}
    plan = plan_of(recipe_from(values), tmp_path, {})
    steps = plan.sections()["Round 1 of 1"]
    trained = {step.title: step.makes for step in steps if step.makes}
    assert trained == {"optimize teacher": "teacher", "DCKD": "policy", "ADPA": "policy"}
    assert {step.reader for step in steps if step.stage == "targets"} == {"teacher"}


def test_what_the_policy_reads_is_not_the_teachers(tmp_path):
    values = {"run": "w", "world": {"teacher_lessons": 9}, "recipe": "ddk"}
    plan = plan_of(recipe_from(values), tmp_path, {})
    measured = [step for step in plan.steps if step.title.endswith("perplexity")]
    assert {step.reader for step in measured} == {"teacher", "policy"}
    for step in measured:
        assert step.title.startswith(step.reader)


def test_a_labeller_of_the_users_is_walked_too(tiny_recipe, tmp_path):
    text = (ROOT / "docs" / "new_method.md").read_text()
    code, changes = (re.search(rf"```{part}\n(.*?)```", text, re.S)[1] for part in CODE)
    (tmp_path / "cautious.py").write_text(code)
    values = copy.deepcopy(tiny_recipe) | yaml.safe_load(changes)
    values["labels"] = values["labels"].replace("cautious.py", str(tmp_path / "cautious.py"))
    plan = plan_of(recipe_from(values), tmp_path)
    assert plan.ends is None and "both" in titles(plan)
    (tmp_path / "cautious.py").write_text(
        code.replace("def label(", "def label(*_):\n    1 / 0\n\ndef other(")
    )
    plan = plan_of(recipe_from(values), tmp_path)
    assert "ZeroDivisionError" in plan.ends and not plan.fails


SILENT = """
from data.schemas import MINED, PREFERENCES


@stage(MINED, version="1")
def own_pairs(ctx, *, completions, scores):
    return Rows([])


@stage(PREFERENCES, version="1")
def own_order(ctx, *, mined, prompts):
    return Rows([], {"lost": 0})


def label(run, recipe, parts, state, number):
    asked = ask(recipe, parts, state, number)
    completions = sample(run, recipe, state.policy, asked, number)
    scores = score(
        model=parts.teacher, prompts=asked, completions=completions, max_length=recipe.max_length
    )
    mined = own_pairs(completions=completions, scores=scores)
    preferences = own_order(mined=mined, prompts=asked)
    assert preferences.rows and not preferences.meta["lost"]
    return Labelled(asked, (completions,), mined, preferences, scores)
"""


def test_stages_that_do_not_say_their_rows_end_no_plan(tiny_recipe, tmp_path):
    text = (ROOT / "docs" / "new_method.md").read_text()
    code, changes = (re.search(rf"```{part}\n(.*?)```", text, re.S)[1] for part in CODE)
    (tmp_path / "cautious.py").write_text(code.split("@stage")[0] + SILENT)
    values = copy.deepcopy(tiny_recipe) | yaml.safe_load(changes)
    values["labels"] = str(tmp_path / "cautious.py:label")
    values["student"] = {"model": "none"}
    plan = plan_of(recipe_from(values), tmp_path)
    assert plan.ends is None and list(plan.sections())[-1] == "Round 2 of 2"
    first = {step.stage: step for step in plan.sections()["Round 1 of 2"]}
    assert first["own_pairs"].rows == first["own_order"].rows == first["reference"].rows == 0
    assert (first["optimize"].makes, first["optimize"].pairs) == ("policy", 0)
    assert plan.sections()["Round 2 of 2"][1].sampled == 10 * 4


class Losing(Foresight):
    """Every table keeps so many of its rows."""

    def __init__(self, kept):
        self.kept = kept

    def rows(self, stage, inputs, most, context):
        return max(1, round(most * self.kept))


@pytest.mark.parametrize("kept", [0.95, 0.9, 0.5, 0.3])
def test_rows_that_are_expected_to_be_lost_end_no_plan(kept, tiny_recipe, tmp_path):
    values = copy.deepcopy(tiny_recipe)
    values["policy"]["best_pairs"] = 0.5
    whole = fitted(recipe_from(values))
    where = str(tmp_path / "store"), tmp_path / "runs" / whole.run
    plan = planned(whole, *where, COUNTS, Losing(kept))
    assert plan.ends is None and list(plan.sections())[-1] == "Round 2 of 2"


@pytest.mark.slow
def test_a_round_that_is_known_to_have_no_pair_is_told(
    prefect, tiny_recipe, write_recipe, tmp_path, capsys
):
    values = copy.deepcopy(tiny_recipe)
    values["teacher"]["min_margin"] = 1000.0
    path, where = write_recipe(values), ["--store", str(tmp_path / "store")]
    where += ["--runs-dir", str(tmp_path / "runs")]
    assert main(["check", str(path), *where]) == 0
    assert main(["align", str(path), "--quiet", *where]) != 0
    capsys.readouterr()
    assert main(["check", str(path), *where]) == 1
    assert "The run ends there: round 1: no pair is left" in capsys.readouterr().out


@pytest.mark.slow
def test_a_world_run_does_what_was_planned(prefect, tmp_path):
    path, where = ROOT / "recipes" / "small.yaml", ["--store", str(tmp_path / "store")]
    plan = plan_of(load_recipe(path), tmp_path, {})
    where += ["--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(path), "--quiet", *where]) == 0
    assert titles(plan) == [record.stage for record in records(tmp_path, "small")]
