"""A student without a head, as most encoders come: made, said, trained before it counts alone."""

import json
from pathlib import Path

import pytest

from cli.main import main
from data.summary import read_summary
from flows.preflight.inputs import check_inputs, inspect
from flows.table import recipe_from
from models.text_pairs import load_reader, reads_segments
from tests.flows import flips
from tests.models.training.test_fresh_head import save

PAIRS = "".join(
    json.dumps({"prompt": f"Say {i}", "chosen": f"It is {i}.", "rejected": "No."}) + "\n"
    for i in range(12)
)


@pytest.fixture
def values(tiny_recipe, tmp_path):
    """One round with an encoder that has neither head nor chat template; pairs.jsonl beside it."""
    (tmp_path / "pairs.jsonl").write_text(PAIRS)
    student = tiny_recipe["student"] | {"model": str(save("bert", tmp_path / "bert"))}
    return tiny_recipe | {"rounds": 1, "seed": 7, "student": student}


def noted(values, **student):
    changed = values | {"student": values["student"] | student}
    return check_inputs(recipe_from(changed))


def test_it_is_accepted_and_said(values, tmp_path):
    (note,) = noted(values)
    assert note.startswith(f"student.model: '{tmp_path}/bert' (BertModel) has no head; a fresh one")
    assert "from seed 7; in round 1 it picks pairs at random, the teacher orders them" in note
    (note,) = noted(values, replay_path=str(tmp_path / "pairs.jsonl"))
    assert note.endswith("from seed 7 and trained on the earlier preferences before round 1")
    (note,) = noted(values | {"labels": "teacher"})
    assert note.endswith("it is trained in round 1")


def test_a_made_up_head_never_decides_alone(values, tmp_path):
    def refused(**changes):
        (problem,) = inspect(recipe_from(values | changes)).findings.problems
        return problem

    alone = refused(labels="student")
    assert "one made up here would order the answers; name preferences to train it" in alone
    still = refused(student=values["student"] | {"update": False})
    assert "would never learn" in still and "student.replay_path" in still
    judge = refused(teacher={"model": values["student"]["model"]})
    assert judge.startswith("teacher.model: ") and "made up here would judge nothing" in judge
    for student in ({}, {"update": False}):
        assert noted(
            values | {"labels": "student"}, replay_path=f"{tmp_path}/pairs.jsonl", **student
        )


def test_one_that_only_earlier_preferences_train_is_checked_for_that(values, tmp_path):
    changed = values["student"] | {"update": False, "replay_path": str(tmp_path / "pairs.jsonl")}
    folder = Path(changed["model"])
    path = folder / "config.json"
    settings = {"quantization_config": {"quant_method": "bitsandbytes"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    (problem,) = inspect(recipe_from(values | {"student": changed})).findings.problems
    assert "quantised weights cannot be trained" in problem


def stages(values, tmp_path):
    return [
        place.split(" ", 1)[1].rpartition(" ")[0]
        for place in flips.plan(recipe_from(values), tmp_path / "store")
    ]


def test_it_is_made_once_and_trained_first_where_there_are_preferences(values, tmp_path):
    planned = stages(values, tmp_path)
    assert planned.count("give the student a head") == 1 and "warm up the student" not in planned
    warm = values | {"student": values["student"] | {"replay_path": str(tmp_path / "pairs.jsonl")}}
    planned = stages(warm, tmp_path)
    first = planned.index("give the student a head")
    assert planned[first + 1] == "warm up the student"
    assert "give the student a head" not in stages(
        values | {"student": values["student"] | {"model": values["teacher"]["model"]}}, tmp_path
    )


def test_the_head_is_in_the_key_by_model_and_seed(values, tmp_path):
    def key(**changes):
        calls = flips.plan(recipe_from(values | changes), tmp_path / "store")
        return next(key for stage, key in calls.values() if stage == "fresh_head")

    assert key()["seed"] == 7 and key(seed=8) != key()
    other = values["student"] | {"model": str(save("bert-masked", tmp_path / "masked"))}
    assert key(student=other)["model"] != key()["model"]


@pytest.mark.slow
def test_it_judges_and_learns(prefect, values, write_recipe, tmp_path, capsys):
    student = values["student"] | {"replay_path": str(tmp_path / "pairs.jsonl")}
    path = write_recipe(values | {"student": student})
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(path), *where]) == 0
    assert "has no head; a fresh one is made from seed 7" in capsys.readouterr().err
    summary = read_summary(tmp_path / "runs/tiny/summary.json")
    assert summary.finished and summary.rounds[0].ledger.trained
    assert "has no head" in summary.notes[0]
    assert reads_segments(load_reader(tmp_path / "runs/tiny/student"))
    assert main(["align", str(path), *where]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_it_learns_from_logged_completions(prefect, values, write_recipe, tmp_path):
    rows = [
        {"prompt": f"Count to {i}.", "completion": "yes " * n, "reward": n}
        for i in range(12)
        for n in range(1, 4)
    ]
    logs = tmp_path / "logged.jsonl"
    logs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {"run": "logged", "student": values["student"], "logged": {"completions": str(logs)}}
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(write_recipe(recipe)), "--quiet", *where]) == 0
    summary = read_summary(tmp_path / "runs/logged/summary.json")
    assert summary.finished and "the recorded judge orders them" in summary.notes[0]
