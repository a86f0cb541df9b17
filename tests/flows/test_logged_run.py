"""Logged completions and a recorded judge, in place of generation and of a teacher model."""

import json

import pytest

from cli.main import main

pytestmark = pytest.mark.usefixtures("without_prefect")

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

    def call(*more):
        arguments = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
        assert main(["align", str(recipe), "--quiet", *arguments, *more]) == 0
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


@pytest.fixture(scope="module")
def of_the_judge(align, summary, logs, tmp_path_factory):
    """All weights trained on pairs of all judgments, after a warm-up, beside two scorers' picks."""
    folder = tmp_path_factory.mktemp("more")
    rows = [json.loads(line) for line in logs.read_text().splitlines()]
    for name, sample in (("right", SAMPLES - 1), ("wrong", 0)):
        picked = [row for row in rows if row["sample"] == sample]
        text = "".join(json.dumps(row) + "\n" for row in picked)
        (folder / f"{name}.jsonl").write_text(text)
    earlier = [
        {"prompt": f"Is it {i}?", "chosen": "yes yes", "rejected": "no no"} for i in range(8)
    ]
    warm_up = tmp_path_factory.mktemp("earlier") / "pairs.jsonl"
    warm_up.write_text("".join(json.dumps(row) + "\n" for row in earlier))
    values = {
        "labels": "teacher",
        "mine.pairs": "outside_in",
        "logged.picks": str(folder),
        "student.warm_up_path": str(warm_up),
        "student.method": "full",
        "student.learning_rate": 1e-3,
    }
    return align(*(part for name, value in values.items() for part in ("--set", f"{name}={value}")))


def test_all_judgments_may_make_the_pairs(of_the_judge):
    entry = of_the_judge["rounds"][0]
    assert entry["ledger"]["mined"] == PROMPTS // 2 * (SAMPLES // 2)
    assert entry["swap_rate"] == 0
    calls = [(stage["name"], stage["role"]) for stage in entry["stages"]]
    assert ("distill", "warm-up") in calls and ("score", "logged before") not in calls
    student = entry["student"]
    assert student["agreement_after"] > student["agreement_before"] + 0.03


def test_recorded_picks_stand_beside_the_students_on_the_same_prompts(of_the_judge, summary):
    assert "picks" in {record["kind"] for record in of_the_judge["rounds"][0]["stages"]}
    found = {row["picker"]: row for row in of_the_judge["rounds"][0]["student"]["picks"]}
    assert found["right"]["agreement"] == 1.0 and found["wrong"]["agreement"] == 0.0
    assert found["right"]["prompts"] == PROMPTS // 2
    beside = {row["picker"]: row["agreement"] for row in found["right"]["beside"]}
    assert beside["Student after"] == found["Student after"]["agreement"]
    measure = of_the_judge["measures"]["best_answer"]
    assert measure["parts"]["right"]["value"] == 1.0 and measure["even"] == 0.5
    titles = [section["title"] for section in of_the_judge["sections"]]
    assert "The best of the judged answers" in titles
    own = {row["picker"] for row in summary["rounds"][0]["student"]["picks"]}
    assert own == {"Student before", "Student after", "Longest answer"}
