"""OPTune and TSO as recipes: whole small runs of the same loop with other choices."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from cli.main import main
from data.summary import read_summary


@pytest.fixture(scope="module")
def run(without_prefect, tiny_recipe, tiny_run, write_recipe):
    """Run the tiny recipe with other values, in its store; its summary and its folder."""
    folder = tiny_run
    where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]

    def run(name, changes):
        values = tiny_recipe | {"run": name}
        for section, value in changes.items():
            old = values.get(section)
            values[section] = old | value if isinstance(old, dict) else value
        recipe = write_recipe(values)
        assert main(["align", str(recipe), "--quiet", *where]) == 0
        return read_summary(folder / "runs" / name / "summary.json"), recipe, where

    return run


OPTUNE = {
    "recipe": "optune",
    "rounds": 3,
    "labels": "teacher",
    "student": {"model": "none"},
    "policy": {"replay": "none", "pair_weight": {"form": "sigmoid", "normalize": True}},
    "prompts": {"refresh": {"share": 0.5}},
}


def test_optune_answers_half_of_the_prompts_again_and_trains_on_all(run, capsys):
    summary, recipe, where = run("optune", OPTUNE)
    first, second, third = summary.rounds
    assert [entry.ledger.asked for entry in summary.rounds] == [10, 5, 5]
    assert first.ledger.reused == 0 and second.ledger.reused > 0
    for entry in (second, third):
        assert entry.ledger.trained == entry.ledger.labelled + entry.ledger.reused <= 10
        assert entry.tokens < first.tokens
        assert entry.student.agreement_before is None and entry.drift.student_reward is None
        assert entry.teacher_calls == entry.ledger.generated == 20
    assert main(["align", str(recipe), *where]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.fixture(scope="module")
def smaller(policy_dir, tmp_path_factory):
    """A policy of another shape, with the same tokenizer."""
    folder: Path = tmp_path_factory.mktemp("smaller") / "policy"
    shutil.copytree(policy_dir, folder)
    config = LlamaConfig.from_pretrained(str(policy_dir))
    config.num_hidden_layers = 1
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Recorded answers of people to all prompts of the tiny recipe."""
    path = tmp_path_factory.mktemp("people") / "people.json"
    rows = [
        {"instruction": f"What is {i} plus {i % 7}?", "output": str(i + i % 7), "generator": "us"}
        for i in range(60)
    ]
    path.write_text(json.dumps(rows))
    return path


def test_tso_pairs_versions_scales_and_people(run, smaller, people, capsys):
    cells = [
        {"name": "newest", "model": "policy", "scale": 2},
        {"name": "older", "model": "policy", "scale": 2, "version": -1},
        {"name": "smaller", "model": str(smaller), "scale": 1},
        {"name": "people", "path": str(people), "human": True},
    ]
    summary, _, where = run(
        "tso",
        {
            "recipe": "tso",
            "labels": "matrix",
            "student": {"model": "none"},
            "matrix": {"cells": cells},
            "policy": {"losses": {"dual_clip": 1.0}, "reference": "previous", "replay": "none"},
            "evaluate": {"every": 2},
        },
    )
    first, second = summary.rounds
    assert first.policy is None and first.gate is None and first.adopted
    assert second.policy is not None and summary.final
    assert set(first.matrix) == {"scale", "human"}
    assert set(second.matrix) == {"scale", "human", "version"}
    for entry in summary.rounds:
        for fate in ("agreed", "swapped", "labelled"):
            by_axis = sum(getattr(axis, fate) for axis in entry.matrix.values())
            assert by_axis == getattr(entry.ledger, fate)
        # Only pairs of two versions of the policy are known as the tokens it sampled.
        own = entry.matrix["version"].labelled if "version" in entry.matrix else 0
        assert entry.ledger.retokenized == entry.ledger.trained - own
    assert first.ledger.generated == 30 and second.ledger.generated == 40
    titles = [record.stage for record in second.stages]
    cells = {"generate newest", "generate older", "generate smaller"}
    assert cells <= set(titles)
    again = made_again("generate", where)
    assert cells <= set(again) and "mine" in again and "select" not in again
    assert made_again("generate:older", where)[0] == "generate older"
    assert main(["rerun", "tso", "--round", "2", "--stage", "score:student before", *where]) == 2
    error = capsys.readouterr().err
    assert "round 2 of tso has no stage 'score:student before'; its stages are select," in error
    assert main(["explain", "tso", "--round", "2", "--stage", "generate:older", *where]) == 0
    assert capsys.readouterr().out.startswith("tso: 1 stages")


def made_again(stage, where):
    """Titles of what a rerun of the second round computes."""
    assert main(["rerun", "tso", "--round", "2", "--stage", stage, "--quiet", *where]) == 0
    summary = read_summary(Path(where[-1]) / "tso" / "summary.json")
    assert all(record.cached for record in summary.rounds[0].stages)
    return [record.stage for record in summary.rounds[1].stages if not record.cached]


@pytest.mark.parametrize("labels, calls", [("student", 0), ("teacher", 40)])
def test_one_scorer_alone_may_label(run, labels, calls):
    summary, _, _ = run(labels, {"labels": labels, "rounds": 1})
    (entry,) = summary.rounds
    assert entry.teacher_calls == calls and entry.ledger.swapped == 0
    assert entry.ledger.mined == entry.ledger.agreed > 0


def digests(summary, stage):
    return [r.artifact for entry in summary.rounds for r in entry.stages if r.stage == stage]


@pytest.mark.slow
def test_reference_replay_and_a_student_left_alone(run):
    plain, _, _ = run("plain", {"policy": {"replay": "none"}})
    average, _, _ = run("average", {"policy": {"replay": "none", "reference": "average"}})
    share, _, _ = run("share", {"policy": {"replay": "share", "replay_share": 0.3}})
    left, _, _ = run("left", {"policy": {"replay": "none"}, "student": {"update": False}})
    (first, second), (_, averaged) = digests(plain, "optimize"), digests(average, "optimize")
    assert averaged != second and digests(average, "optimize")[0] == first
    assert digests(share, "optimize")[0] == first
    reused, new = share.rounds[1].ledger.reused, share.rounds[1].ledger.labelled
    assert reused == round(new * 0.3 / 0.7) > 0
    assert digests(left, "distill") == [] and digests(plain, "distill")
    for entry in left.rounds:
        assert entry.student.agreement_before == entry.student.agreement_after is not None
