"""The workers of a bench on Ray: actors, each with cores of its own, on one machine or several.

As with child processes, a worker takes one run after the other. The store and the folder of runs
are shared by all machines; so nothing travels but recipes.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.jobs import Job, Places
from bench.pool import Worker
from data.errors import InputError
from data.recipes.execution import HERE, ExecutionConfig
from data.recipes.recipe import RunRecipe
from data.store.store import Store
from models import devices, host
from models.isolation import ChildDiedError, portable
from tasks.running.cluster import check_execution, connected
from tasks.running.context import Context
from tasks.running.loaded import LoadedModels
from tasks.running.worker import Worker as StageWorker
from tasks.running.worker import computes
from tasks.running.workers import Ready, Setup, environment, fitting

_RESTARTS = 0  # a lost worker is a failed run; the next run gets a new one


def check_address(address: str) -> None:
    """InputError unless it is the address of a cluster, whether one answers there or not."""
    try:
        ExecutionConfig(kind="ray", address=address)
    except ValueError as error:
        raise InputError(
            f"--ray {address}: must be 'local', 'auto' or HOST:PORT of a cluster"
        ) from error


def on_ray(address: str, workers: int | None, recipes: Sequence[RunRecipe]) -> ExecutionConfig:
    """What the workers of a bench get of a cluster: as many as asked for or as it has CPUs (GPUs,
    where the recipes compute on one), its cores divided among them.

    Raises:
        InputError: Ray is not installed, does not answer, has too little, or a recipe wants a
            cluster of its own.
    """
    if any(recipe.execution.kind == "ray" for recipe in recipes):
        raise InputError(
            "--ray: gives whole runs to workers, and a recipe here has execution.kind: ray, which "
            "gives shards to them; leave one out"
        )
    runtime = recipes[0].runtime
    gpus = float(devices.device(runtime) == "cuda")
    least = ExecutionConfig(kind="ray", address=address, workers=workers or 1, gpus_per_worker=gpus)
    try:
        check_execution(least, runtime)
    except InputError as error:
        raise InputError(as_options(str(error))) from error
    return least


def as_options(text: str) -> str:
    """What is said of a recipe's `execution`, in the words of the command line."""
    text = re.sub(r"lower workers or [cg]pus_per_worker", "lower it", text)
    for field, option in (("workers", "--workers"), ("address", "--ray"), ("kind", "--ray")):
        text = text.replace(f"execution.{field}", option)
    return text


def cores_each(nodes: Sequence[int], workers: int) -> int:
    """The most cores that each of so many workers can have, on nodes with so many; at least 1."""
    for cores in range(max(nodes, default=1), 1, -1):
        if sum(node // cores for node in nodes) >= workers:
            return cores
    return 1


class Remote:
    """What an actor is: a worker of a bench. What goes wrong is an answer."""

    def __init__(self, places: Places, log: Path, server: str | None, setup: Setup) -> None:
        self._is = StageWorker(setup)
        self._worker = Worker(places, log, server)

    def ready(self, landmark: Path | None) -> Ready | Exception:
        return self._is.ready(landmark)

    def run(self, job: Job, budget: float | None) -> Exception | None:
        try:
            self._worker.run(job, budget)
        except Exception as error:
            return portable(error)
        return None


class Actor:
    """A `Remote` in a cluster, called as a child process is."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.alive = True

    def call(self, method: str, *args: Any) -> Any:
        """Raises what the method raised there, or ChildDiedError."""
        from ray.exceptions import RayActorError

        try:
            answer = self._ray.get(getattr(self._actor, method).remote(*args))
        except RayActorError as error:
            self.alive = False
            died = ChildDiedError("the worker of Ray, or its node, was lost")
            died.add_note(str(error))
            raise died from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.alive = False
        with suppress(Exception):  # it has gone, or the cluster has
            self._ray.kill(self._actor)


class Cluster:
    """Makes the workers of a bench. All must compute what this process would."""

    def __init__(self, ray: Any, execution: ExecutionConfig, places: Places, recipe: RunRecipe):
        self._ray, self._execution, self._places = ray, execution, places
        self._runtime = recipe.runtime
        runtime, store = recipe.runtime, Store(places.store)
        context = Context(store, runtime, LoadedModels("none", runtime))
        self._store, self._computes = store, computes(context)

    @property
    def reaches_us(self) -> bool:
        return self._execution.address == HERE

    @property
    def threads(self) -> str:
        return str(self._execution.cpus_per_worker)

    def worker(self, log: Path, server: str | None) -> Actor:
        """Raises InputError for one that sees another store or computes something else."""
        setup = Setup(self._places.store, self._runtime, 0, 0, None, folder=os.getcwd())
        make = self._ray.remote(
            num_cpus=self._execution.cpus_per_worker,
            num_gpus=self._execution.gpus_per_worker,
            max_restarts=_RESTARTS,
            runtime_env={"env_vars": environment(self._execution) | _passed()},
        )(Remote)
        actor = Actor(self._ray, make.remote(self._places, log.absolute(), server, setup))
        try:
            with self._landmark() as landmark:
                fitting(actor.call("ready", landmark), self._computes, self._store)
        except BaseException:
            actor.close()
            raise
        return actor

    @contextmanager
    def _landmark(self) -> Iterator[Path | None]:
        if not self._store.is_local:
            yield None
            return
        with self._store.landmark() as landmark:
            yield landmark


def _passed() -> dict[str, str]:
    """What else of this process's environment decides where a run keeps its books."""
    names = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_HOME")
    return {name: os.environ[name] for name in names if name in os.environ}


@contextmanager
def cluster(
    execution: ExecutionConfig, wanted: int | None, places: Places, recipe: RunRecipe
) -> Iterator[tuple[Cluster, int]]:
    """The cluster of a bench and how many workers it has, connected within the block."""
    own = execution.is_own
    if own:
        execution = execution.model_copy(update={"workers": wanted or host.cores()})
        each = cores_each([host.cores()], execution.workers)
        execution = execution.model_copy(update={"cpus_per_worker": each})
    with connected(execution) as ray:
        if not own:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            unit = "GPU" if execution.gpus_per_worker else "CPU"
            workers = wanted or max(1, int(sum(node.get(unit, 0) for node in nodes)))
            each = cores_each([int(node.get("CPU", 0)) for node in nodes], workers)
            changed = {"workers": workers, "cpus_per_worker": each}
            execution = execution.model_copy(update=changed)
        yield Cluster(ray, execution, places, recipe), execution.workers
