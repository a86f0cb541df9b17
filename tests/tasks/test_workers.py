"""Workers of a real Ray cluster of this machine: what they make, and what becomes of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import psutil
import pyarrow as pa
import pytest

from data.errors import InputError, WorkersLostError
from data.recipes.execution import ExecutionConfig
from data.recipes.recipe import DecodingConfig, MineConfig, RuntimeConfig, TeacherConfig
from data.schemas import PROMPTS
from data.store.digests import tree_digest
from data.store.store import Store
from models.isolation import ChildDiedError
from tasks.generate import generate
from tasks.mine import mine
from tasks.relabel import relabel
from tasks.running.books import Books
from tasks.running.cluster import check_execution
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.own_code import load_code
from tasks.running.progress import Progress
from tasks.running.worker import Worker, computes
from tasks.running.workers import Setup, Workers, fitting
from tasks.score import score
from tasks.stage import Context, Run
from tests.repository import ROOT

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray")

LENGTH, SEED = 256, 3
RUNTIME = RuntimeConfig(device="cpu", shard_prompts=3, token_budget=128)


class Told(Progress):
    """Keeps what is said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.said, self.most = [], 0

    def note(self, text):
        self.said.append(text)

    def update(self, done, total, at_once=1):
        super().update(done, total, at_once)
        self.most = max(self.most, at_once)


def run_in(folder, workers=None):
    loaded = LoadedModels("transformers", RUNTIME, LENGTH, SEED)
    context = Context(Store(folder), RUNTIME, loaded, date="2026-01-31")
    return Run(context, Told(), "transformers", books=Books(kept=False), workers=workers)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two workers with a store of their own. They begin with the first job."""
    store = tmp_path_factory.mktemp("ray")
    setup = Setup(str(store), RUNTIME, LENGTH, SEED, "2026-01-31")
    execution = ExecutionConfig(kind="ray", workers=2)
    workers = Workers(execution, setup, Worker, computes(run_in(store).context))
    yield workers
    workers.close()


@pytest.fixture
def cluster(two):
    """A run of theirs."""
    with run_in(two.setup.store, two).active() as run:
        yield run


def model(folder, field="policy.model"):
    return External(path=str(folder), digest=tree_digest(folder), field=field)


def prompts(run, number=12):
    rows = [
        {
            "prompt_id": f"p{i}",
            "messages": [{"role": "user", "content": f"What is {i} plus {i % 5}?"}],
            "dataset": "sums",
        }
        for i in range(number)
    ]
    table = pa.Table.from_pylist(rows, PROMPTS)

    def body(out):
        from data.tables import write_table

        write_table(out / "data.parquet", table, PROMPTS)
        return {}

    return run.context.store.put("prompts", {"made": number}, body)


def answers(run, policy, tokens=24, k=3):
    return generate(
        policy=policy,
        prompts=prompts(run),
        k=k,
        decoding=DecodingConfig(max_tokens=tokens),
        engine="transformers",
        stream="a",
        seed=1,
    )


def labelled(run, policy, student, teacher):
    """The artifacts of sampling, scoring, mining and labelling."""
    asked, said = prompts(run), answers(run, policy)
    scores = score(model=student, prompts=asked, completions=said, max_length=LENGTH)
    config = MineConfig(drop_truncated=False)
    mined = mine(completions=said, scores=scores, config=config, seed=0)
    pairs = relabel(
        mined=mined,
        prompts=asked,
        teacher=teacher,
        config=TeacherConfig(model="teacher"),
        round_number=1,
        max_length=LENGTH,
    )
    return [said, scores, mined, pairs]


def known(artifacts):
    return [(one.kind, one.key, one.digest, one.rows, one.meta) for one in artifacts]


def workers_of_this_process(doing=""):
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if f"ray::Worker{doing}" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_two_workers_make_what_one_process_does_and_listen_to_this_machine_alone(
    cluster, tmp_path, policy_dir, bert_reward_dir, llama_reward_dir
):
    models = [model(folder) for folder in (policy_dir, bert_reward_dir, llama_reward_dir)]
    here = run_in(tmp_path / "local")
    with here.active():
        expected = labelled(here, *models)
    found = labelled(cluster, *models)
    assert known(found) == known(expected)
    assert [(r.shards, r.counts) for r in cluster.records] == [
        (r.shards, r.counts) for r in here.records
    ]
    assert cluster.records[0].shards == 4
    assert cluster.computed == here.computed
    assert cluster.context.loaded._engine is None, "this process has loaded nothing"


@pytest.mark.slow
def test_the_shard_of_a_killed_worker_is_given_to_another(cluster, tmp_path, policy_dir):
    policy = model(policy_dir)
    here = run_in(tmp_path / "local")
    with here.active():
        expected = answers(here, policy, tokens=150, k=8)
    killed = []

    def kill():
        while not killed:
            for process in workers_of_this_process(".make")[:1]:
                time.sleep(0.2)
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
            time.sleep(0.02)

    threading.Thread(target=kill, daemon=True).start()
    found = answers(cluster, policy, tokens=150, k=8)
    assert known([found]) == known([expected])
    (line,) = cluster.progress.said
    assert line.startswith(f"lost a worker, process {killed[0]} on ")
    assert cluster.progress.most, "progress is told meanwhile"


def test_what_is_wrong_is_said_as_if_it_had_run_here(cluster, tmp_path, policy_dir):
    changed = model(policy_dir).model_copy(update={"digest": "sha256:" + "0" * 64})
    said = []
    for run in (run_in(tmp_path / "local"), cluster):
        with run.active(), pytest.raises(InputError) as error:
            answers(run, changed)
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]
    assert said[0][1].startswith("policy.model: ") and "has changed since" in said[0][1]
    assert answers(cluster, model(policy_dir)).rows == 36, "and they go on"


def test_they_listen_to_this_machine_alone_and_end_with_the_run(cluster, policy_dir):
    answers(cluster, model(policy_dir), tokens=4)
    assert len(workers_of_this_process()) == 2
    listening = {
        one.laddr.ip
        for process in psutil.Process().children(recursive=True)
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    }
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}

    cluster.close()
    assert workers_of_this_process() == []


CLUSTER = """
import sys
from data.recipes.execution import ExecutionConfig
from tasks.running.cluster import connected
with connected(ExecutionConfig(kind="ray", workers=1)) as ray:
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_cluster_that_is_there_is_asked_for_room_and_used(two, tmp_path, policy_dir, monkeypatch):
    """Someone else's, of one core."""
    two.close()  # a process is in one cluster at a time; the next job begins theirs anew
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # it is at 127.0.0.1
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", "a" * 64)  # for good: Ray reads it once
    other = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = other.stdout.readline().strip()
        execution = ExecutionConfig(kind="ray", address=address, workers=2)
        with pytest.raises(InputError) as error:
            check_execution(execution, RUNTIME)
        assert str(error.value) == (
            f"execution.workers: 2 with 1 CPU each want 2, and the cluster at '{address}' has 1; "
            "lower workers or cpus_per_worker"
        )
        execution = execution.model_copy(update={"workers": 1})
        check_execution(execution, RUNTIME)
        run = run_in(tmp_path / "store")
        setup = Setup(str(tmp_path / "store"), RUNTIME, LENGTH, SEED, "2026-01-31")
        run.workers = Workers(execution, setup, Worker, computes(run.context))
        with run.active():
            assert answers(run, model(policy_dir), tokens=4).rows == 36
        run.close()
        assert [one for one in psutil.Process(other.pid).children(recursive=True)
                if "ray::Worker" in " ".join(one.cmdline())] == []  # fmt: skip

        others = computes(run.context) | {"torch": "1.0"}
        run.workers = Workers(execution, setup, Worker, others)
        with run.active(), pytest.raises(InputError) as error:
            answers(run, model(policy_dir), tokens=5)
        assert str(error.value).startswith("execution.address: torch is ")
        assert " and 1.0 here, which would make other results" in str(error.value)
        run.close()
    finally:
        other.stdin.close()
        other.wait(60)


