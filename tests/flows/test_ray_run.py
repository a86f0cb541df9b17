"""A run over workers of Ray: refused in time, the same as without them, and nothing left behind."""

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import yaml

from cli.main import main
from data.errors import InputError
from data.recipes.execution import ExecutionConfig
from data.recipes.recipe import RuntimeConfig
from data.summary import read_summary
from models import host
from tasks.running import cluster
from tests.repository import ROOT

with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray")
RAY = {"kind": "ray", "workers": 2}


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({"workers": 3}, "execution.workers: is for Ray alone; add kind: ray"),
        ({"kind": "ray", "address": "there"}, "execution.address: must be 'local', 'auto' or HOST"),
        ({"kind": "ray", "gpus_per_worker": 2}, "execution.gpus_per_worker: must be at most 1"),
        ({"kind": "ray", "gpus_per_worker": 0.5}, "execution.gpus_per_worker: must be 0, as this"),
    ],
)
def test_what_cannot_be_is_refused(refuse_change, execution, said):
    line = refuse_change({"runtime.device": "cpu", "execution": execution})
    assert said in line


def test_without_ray_a_line_says_how_to_have_it(refuse_change, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    line = refuse_change({"execution": RAY})
    assert line.startswith("execution.kind: ray is not installed; install the extra ray, or leave")


@with_ray
def test_more_workers_than_the_machine_has_cores_for(refuse_change):
    cores = host.cores()
    assert refuse_change({"execution": RAY | {"workers": cores + 1}}) == (
        f"execution.workers: {cores + 1} with 1 CPU each want {cores + 1}, and this machine has "
        f"{cores}; lower workers or cpus_per_worker"
    )


@with_ray
def test_engines_of_several_gpus_are_not_for_workers():
    with pytest.raises(InputError, match="^generate.parallel: gives an engine several GPUs"):
        cluster.check_execution(ExecutionConfig(kind="ray"), RuntimeConfig(device="cpu"), gpus=2)


@with_ray
def test_an_address_where_nobody_answers(refuse_change):
    with socket.socket() as taken:  # and not listened at
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refuse_change({"execution": RAY | {"address": address}})
    assert line.startswith(f"execution.address: nobody answers at '{address}' (")


@with_ray
def test_an_address_that_drops_what_it_is_sent_is_given_up(refuse_change, monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWERS", 0.2)
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than it keeps waiting: it answers no further one
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        address = f"127.0.0.1:{full.getsockname()[1]}"
        line = refuse_change({"execution": RAY | {"address": address}})
    assert line.startswith(f"execution.address: nobody answers at '{address}' (timed out)")


@with_ray
def test_an_address_of_something_else_is_refused_at_once(refuse_change):
    """As that of Ray's dashboard, which speaks HTTP/1.1."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    site.RequestHandlerClass.log_message = lambda *_: None
    with site, ThreadPoolExecutor() as pool:
        pool.submit(site.serve_forever)
        address = f"127.0.0.1:{site.server_port}"
        line = refuse_change({"execution": RAY | {"address": address}})
        site.shutdown()
    assert line.startswith(f"execution.address: what answers at '{address}' is no Ray; name the")


def test_workers_of_gpus_are_for_runs_on_gpus(monkeypatch):
    """And a run on a GPU whose workers would have none is refused too."""
    monkeypatch.setattr(cluster.devices, "device", lambda runtime: "cuda")
    with pytest.raises(Exception, match="gpus_per_worker: is 0, and this run computes on a GPU"):
        cluster._check_device(ExecutionConfig(kind="ray"), None)


@pytest.fixture
def recipe(tiny_recipe):
    """Several shards in every stage that has any."""
    values = copy.deepcopy(tiny_recipe) | {"rounds": 1}
    return values | {"runtime": {"device": "cpu", "shard_prompts": 4}}


def places(folder):
    return ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]


def stages(folder):
    summary = read_summary(folder / "runs" / "tiny" / "summary.json")
    return [
        (one.name, one.role, one.key, one.artifact, one.counts, one.shards)
        for one in summary.stages()
    ]


@pytest.mark.slow
@with_ray
def test_a_run_is_the_same_and_found_by_one_without_workers(
    prefect, recipe, write_recipe, tmp_path, capsys
):
    there, here = tmp_path / "there", tmp_path / "here"
    over = write_recipe(recipe | {"execution": RAY})
    assert main(["align", str(over), "--quiet", *places(there)]) == 0
    alone = write_recipe(recipe)
    assert main(["align", str(alone), "--quiet", *places(here)]) == 0
    assert stages(there) == stages(here)
    assert not ray_processes(psutil.Process())

    capsys.readouterr()
    assert main(["align", str(alone), *places(there)]) == 0
    assert "tiny: nothing to do" in capsys.readouterr().out


def ray_processes(process: psutil.Process, doing: str = "") -> list[psutil.Process]:
    """Of the workers below a process."""
    found = []
    for child in process.children(recursive=True):
        try:
            if f"ray::Worker{doing}" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
@with_ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_ends_early_leaves_no_worker(recipe, write_recipe, tmp_path, number):
    """However it ends; only after SIGKILL its folder of logs stays, for the next one to remove."""
    recipe = recipe | {"execution": RAY}
    recipe["generate"] = recipe["generate"] | {"k": 16, "max_tokens": 64}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "cli", "align", str(path), "--quiet", *places(tmp_path)]
    logs = tempfile.mkdtemp(prefix="ends-", dir="/tmp")  # short, as sockets want it
    env = os.environ | {"TMPDIR": logs}
    run = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    watched, end = psutil.Process(run.pid), time.monotonic() + 300
    while not (workers := ray_processes(watched, ".make")):
        assert run.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    below = watched.children(recursive=True)
    os.kill(run.pid, number)
    _, said = run.communicate(timeout=120)
    if number != signal.SIGKILL:
        assert run.returncode == 130
        assert said.endswith("tsalign: interrupted; run the same command again to continue\n")
        assert [line for line in said.splitlines() if not line.startswith("tsalign: ")] == []
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    # Ray's agents first try to tell the others that they are alone.
    _, alive = psutil.wait_procs(below, timeout=120)
    assert alive == []
    assert number == signal.SIGKILL or not [*Path(logs).glob("tsalign-ray-*")]
    shutil.rmtree(logs)
