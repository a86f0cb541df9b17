"""A run whose vLLM is in an environment of its own: versions in keys, summary and report."""

import copy
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from cli.use.policies_of import runtime_here
from data.recipes.recipe import RuntimeConfig
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from flows.fingerprint import run_digest
from flows.table import recipe_from
from models.engine_python import vllm_version
from tests.fixtures.environments import holding, with_ours
from tests.flows.tiny_recipes import TINY

VERSIONS = {"vllm": "0.32.0", "torch": "2.13.0", "transformers": "5.19.0"}


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="an extra of vLLM")
def test_a_run_says_what_it_sampled_with_and_finds_it_again(
    prefect, tiny_recipe, write_recipe, tmp_path, capsys
):
    values = copy.deepcopy(tiny_recipe) | {"rounds": 1}
    values["generate"]["engine"] = "vllm"
    places = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]

    def align(run: str, engine_python: str):
        values["runtime"] = {"engine_python": engine_python}
        assert main(["align", str(write_recipe(values | {"run": run})), *places]) == 0
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return read_summary(tmp_path / "runs" / run / "summary.json")

    with_ours(tmp_path / "one")
    first = align("first", str(tmp_path / "one"))
    torch, transformers = version("torch"), version("transformers")
    held = f"vllm {vllm_version(RuntimeConfig())} torch {torch} transformers {transformers} python "
    assert first.machine["engine_python"].startswith(held)
    assert first.machine["engine"].startswith(first.machine["engine_python"])
    assert first.machine["engine_python"] in (tmp_path / "runs/first/report.html").read_text()
    (record,) = (one for one in first.stages() if one.address == "generate")
    artifact = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
    key = Store(tmp_path / "store").record(artifact).key
    assert key["engine"] == first.machine["engine"] and str(tmp_path) not in str(key)

    with_ours(tmp_path / "same")  # elsewhere, and named from here
    again = align("again", os.path.relpath(tmp_path / "same" / "bin" / "python"))
    assert all(one.cached for one in again.stages())


def digest(recipe: dict[str, Any], engine_python: Path | None, engine: str) -> str:
    values = copy.deepcopy(recipe)
    values["generate"]["engine"] = engine
    values["runtime"] = {"engine_python": str(engine_python)} if engine_python else {}
    return run_digest(recipe_from(values), {})


@pytest.mark.parametrize("name", ["opd", "adpa", "ddk"])
def test_a_finished_run_is_begun_again_where_its_teacher_is_read_by_another_engine(
    name, tiny_recipe, tmp_path, monkeypatch
):
    def found(engine):
        teacher = values["teacher"] | {"engine": engine}
        return run_digest(recipe_from(values | {"run": "r", "teacher": teacher}), {})

    values = TINY[name].recipe(tiny_recipe, tmp_path)
    versions = []
    for installed in ("0.31.0", "0.32.0"):
        monkeypatch.setattr("tasks.running.machine.vllm_version", lambda _, is_=installed: is_)
        versions.append((found("vllm"), found("transformers")))
    assert versions[0][0] != versions[1][0] and versions[0][1] == versions[1][1]


@pytest.mark.parametrize("name", ["ddk", "matrix"])
def test_a_run_that_samples_nothing_is_begun_again_on_another_device(
    name, tiny_recipe, tmp_path, monkeypatch
):
    recipe = recipe_from(TINY[name].recipe(tiny_recipe, tmp_path) | {"run": "r"})
    before = run_digest(recipe, {})
    monkeypatch.setattr("tasks.running.machine.numerics", lambda _: "x86/cuda/bfloat16")
    assert run_digest(recipe, {}) != before


def test_a_finished_run_is_begun_again_where_the_environment_holds_something_else(
    tiny_recipe, tmp_path
):
    """By what is in it and not by where it is, in the digest that says that nothing is to do."""
    one, same = (holding(tmp_path / name, **VERSIONS) for name in ("one", "same"))
    newer = holding(tmp_path / "newer", **VERSIONS | {"vllm": "0.33.0"})
    found = [digest(tiny_recipe, path, "vllm") for path in (one, same, newer)]
    assert found[0] == found[1] != found[2]
    assert digest(tiny_recipe, one, "vllm") != digest(tiny_recipe, None, "transformers")


def test_check_says_what_vllm_runs_with(tiny_recipe, write_recipe, tmp_path, capsys):
    newer = holding(tmp_path / "newer", **VERSIONS | {"vllm": "0.33.0"})
    values = copy.deepcopy(tiny_recipe) | {
        "runtime": {"device": "cpu", "engine_python": str(newer)}
    }
    values["generate"]["engine"] = "vllm"
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["check", str(write_recipe(values)), *where]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "engine_python vllm 0.33.0 torch 2.13.0 transformers 5.19.0 python 3." in said
    assert "newer' has vLLM 0.33.0; 0.32.0 is tested" in said


def test_a_recorded_run_is_used_where_its_environment_is_not(tiny_recipe, tmp_path):
    there = holding(tmp_path / "there", **VERSIONS)
    for path, kept in ((there, str(there)), (tmp_path / "gone", None)):
        recipe = recipe_from(tiny_recipe | {"runtime": {"engine_python": str(path)}})
        assert runtime_here(recipe).engine_python == kept
