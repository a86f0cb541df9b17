"""Recipes against each other: real runs on tiny models, killed, gone on with, refused."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cli.main import main
from data.processes import alive, owner
from flows.recipe_files import load_recipe
from flows.server import print_into
from models.isolation import Child
from tests.repository import ROOT

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture(scope="module")
def api(prefect):
    """The tests' Prefect server, also for child processes."""
    from prefect.settings import PREFECT_API_URL

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def two_rounds(tiny_recipe, write_recipe):
    return write_recipe(tiny_recipe | {"policy": tiny_recipe["policy"] | {"replay": "none"}})


@pytest.fixture(scope="module")
def recipe(tiny_recipe, write_recipe):
    return write_recipe(tiny_recipe | {"rounds": 1})


def arguments(folder, recipe, *more, changes="policy.beta=0.3"):
    variants = (f"base={recipe}", f"other={recipe}:{changes}")
    return [
        *("bench", *variants, "--seeds", "2", "--name", "b", "--quiet", "--workers", "2"),
        *("--store", str(folder / "store"), "--runs-dir", str(folder / "runs"), *more),
    ]


def result(folder):
    return json.loads((folder / "runs" / "b" / "bench.json").read_text())


@pytest.fixture(scope="module")
def finished(api, recipe, tiny_run):
    """Beside a run of seed 0, of which the bench finds what it shares with it."""
    assert main(arguments(tiny_run, recipe)) == 0
    return tiny_run


def test_two_recipes_and_two_seeds_make_four_runs_and_one_comparison(finished):
    found = result(finished)
    assert found["schema"] == 1 and found["seeds"] == [0, 1] and not found["failures"]
    base, other = found["recipes"]
    assert [run["run"] for run in other["runs"]] == ["b-other-s0", "b-other-s1"]
    assert other["changes"] == [["policy.beta", "0.1", "0.3"]] and base["difference"] is None
    for mine, its in zip(other["runs"], base["runs"], strict=True):
        assert mine["difference"] == pytest.approx(mine["win_rate"] - its["win_rate"])
        assert (mine["prompts"], mine["rounds"]) == (10, 1)
    assert other["difference"]["over"] == "seeds"


def test_what_runs_share_is_computed_once(finished):
    found = result(finished)
    assert found["computed_seconds"] < found["unshared_seconds"]
    computed = [
        stage["key"]
        for path in (finished / "runs").glob("b-*/summary.json")
        for summary in [json.loads(path.read_text())]
        for stage in summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]
        if not stage["cached"]
    ]
    assert len(computed) == len(set(computed)) > 0


def test_a_run_of_a_bench_is_what_align_makes(finished, recipe):
    places = ("--store", str(finished / "store"), "--runs-dir", str(finished / "runs"))
    plain = ("--set", "seed=1", "--set", "policy.beta=0.3", "--run", "plain", "--quiet")
    assert main(["align", str(recipe), *plain, *places]) == 0
    summary = json.loads((finished / "runs" / "plain" / "summary.json").read_text())
    assert summary["final"]["win_rate"] == result(finished)["recipes"][1]["runs"][1]["win_rate"]
    assert all(s["cached"] for r in summary["rounds"] for s in r["stages"])


def test_again_nothing_is_started(finished, recipe, monkeypatch):
    monkeypatch.setattr("bench.pool.Child", None)
    before = result(finished)
    assert main(arguments(finished, recipe)) == 0
    after = result(finished)
    assert after["recipes"] == before["recipes"]


def test_page_and_table_hold_everything_and_load_nothing(finished):
    page = (finished / "runs" / "b" / "bench.html").read_text()
    assert "<svg" in page and "<script" not in page and "src=" not in page and "@import" not in page
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    assert all(link.startswith(("#", "../b-")) for link in links)
    text = (finished / "runs" / "b" / "bench.md").read_text()
    assert "tsalign bench base=" in text and "| other | 2 |" in text


def test_one_seed_is_compared_over_prompts(finished, recipe):
    assert main([*arguments(finished, recipe), "--seeds", "1,"]) == 0
    found = result(finished)
    assert [run["seed"] for run in found["recipes"][0]["runs"]] == [1]
    other = found["recipes"][1]
    low, high = other["difference"]["ci95"]
    assert other["difference"]["over"] == "prompts" and other["win_rate"]["ci95"] is None
    assert low <= other["difference"]["mean"] <= high


class Grandparent:
    """As the server of a bench: what talks is a process of its own."""

    def __init__(self, log):
        print_into(log)

    def talk(self):
        subprocess.run(["sh", "-c", "echo locked >&2"], check=True)


