"""The whole loop on models and prompts a user brings, tiny ones, with the transformers engine."""

import json
import subprocess
import sys
from contextlib import nullcontext

import pytest

from cli.main import main
from tests.fixtures.runs import alone

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture(scope="module")
def recipe(tiny_recipe, write_recipe):
    return write_recipe(tiny_recipe)


@pytest.fixture(scope="module")
def align(tiny_run, recipe):
    """Run the recipe in the folder of a finished run."""
    folder = tiny_run

    def call(*arguments, store="store", run="tiny", status=0, by_prefect=True):
        command = ["align", str(recipe), "--quiet", "--run", run, *arguments]
        places = ["--store", str(folder / store), "--runs-dir", str(folder / "runs")]
        with nullcontext() if by_prefect else alone():
            assert main([*command, *places]) == status
        summary = json.loads((folder / "runs" / run / "summary.json").read_text())
        return summary, folder / "runs" / run

    return call


@pytest.fixture(scope="module")
def first(tiny_run):
    """The finished run: its summary and its folder."""
    folder = tiny_run / "runs" / "tiny"
    return json.loads((folder / "summary.json").read_text()), folder


def stages(summary):
    return summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]


def computed(summary):
    return [s["stage"] for s in stages(summary) if not s["cached"]]


def test_two_rounds_leave_a_summary_a_report_and_models(first):
    summary, folder = first
    assert summary["schema"] == 1 and len(summary["rounds"]) == 2
    assert (folder / "report.html").stat().st_size > 1000
    assert (folder / "policy" / "model.safetensors").is_file()
    assert (folder / "student" / "adapter" / "adapter_model.safetensors").is_file()
    assert summary["final"]["judge"] == "teacher"
    assert set(summary["final"]["by_dataset"]) == {"sums", "more"}


def test_the_teacher_is_called_on_two_completions_of_every_mined_prompt(first):
    for entry in first[0]["rounds"]:
        assert entry["teacher_calls"] == 2 * entry["ledger"]["mined"]


def test_the_base_stands_beside_the_policies_in_what_drift_measures(first):
    summary, _ = first
    before, *after = [s for s in stages(summary) if (s["name"], s["role"]) == ("drift", "base")]
    assert after and {s["artifact"] for s in after} == {before["artifact"]}
    assert all(s["cached"] for s in after)  # measured once
    curve = {v["round"]: v["value"] for v in summary["measures"]["perplexity"]["rounds"]}
    assert curve == {0: summary["base"]["perplexity"]} | {
        r["round"]: r["drift"]["perplexity"] for r in summary["rounds"]
    }
    assert all(1 < value < 10_000 for value in curve.values())
    (drift,) = (s for s in summary["sections"] if s["name"] == "drift")
    assert "Perplexity under the base" in [block.get("title") for block in drift["blocks"]]


def test_prompts_that_are_dropped_are_counted(first):
    read = next(s for s in first[0]["bootstrap"] if s["stage"] == "read prompts.path")
    assert read["counts"] == {"read": 62, "kept": 60, "duplicate": 2}


def test_the_ledger_begins_with_what_became_of_the_source(first):
    (source,) = first[0]["sources"]
    lost = {"held_out": 26, "exact": 0, "shared": 0, "repeated": 0}  # 6 dev and 20 test prompts
    assert source == {"name": "prompts", "prompts": 60, "pool": 34} | lost
    (ledger,) = (s for s in first[0]["sections"] if s["name"] == "ledger")
    titles = [block["title"] for block in ledger["blocks"]]
    assert titles == ["Before the first round", "Round 1", "Round 2"]


def test_the_ledger_starts_from_all_prompts_and_completions(first):
    for entry in first[0]["rounds"]:
        assert entry["ledger"]["asked"] == 10
        assert entry["ledger"]["generated"] == 40
        assert entry["ledger"]["trained"] > 0


def test_again_there_is_nothing_to_do(first, align):
    summary, _ = align()
    assert stages(summary) and all(stage["cached"] for stage in stages(summary))
    assert summary["final"] == first[0]["final"]


def test_again_in_a_new_process_it_says_so_and_loads_neither_torch_nor_prefect(first, recipe):
    folder = first[1]
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "heavy = {'torch', 'transformers', 'vllm', 'prefect', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    stores = ["--store", str(folder.parents[1] / "store"), "--runs-dir", str(folder.parent)]
    done = subprocess.run(
        [sys.executable, "-c", code, "align", str(recipe), *stores],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nothing to do" in done.stdout


def test_another_name_computes_nothing(first, align):
    summary, _ = align(run="other", by_prefect=False)
    assert computed(summary) == []


def test_another_beta_reuses_everything_up_to_the_first_training(first, align):
    summary, _ = align("--set", "policy.beta=0.3", run="beta")
    fresh = computed(summary)
    in_round_1 = {s["stage"]: s["cached"] for s in summary["rounds"][0]["stages"]}
    kept = ("select", "generate", "score", "mine", "relabel", "distill", "reference")
    assert all(in_round_1[stage] for stage in kept)
    assert not in_round_1["optimize"] and "generate" in fresh  # round 2 has another policy
    assert summary["bootstrap"] and all(stage["cached"] for stage in summary["bootstrap"])


def test_two_fresh_stores_agree_in_every_digest(first, align):
    """The other one without Prefect."""
    summary, _ = align(store="elsewhere", run="again", by_prefect=False)
    assert computed(summary) != []
    assert [s["artifact"] for s in stages(summary)] == [s["artifact"] for s in stages(first[0])]
    assert summary["final"] == first[0]["final"]


def test_a_failed_round_continues_from_its_artifacts(align, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("out of memory")

    changed = ("--set", "seed=5", "--set", "rounds=1")
    monkeypatch.setattr("models.training.dpo.train_dpo", broken)
    _, folder = align(*changed, run="failing", status=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"tsalign: error: RuntimeError: out of memory; details in {folder}/error.log"
    assert "Traceback" in (folder / "error.log").read_text()
    monkeypatch.undo()
    summary, _ = align(*changed, run="failing")
    first_round = {s["stage"]: s["cached"] for s in summary["rounds"][0]["stages"]}
    assert first_round["generate"] and first_round["distill"] and not first_round["optimize"]


def test_a_policy_that_stays_though_no_evaluation_met_it_is_judged_at_the_end(first, align):
    """Round 1 is between evaluations, round 2 is refused: the run ends with the first's policy."""
    changes = ("--set=evaluate.every=2", "--set=gate.min_win_rate=1.0")
    summary, _ = align(*changes, run="late", by_prefect=False)
    one, two = summary["rounds"]
    assert one["adopted"] and not two["adopted"] and one["gate"] is None and two["gate"]
    assert summary["final"]["round"] == 1
    assert summary["final"]["win_rate"] == one["policy"]["win_rate"]
    points = {v["round"]: v["kept"] for v in summary["measures"]["win_rate"]["rounds"]}
    assert points == {1: True, 2: False}
    tuned = next(s for s in one["stages"] if s["name"] == "optimize")
    assert summary["links"]["policy"] == tuned["artifact"]
    judged = [s["round"] for s in stages(summary) if s["name"] == "evaluate"]
    assert sorted(judged) == [1, 2]
    again, _ = align(*changes, run="late")
    assert again["final"] == summary["final"] and computed(again) == []
