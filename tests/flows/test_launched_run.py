"""A run whose policy and student are trained by two processes."""

import json

import pytest

from cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect")]
TWO = ("--set", "runtime.train.processes=2")


@pytest.fixture
def align(tiny_copy, tiny_recipe, write_recipe):
    recipe = write_recipe(tiny_recipe)

    def call(run, *arguments):
        """The stages of a run, and those of them that were computed."""
        where = ("--store", str(tiny_copy / "store"), "--runs-dir", str(tiny_copy / "runs"))
        assert main(["align", str(recipe), "--quiet", "--run", run, *where, *TWO, *arguments]) == 0
        summary = json.loads((tiny_copy / "runs" / run / "summary.json").read_text())
        stages = summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]
        return stages, {stage["name"] for stage in stages if not stage["cached"]}

    return call


def test_what_one_process_trained_is_found_and_what_two_train_is_used(align):
    assert align("found")[1] == set()
    changed = ("student.learning_rate=0.002", "policy.beta=0.3", "rounds=1")
    stages, computed = align("made", *(part for one in changed for part in ("--set", one)))
    assert {"distill", "optimize", "evaluate"} <= computed
    trained = [s for s in stages if s["name"] in ("distill", "optimize")]
    assert all(stage["counts"]["steps"] > 0 for stage in trained)
