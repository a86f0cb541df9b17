"""DCKD and ADPA on tiny models: which stages there are, what each setting makes anew."""

import json

import pytest

from cli.main import main
from data.errors import InputError
from data.recipes.recipe import Values
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from flows.mass_told import alarm
from flows.planning.plan import planned
from flows.preflight.fitting import fitted
from flows.table import recipe_from
from tests.fixtures.models import build_tokenizer, chatml_tokenizer, save_policy
from tests.flows.tiny_recipes import TINY


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory) -> Values:
    values = TINY["adpa"].recipe(tiny_recipe, tmp_path_factory.mktemp("files"))
    evaluate = {"judge": ["length-band", "teacher"], "dev_samples": 2}
    return values | {"run": "adpa", "evaluate": evaluate}


@pytest.fixture(scope="module")
def run(without_prefect, recipe, tiny_run, write_recipe):
    """Run it with changes, beside the finished run; its summary."""
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]

    def run(name, **changes):
        path = write_recipe(recipe | {"run": name} | changes)
        assert main(["align", str(path), "--quiet", *where]) == 0
        return read_summary(tiny_run / "runs" / name / "summary.json")

    return run


@pytest.fixture(scope="module")
def plus(run):
    return run("plus")


def artifact(summary, address):
    (record,) = (one for one in summary.stages() if one.address == address)
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)


def key(summary, address, store):
    return store.record(artifact(summary, address)).key


def computed(summary):
    """Stages that were computed by this run and are no part of the evaluation."""
    return {one.address for one in summary.stages() if not one.cached and not one.measures}


@pytest.fixture
def store(tiny_run):
    return Store(str(tiny_run / "store"))


def test_each_step_starts_from_what_the_one_before_has_left(plus, store):
    first, last = (key(plus, name, store) for name in ("dckd", "adpa"))
    assert last["policy"] == artifact(plus, "dckd").digest != first["policy"]
    assert key(plus, "generate", store)["policy"] == artifact(plus, "dckd").digest
    aligned = artifact(plus, "optimize:teacher").digest
    for role in ("chosen", "rejected", "aligned"):
        assert key(plus, f"targets:{role}", store)["teacher"] == aligned
    reference = key(plus, "targets:reference", store)
    assert reference["teacher"] == key(plus, "optimize:teacher", store)["policy"] != aligned
    assert reference["at"] == artifact(plus, "targets:aligned").digest
    read = [store.table(artifact(plus, f"targets:{x}")) for x in ("aligned", "reference")]
    assert read[0]["top_ids"] == read[1]["top_ids"] and read[0] != read[1]


def test_the_student_answers_the_prompts_of_the_pairs_greedily(plus, store):
    made = store.record(artifact(plus, "generate")).key
    assert made["decoding"]["temperature"] == 0.0
    pairs = store.table(artifact(plus, "draw_pairs"))
    own = store.table(artifact(plus, "generate"))
    assert own["prompt_id"].to_pylist() == pairs["prompt_id"].to_pylist()
    sampled = mapping(own, "completion_id", "token_ids")
    read = store.table(artifact(plus, "targets:aligned"))
    assert mapping(read, "completion_id", "token_ids") == sampled


def test_measures_and_report(plus, recipe, tiny_run):
    found = plus.measures
    assert found["win_rate"].judge == found["teacher_win_rate"].judge == "length-band"
    assert found["prompts"].value == found["pairs"].value == recipe["prompts"]["per_round"]
    assert found["trained"].value == found["generated"].value == 10
    assert {"advantage_before", "advantage", "kept_mass_before", "kept_mass"} <= found.keys()
    assert [one.round for one in found["kl_to_teacher"].rounds] == [0, 1]
    (section,) = (one for one in plus.sections if one.name == "steps")
    assert [row.cells[0] for row in section.blocks[0].rows] == ["DCKD", "ADPA"]
    page = (tiny_run / "runs" / "plus" / "report.html").read_text()
    for title in ("Step by step", "Teacher and student", "Distance to the teacher"):
        assert title in page


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"adpa": {"gamma": 0.4}}, "adpa"),
        ({"adpa": {"clamp": True}}, "adpa"),
        ({"adpa": {"reference": "fill"}}, "adpa targets:reference"),
        ({"adpa": {"reference": "none"}}, "adpa"),
        ({"method": "dckd", "dckd": {"alpha": 0.5}}, "dckd"),
        ({"method": "dckd", "dckd": {"answers": "chosen"}}, "dckd"),
        ({"method": "dckd"}, ""),
    ],
    ids=str,
)
def test_a_setting_makes_its_own_step_again_and_no_teacher_reads_twice(
    plus, recipe, tiny_run, changes, again
):
    """By a plan, which is a walk of the flow."""
    whole = fitted(recipe_from(recipe | {"run": "other"} | changes))
    rows = whole.counted_prompts().rows
    plan = planned(whole, str(tiny_run / "store"), tiny_run / "runs" / "other", rows)
    named = {(one.name, one.stage): one for one in plus.stages()}
    left = [step for step in plan.steps if step.state in ("compute", "later")]
    work = [named[step.stage, step.title] for step in left]
    assert {one.address for one in work if not one.measures} == set(again.split())


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"method": "sft"}, "dckd"),
        ({"method": "adpa"}, "adpa generate targets:aligned targets:reference"),
        ({"method": "dpo"}, "optimize:student reference:student"),
    ],
    ids=str,
)
def test_a_method_makes_its_own_steps_and_finds_all_others(plus, run, changes, again):
    assert computed(run("other", **changes)) == set(again.split())