def test_what_the_server_says_is_in_its_log(tmp_path, capfd):
    child = Child(Grandparent, tmp_path / "log")
    child.call("talk")
    child.close()
    assert (tmp_path / "log").read_text() == "locked\n"
    assert "locked" not in capfd.readouterr().err


TINY_WORLD = {
    "recipe": "ts-align", "run": "w", "rounds": 1,
    "world": {"lessons": 100, "policy_examples": 100, "teacher_pairs": 100, "student_pairs": 50,
              "prompts": 28, "dev_prompts": 7, "test_prompts": 14},
    "prompts": {"per_round": 14, "max_tokens": 64},
    "generate": {"engine": "transformers", "k": 3, "max_tokens": 8},
    "mine": {"drop_truncated": False},
    "student": {"epochs": 1, "batch_size": 8, "max_length": 96},
    "policy": {"method": "full", "learning_rate": 1e-4, "epochs": 1, "batch_size": 8,
               "max_length": 96},
    "gate": {"min_win_rate": 0.0},
    "evaluate": {"judge": "oracle"},
    "runtime": {"device": "cpu", "dtype": "float32"},
}  # fmt: skip


@pytest.mark.slow
def test_each_world_has_models_and_prompts_of_its_own_made_once(
    api, write_recipe, tmp_path, monkeypatch
):
    """Two variants in two worlds: four runs, two bootstraps, side by side in two workers."""
    command = arguments(tmp_path, write_recipe(TINY_WORLD), "--worlds", "2", "--seeds", "1")
    assert main(command) == 0
    found = result(tmp_path)
    assert found["worlds"] == [0, 1] and found["seeds"] == [0] and not found["failures"]
    assert [run["run"] for run in found["recipes"][1]["runs"]] == ["b-other-w0-s0", "b-other-w1-s0"]
    assert [one["world"] for one in found["recipes"][1]["worlds"]] == [0, 1]
    assert found["recipes"][1]["difference"]["over"] == "worlds"
    assert found["recipes"][1]["changes"] == [["policy.beta", "0.1", "0.3"]]
    summaries = {
        path.parent.name: json.loads(path.read_text())
        for path in (tmp_path / "runs").glob("b-*/summary.json")
    }
    made = {name: bootstrap_of(summary) for name, summary in summaries.items()}
    for world in (0, 1):  # shared by the variants, computed by one of them
        assert made[f"b-base-w{world}-s0"] == made[f"b-other-w{world}-s0"]
        both = [summaries[f"b-{label}-w{world}-s0"]["bootstrap"] for label in ("base", "other")]
        found_there = [all(stage["cached"] for stage in one) for one in both]
        assert sorted(found_there) == [False, True]
    ours, theirs = made["b-base-w0-s0"], made["b-base-w1-s0"]
    assert {"pool prompts", "test prompts", "base policy", "teacher", "student"} <= ours.keys()
    assert not {stage for stage in ours if ours[stage] == theirs[stage]}
    assert {"cpu", "cores", "threads", "kernels"} <= summaries["b-base-w0-s0"]["machine"].keys()
    monkeypatch.setattr("bench.pool.Child", None)  # again, nothing is started
    assert main(command) == 0 and result(tmp_path)["recipes"] == found["recipes"]


def bootstrap_of(summary):
    """Content of what a run began with, by title."""
    return {stage["stage"]: stage["artifact"] for stage in summary["bootstrap"]}


@pytest.mark.slow
def test_equal_tokens_adds_rounds_until_the_budget_is_spent(finished, two_rounds):
    """Half the completions for each prompt: about twice the rounds for the same tokens."""
    assert (
        main([*arguments(finished, two_rounds, changes="generate.k=2"), "--equal", "tokens"]) == 0
    )
    base, other = result(finished)["recipes"]
    for mine, its in zip(other["runs"], base["runs"], strict=True):
        assert mine["budget"] == its["tokens"] >= mine["tokens"]
        assert mine["rounds"] > its["rounds"] == 2
        last = mine["tokens"] / mine["rounds"]
        assert mine["tokens"] + 2 * last > mine["budget"] or 10 * (mine["rounds"] + 1) > 34


@pytest.mark.slow
def test_equal_tokens_stops_before_the_recipe_ends(finished, two_rounds):
    """Twice the completions: one round for the tokens of two."""
    changes = "generate.k=7,mine.drop_truncated=false"
    assert main([*arguments(finished, two_rounds, changes=changes), "--equal", "tokens"]) == 0
    for run in result(finished)["recipes"][1]["runs"]:
        assert run["rounds"] == 1 and len(run["curve"]) == 1


