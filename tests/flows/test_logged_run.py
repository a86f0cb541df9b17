"""Logged completions and a recorded judge, in place of generation and of a teacher model."""

import json

import pytest

from cli.main import main

pytestmark = pytest.mark.usefixtures("prefect")

PROMPTS, SAMPLES = 24, 5


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Every prompt's answers, judged by how many times they say yes."""
    path = tmp_path_factory.mktemp("logs") / "answers.jsonl"
    rows = [
        {
            "prompt": f"Shall we try number {p}?",
            "completion": " ".join(["yes"] * s + ["no"] * (SAMPLES - s)) + ".",
            "sample": s,
            "reward": s / SAMPLES,
        }
        for p in range(PROMPTS)
        for s in range(SAMPLES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def align(tmp_path_factory, write_recipe, logs, bert_reward_dir):
    folder = tmp_path_factory.mktemp("work")
    recipe = write_recipe(
        {
            "recipe": "logged",
            "run": "logged",
            "logged": {"completions": str(logs), "held_out": 0.5},
            "student": {
                "model": str(bert_reward_dir),
                "batch_size": 4,
                "max_length": 96,
                "learning_rate": 3e-3,
                "epochs": 6,
            },
        }
    )

    def call():
        arguments = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
        assert main(["align", str(recipe), "--quiet", *arguments]) == 0
        return json.loads((folder / "runs" / "logged" / "summary.json").read_text())

    return call


@pytest.fixture(scope="module")
def summary(align):
    return align()


def test_the_student_learns_the_recorded_judges_order(summary):
    student = summary["rounds"][0]["student"]
    assert student["agreement_after"] > student["agreement_before"] + 0.03
    assert student["pairs"] == PROMPTS // 2 * SAMPLES * (SAMPLES - 1) // 2


def test_the_judge_is_asked_about_two_completions_of_each_mined_prompt(summary):
    entry = summary["rounds"][0]
    assert entry["ledger"]["asked"] == PROMPTS // 2
    assert entry["teacher_calls"] == 2 * entry["ledger"]["mined"]


def test_no_policy_is_trained(summary):
    assert summary["rounds"][0]["policy"] is None and summary["final"] is None


def test_again_there_is_nothing_to_do(summary, align):
    again = align()
    stages = [s for s in again["bootstrap"] + again["rounds"][0]["stages"]]
    assert stages and all(stage["cached"] for stage in stages)
