"""What a recipe leaves out follows from its models; what it gives stays as it is."""

import copy
import json
import shutil

import pytest

from cli.main import main
from data.recipes.loading import config_digest
from data.recipes.rates import TABLE, learning_rate
from data.summary import read_summary
from flows.loop.rules import NEAR, hardly_moved
from flows.preflight.fitting import fitted, left_out, said
from flows.recipe_files import load_recipe
from flows.recipe_files import recipe_of as recipe_of_run
from flows.table import recipe_from
from tests.repository import ROOT

LENGTHS = ("prompts.max_tokens", "generate.max_tokens", "policy.max_length", "student.max_length")


@pytest.fixture
def models(policy_dir, bert_reward_dir, llama_reward_dir, tmp_path):
    """The tiny models, which read so many tokens by their configurations."""

    def make(policy=256, student=256, teacher=256):
        sources = {"policy": policy_dir, "student": bert_reward_dir, "teacher": llama_reward_dir}
        known = {"policy": policy, "student": student, "teacher": teacher}
        for name, source in sources.items():
            shutil.copytree(source, tmp_path / name, dirs_exist_ok=True)
            path = tmp_path / name / "config.json"
            config = json.loads(path.read_text())
            config["max_position_embeddings"] = known[name]
            path.write_text(json.dumps(config))
        return {name: {"model": str(tmp_path / name)} for name in sources}

    return make


def recipe_of(models, **sections):
    values = {"run": "mine", "prompts": {"path": "prompts.jsonl"}, **models}
    for name, fields in sections.items():
        values[name] = values.get(name, {}) | fields
    return recipe_from(values)


def lengths(recipe):
    values = left_out(recipe)
    return [values.get(field) for field in LENGTHS]


def test_lengths_fit_what_the_models_read(models):
    assert lengths(recipe_of(models(8192, 8192, 8192))) == [512, 512, 1024, 1024]
    assert lengths(recipe_of(models(256, 8192, 8192))) == [128, 128, 256, 1024]
    assert lengths(recipe_of(models(700, 8192, 8192))) == [350, 350, 700, 1024]


def test_a_scorer_that_reads_less_shortens_the_answers_not_the_prompts(models):
    assert lengths(recipe_of(models(8192, 512, 8192))) == [512, 256, 1024, 512]
    assert lengths(recipe_of(models(8192, 8192, 600))) == [512, 300, 1024, 1024]


def test_what_is_given_stays_and_the_rest_fits_around_it(models):
    tiny = models(256, 256, 256)
    assert lengths(recipe_of(tiny, generate={"max_tokens": 40}))[:2] == [216, None]
    assert lengths(recipe_of(tiny, prompts={"max_tokens": 40}))[:2] == [None, 216]
    assert lengths(recipe_of(tiny, policy={"max_length": 96}))[:3] == [48, 48, None]
    long = recipe_of(models(8192, 8192, 8192), generate={"max_tokens": 2000})
    assert lengths(long) == [512, None, 2512, 2512]


def test_a_fitted_recipe_leaves_nothing_out_and_says_what_was_chosen(models):
    recipe = recipe_of(models())
    whole = fitted(recipe)
    assert whole.generate.max_tokens == 128 and whole.max_length == 256
    assert left_out(whole) == {} and fitted(whole) == whole
    again = recipe_from(whole.model_dump(mode="json"))  # as from a summary
    assert left_out(again) == {} and config_digest(again) == config_digest(whole)
    line = said(left_out(recipe))
    assert "generate.max_tokens 128" in line and "policy.learning_rate 0.001" in line


def test_rates_go_by_method_and_size(models):
    for method in ("full", "lora"):
        tiny = left_out(recipe_of(models(), policy={"method": method}))
        assert tiny["policy.learning_rate"] == learning_rate(method, 10_000)
        assert tiny["student.learning_rate"] == 1e-3
    assert "policy.learning_rate" not in left_out(
        recipe_of(models(), policy={"learning_rate": 1.0})
    )
    assert learning_rate("lora", 135_000_000) > 10 * 5e-6  # which moved such a model by nothing
    assert learning_rate("full", 7_000_000_000) <= 1e-6
    for larger, smaller in zip(TABLE[1:], TABLE, strict=False):
        assert larger.full < smaller.full < smaller.lora and larger.lora < smaller.lora


def test_the_embedded_world_and_logs_are_fitted_without_a_folder():
    world = left_out(recipe_from({"run": "w", "world": {}}))
    assert [world[field] for field in LENGTHS] == [128, 128, 256, 256]
    logged = {"completions": "rows.jsonl"}
    fresh = {"run": "l", "logged": logged, "student": {"model": "fresh"}}
    assert left_out(recipe_from(fresh)) == {
        "student.max_length": 1024, "student.learning_rate": 1e-3,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["embedded", "optune", "tso", "tso_logged", "tunnel", "logged"])
def test_the_shipped_recipes_choose_for_themselves(name):
    """Their measured figures do not depend on defaults."""
    assert left_out(load_recipe(ROOT / "recipes" / f"{name}.yaml")) == {}


def test_a_model_that_cannot_be_read_is_left_to_preflight(models, tmp_path):
    recipe = recipe_of(models())
    before = left_out(recipe)
    (tmp_path / "student" / "config.json").write_text("{")
    (tmp_path / "student" / "model.safetensors").unlink()
    own = {field: before.pop(field) for field in ("student.max_length", "student.learning_rate")}
    assert own and left_out(recipe) == before | {"student.max_length": 1024}


@pytest.mark.slow
def test_a_run_on_defaults_says_what_it_chose_and_moves_the_policy(
    prefect, tiny_recipe, write_recipe, tmp_path, capsys
):
    values = copy.deepcopy(tiny_recipe) | {"rounds": 1}
    values["policy"] = {"model": values["policy"]["model"], "batch_size": 8, "epochs": 2}
    values["student"] = {"model": values["student"]["model"]}
    values["prompts"]["per_round"] = 32
    values["generate"].pop("max_tokens")
    values["prompts"].pop("max_tokens")
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(write_recipe(values)), *where]) == 0
    assert "generate.max_tokens 128, policy.max_length 256" in capsys.readouterr().err
    summary = read_summary(tmp_path / "runs" / "tiny" / "summary.json")
    assert summary.config["generate"]["max_tokens"] == 128
    (entry,) = summary.rounds
    assert entry.drift.kl_to_base > NEAR and not hardly_moved(entry)
    assert main(["align", str(write_recipe(values)), *where]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert left_out(recipe_of_run(tmp_path / "runs" / "tiny")) == {}