def test_the_teachers_side_is_that_of_a_teacher_that_is_brought(plus, run, recipe, store, tiny_run):
    """An aligned teacher by its folder gives what the run's own gave."""
    folder = store.path(artifact(plus, "optimize:teacher"))
    teacher = recipe["teacher"] | {"aligned": str(folder)}
    summary = run("brought", teacher=teacher)
    assert not [one for one in summary.stages() if one.address == "optimize:teacher"]
    names = ("dckd", "adpa")
    mine, theirs = ([artifact(x, name).digest for name in names] for x in (plus, summary))
    assert mine == theirs


def test_the_alarm_names_the_step():
    (said,) = alarm({"in DCKD": 0.04, "in ADPA": 0.12}, "lower adpa.gamma", [1])
    assert said.found.endswith("fell by 12 points in ADPA.") and said.rounds == [1]
    assert said.reason.endswith("lower adpa.gamma.")
    assert not alarm({"in DCKD": 0.05}, "lower adpa.gamma", [])


def test_a_student_that_leaves_the_kept_tokens_is_warned_of(run, recipe):
    """Without a reference the loss asks for tokens that are not kept: each that is
    costs what it is less likely than 1, and the others cost nothing."""
    policy = recipe["policy"] | {"learning_rate": 1e-2, "epochs": 20}
    given = {"targets": {"k": 300}, "adpa": {"reference": "none", "gamma": 50.0}}
    summary = run("escape", method="adpa", policy=policy, **given)
    mass = [summary.measures[name].value for name in ("kept_mass_before", "kept_mass")]
    assert mass[1] < mass[0] - 0.05
    (said,) = (one for one in summary.warnings if one.rule == "kept_mass")
    assert "in ADPA" in said.found and said.rounds == [1]


def refused(recipe, write_recipe, capsys, **changes):
    assert main(["check", str(write_recipe(recipe | changes))]) == 2
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


def test_another_vocabulary_is_refused_before_anything_runs(recipe, tmp_path, write_recipe, capsys):
    special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>", "<|more|>"]
    template = chatml_tokenizer().chat_template
    other = build_tokenizer(special, template, bos=None, eos="<|im_end|>", pad="<pad>")
    folder = str(save_policy(other, tmp_path / "other", seed=2))
    for name in ("model", "aligned"):
        said = refused(recipe, write_recipe, capsys, teacher=recipe["teacher"] | {name: folder})
        assert f"teacher.{name}: has another vocabulary than policy.model" in said


def test_pairs_that_cannot_be_read_are_refused(recipe, tmp_path, write_recipe, capsys):
    said = refused(recipe, write_recipe, capsys, preferences=str(tmp_path / "none.jsonl"))
    assert "preferences: " in said and "none.jsonl" in said
    long = {"prompt": "why " * 200, "chosen": "a", "rejected": "b"}
    (tmp_path / "long.jsonl").write_text(json.dumps(long) + "\n")
    said = refused(recipe, write_recipe, capsys, preferences=str(tmp_path / "long.jsonl"))
    assert "long.jsonl: has" in said and "prompts.max_tokens is 64" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "kd"}, "method"),
        ({"adpa": {"gamma": 0}}, r"adpa\.gamma"),
        ({"dckd": {"alpha": -1}}, r"dckd\.alpha"),
        ({"adpa": {"reference": "own"}}, r"adpa\.reference"),
        ({"rounds": 2}, "rounds"),
        ({"preferences": "world"}, "preferences: name your own"),
        ({"world": {}, "teacher": {"model": "world"}}, "teacher.model: the world's models share"),
    ],
)
def test_settings_that_do_not_fit_are_refused(recipe, changes, message):
    with pytest.raises((ValueError, InputError), match=message):
        recipe_from(recipe | changes)


def test_at_temperature_1_alone_vllm_reads(recipe):
    teacher = recipe["teacher"] | {"engine": "vllm"}
    with pytest.raises(ValueError, match=r"targets\.temperature: must be 1"):
        recipe_from(recipe | {"teacher": teacher, "targets": {"temperature": 2.0}})
