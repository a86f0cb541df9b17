"""Runs of a bench by workers of Ray: the same as by child processes, refused in time."""

import json
from importlib.util import find_spec

import pytest

from bench.ray_workers import cores_each
from cli.main import main

with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray")


@pytest.mark.parametrize(
    ("nodes", "workers", "each"),
    [([8], 2, 4), ([8, 8], 3, 4), ([8, 8], 1, 8), ([2], 5, 1), ([], 1, 1), ([7, 2], 3, 2)],
)
def test_cores_are_divided_so_that_every_worker_fits_on_a_node(nodes, workers, each):
    assert cores_each(nodes, workers) == each


def arguments(folder, recipe, *more):
    return [
        *("bench", f"base={recipe}", "--seeds", "2", "--name", "b", "--quiet", *more),
        *("--store", str(folder / "store"), "--runs-dir", str(folder / "runs")),
    ]


@pytest.fixture
def recipe(tiny_recipe, write_recipe):
    return write_recipe(tiny_recipe | {"rounds": 1})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--ray", "local", "--workers", "999"), "--workers: 999 with 1 CPU each want 999"),
        (("--ray", "127.0.0.1:1"), "--ray: nobody answers at '127.0.0.1:1'"),
        (("--ray", "local", "--set", "execution.kind=ray"), "--ray: gives whole runs to workers"),
    ],
)
@with_ray
def test_what_cannot_be_is_refused(recipe, tmp_path, capsys, more, said):
    assert main(arguments(tmp_path, recipe, *more)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs" / "b" / "bench.json").exists()


@pytest.mark.slow
@with_ray
def test_runs_by_ray_are_those_of_this_process(prefect, recipe, tmp_path, monkeypatch):
    from prefect.settings import PREFECT_API_URL

    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("bench.pool.Child", None)  # no child process of ours
    assert main(arguments(tmp_path, recipe, "--ray", "local", "--workers", "2")) == 0
    found = json.loads((tmp_path / "runs" / "b" / "bench.json").read_text())
    runs = found["recipes"][0]["runs"]
    assert [run["run"] for run in runs] == ["b-base-s0", "b-base-s1"] and not found["failures"]
    assert (tmp_path / "runs" / "b" / "worker-2.log").exists()

    places = ("--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs"))
    assert main(["align", str(recipe), "--set", "seed=1", "--run", "plain", *places]) == 0
    summary = json.loads((tmp_path / "runs" / "plain" / "summary.json").read_text())
    assert summary["final"]["win_rate"] == runs[1]["win_rate"]
    assert all(stage["cached"] for one in summary["rounds"] for stage in one["stages"])