@pytest.mark.slow
def test_a_failed_run_is_named_and_the_others_go_on(finished, recipe, capfd):
    bad = "policy.learning_rate=1e30"
    assert main(arguments(finished, recipe, changes=bad)) == 1
    found = result(finished)
    assert [one["run"] for one in found["failures"]] == ["b-other-s0", "b-other-s1"]
    assert len(found["recipes"][0]["runs"]) == 2
    assert "b-other-s0 failed: " in capfd.readouterr().err


def test_the_tunnel_is_in_the_world_of_make_align():
    """Its bootstrap is shared, and it can be compared with variants of itself."""
    tunnel, embedded = (
        load_recipe(ROOT / "recipes" / f"{name}.yaml") for name in ("tunnel", "embedded")
    )
    assert tunnel.world == embedded.world and tunnel.yardstick() == embedded.yardstick()
    assert tunnel.generate.engine == "transformers" and tunnel.evaluate.judge == "oracle"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_killed_leaves_no_process_and_goes_on_where_it_stopped(
    api, recipe, tmp_path, number
):
    command = [sys.executable, "-m", "cli", *arguments(tmp_path, recipe)]
    bench = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    runs = tmp_path / "runs"
    deadline = time.monotonic() + 120
    while not list(runs.glob("b-*/summary.json")):
        assert bench.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    children = {(pid, owner(pid)) for pid in descendants(bench.pid)}
    assert children
    os.kill(bench.pid, number)
    error = bench.communicate(timeout=60)[1]
    if number != signal.SIGKILL:
        assert bench.returncode == 130
        assert error == "tsalign: interrupted; run the same command again to continue\n"
    deadline = time.monotonic() + 10
    while any(alive(*child) for child in children):
        assert time.monotonic() < deadline, "a worker outlived its bench"
        time.sleep(0.1)
    made = written(tmp_path)
    assert main(arguments(tmp_path, recipe)) == 0
    assert not result(tmp_path)["failures"] and len(result(tmp_path)["recipes"][1]["runs"]) == 2
    after = written(tmp_path)
    assert made and {path: after[path] for path in made} == made and len(after) > len(made)


def written(folder):
    """When each artifact was written, what was in the making left out."""
    return {path: path.stat().st_mtime_ns for path in (folder / "store").glob("*/??/*")}


def descendants(pid):
    """Ids of a process's children and theirs."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout
    parents = dict(map(int, line.split()) for line in listed.splitlines()[1:])
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


@pytest.mark.parametrize(
    ("variants", "more", "message"),
    [
        (["{r}:no.such=1"], [], "unknown key 'no'"),
        (["{r}:policy.beta=x"], [], "policy.beta"),
        (["nowhere.yaml"], [], "nowhere.yaml"),
        (["{r}", "{r}"], [], "two recipes are named"),
        (["{r}", "b={r}:evaluate.temperature=0.1"], [], "b: evaluate.temperature is 0.1"),
        (["{r}", "b={r}:generate.max_tokens=5"], [], "b: generate.max_tokens is 5"),
        (["{r}"], ["--seeds", "x"], "--seeds x"),
        (["{r}"], ["--worlds", "x"], "--worlds x"),
        (["{r}"], ["--worlds", ""], "--worlds '': must be how many"),
        (["{r}"], ["--seeds", ""], "--seeds '': must be how many"),
        (["{r}"], ["--worlds", "1000000"], "--worlds 1000000: a bench has 10,000 runs at most"),
        (["{r}", "b={r}"], ["--seeds", "6000"], "2 recipes x 6,000 seeds are 12,000 runs, a bench"),
        (["nowhere.yaml"], ["--ray", "there"], "--ray there: must be 'local', 'auto' or"),
        (["{r}"], ["--measure", ""], "--measure: must name a measure"),
        (["{r}"], ["--worlds", "2"], "takes nothing from the embedded world"),
        (["{r}"], ["--name", "../up"], "--name ../up"),
        (["{r}"], ["--workers", "0"], "--workers 0"),
        (["{r}"], ["--equal", "votes"], "--equal"),
        (["{r}", "b={r}:policy.model=/no/such"], [], "b: policy.model is /no/such"),
        (["{r}", "b={r}:student.model=/no/such"], [], "student.model"),
    ],
)
def test_bad_input_is_refused_in_one_line(refuse, recipe, tmp_path, variants, more, message):
    places = ("--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs"))
    line = refuse("bench", *(v.format(r=recipe) for v in variants), *places, *more)
    assert message in line and not (tmp_path / "runs").exists()