POISON = """
import os
from data.schemas import PROMPTS
from data.store.artifacts import Artifact
from tasks.stage import Context, Rows, stage

@stage(PROMPTS, version="1", model="loaded")
def poison(ctx: Context, *, prompts: Artifact) -> Rows:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_work_that_kills_whoever_does_it_is_not_given_out_for_ever(cluster, tmp_path, policy_dir):
    """A stage of a user's file, which workers find by its path."""
    (tmp_path / "own.py").write_text(POISON)
    with pytest.raises(ChildDiedError, match="^3 workers of Ray died of the same work") as error:
        load_code(tmp_path / "own.py").poison(prompts=prompts(cluster))
    assert "unavailable" in error.value.__notes__[0] or "died" in error.value.__notes__[0]
    assert len(cluster.progress.said) == 2
    assert answers(cluster, model(policy_dir), tokens=6).rows == 36, "and they go on"


def test_a_cluster_that_is_lost_is_no_fault_of_the_input(tmp_path):
    setup = Setup(str(tmp_path), RUNTIME, LENGTH, SEED, "2026-01-31")
    workers = Workers(ExecutionConfig(kind="ray", workers=2), setup, Worker, computes={})
    workers._given_up = RuntimeError("The actor is dead, for " + "its owner has died " * 20)
    with pytest.raises(WorkersLostError) as error:
        workers._step(Told())
    said = str(error.value)
    assert error.value.exit_code == 1 and "has died ...); run the same command again" in said


def test_a_worker_without_the_store_is_refused(tmp_path):
    """As on a node that does not share the folder."""
    run = run_in(tmp_path / "store")
    setup = Setup(str(tmp_path / "store"), RUNTIME, LENGTH, SEED, None, os.getcwd())
    there, store = computes(run.context), Store(str(tmp_path / "store"))
    assert fitting(Worker(setup).ready(tmp_path), there, store).shares
    with pytest.raises(InputError, match="does not see the store in .*; share that folder, or use"):
        fitting(Worker(setup).ready(tmp_path / "elsewhere"), there, store)
