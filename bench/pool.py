"""The workers of a bench: child processes that take one run after the other.

Importing torch and starting a Prefect server cost more than a small run, so a worker stays for all
its runs, and all workers share one server: the user's, or a temporary one. Both are children that
end with this process, whatever ends it.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from bench.budgets import measure_of
from bench.jobs import Job, Places, carry_out, complete
from data.errors import InputError, TsAlignError
from flows.server import START_SECONDS, answers, print_into, set_defaults, start_server
from models.isolation import Child

_TICK = 0.2  # seconds
BudgetOf = Callable[[Job], float | None]


class Worker:
    """In a child process: runs of a bench, one after the other; what they print is in `log`."""

    def __init__(self, places: Places, log: Path, server: str | None) -> None:
        self._places = places
        self._temporary = server is not None
        if server:
            os.environ["PREFECT_API_URL"] = server
        print_into(log)

    def run(self, job: Job, budget: float | None) -> None:
        set_defaults()
        with ExitStack() as stack:
            if self._temporary:
                from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

                # Nobody watches heartbeats there, and they make every flow last a second longer.
                stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
            sys.stderr.write(f"{job.run}\n")
            try:
                load_libraries()
                carry_out(job, self._places, budget)
            except Exception:
                traceback.print_exc()  # into the log; the bench says it in one line
                raise


def load_libraries() -> None:
    """Import what stages import, so that the first to need it is not charged for that: seconds of
    stages are compared."""
    import models.engines.transformers
    import models.training.dpo
    import models.training.reward_training  # noqa: F401


class Schedule:
    """Which run is next. Workers are kept at different worlds, and else at different seeds, as
    runs that have these in common share stages and would wait for each other: so the bootstraps of
    two worlds are made side by side, and each once. The baseline comes first, others may need its
    budget."""

    def __init__(self, jobs: Sequence[Job], wait_for_baseline: bool) -> None:
        self.pending = list(jobs)
        self.at_work: dict[int, Job] = {}  # by number of the worker
        self.done: dict[str, str | None] = {}  # run: its error, if it has one
        self.began: dict[str, float] = {}
        self.computed = 0  # of those done: not found complete
        self._wait = wait_for_baseline
        self._baselines = {job.pair: job.run for job in jobs if job.baseline}
        self._changed = threading.Condition()

    def take(self, worker: int) -> Job | None:
        """The next run, when one is ready; None: there are no more."""
        with self._changed:
            while self.pending:
                ready = [job for job in self.pending if self._ready(job)]
                if ready:
                    job = min(ready, key=self._shared)
                    self.pending.remove(job)
                    self.at_work[worker], self.began[job.run] = job, monotonic()
                    return job
                self._changed.wait()
            return None

    def finish(self, worker: int, error: str | None, computed: bool) -> None:
        with self._changed:
            job = self.at_work.pop(worker)
            self.done[job.run] = error
            self.computed += computed
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self.pending.clear()
            self._changed.notify_all()

    def _shared(self, job: Job) -> tuple[bool, bool]:
        """Whether a run at work is in the same world, and whether one has the same seed there."""
        at_work = list(self.at_work.values())
        return (
            any(one.world == job.world for one in at_work),
            any(one.pair == job.pair for one in at_work),
        )

    def _ready(self, job: Job) -> bool:
        return job.baseline or not self._wait or self._baselines[job.pair] in self.done


class Handle(Protocol):
    """A process that is called from here, wherever it is."""

    @property
    def alive(self) -> bool: ...

    def call(self, method: str, *args: Any) -> Any: ...

    def close(self) -> None: ...


class Hiring(Protocol):
    """Where workers come from."""

    @property
    def threads(self) -> str:
        """Of each."""
        ...

    @property
    def reaches_us(self) -> bool:
        """Whether they may use a server on this machine's loopback."""
        ...

    def worker(self, log: Path, server: str | None) -> Handle: ...


class Children:
    """Workers that are child processes on this machine."""

    def __init__(self, places: Places, threads: str) -> None:
        self._places, self.threads = places, threads
        self.reaches_us = True

    def worker(self, log: Path, server: str | None) -> Handle:
        environment = {"OMP_NUM_THREADS": self.threads}
        return Child(Worker, self._places, log, server, environment=environment)


class Pool:
    """Carries out the runs of a schedule in so many workers."""

    def __init__(
        self,
        schedule: Schedule,
        places: Places,
        budget_of: BudgetOf,
        logs: Path,
        hiring: Hiring,
    ) -> None:
        self._schedule, self._places, self._budget_of = schedule, places, budget_of
        self._logs, self._hiring = logs, hiring
        self._children: dict[object, Handle] = {}
        self._starting = threading.Lock()
        self._stopped = False
        self._wrong: InputError | None = None
        self._asked_for_server = False
        self._url: str | None = None

    def run(self, workers: int, on_tick: Callable[[], None]) -> None:
        """Until all runs are done or failed. `on_tick` is called a few times a second.

        Raises InputError as soon as a run of the baseline lacks the measure to be compared.
        """
        with ThreadPoolExecutor(workers) as threads:
            try:
                working = [threads.submit(self._work, number) for number in range(workers)]
                while wait(working, _TICK).not_done and not self._wrong:
                    on_tick()
                on_tick()
                if self._wrong:
                    raise self._wrong
                for one in working:
                    one.result()
            finally:
                self._schedule.stop()
                self._close()

    def _work(self, number: int) -> None:
        while job := self._schedule.take(number):
            error, computed = None, False
            try:
                budget = self._budget_of(job)
                if not complete(job, self._places, budget):
                    computed = True
                    self._worker(number).call("run", job, budget)
            except Exception as problem:
                error = one_line(problem)
                self._drop_if_dead(number)
            if error is None and job.baseline and self._places.measure is not None:
                self._check_measure(job, self._places.measure)
            self._schedule.finish(number, error, computed)

    def _check_measure(self, job: Job, name: str) -> None:
        """Without it there is nothing to compare, whatever the other runs would give."""
        try:
            measure_of(self._places.summary(job), name)
        except InputError as error:
            self._wrong = InputError(f"--measure: {error}")
            self._schedule.stop()

    def _worker(self, number: int) -> Handle:
        # One at a time: the environment of a child is for a moment that of this process.
        with self._starting:
            self._logs.mkdir(parents=True, exist_ok=True)
            url = self._server_url()
            if number not in self._children:
                log = self._logs / f"worker-{number + 1}.log"
                self._start(number, self._hiring.worker(log, url))
            return self._children[number]

    def _server_url(self) -> str | None:
        """Of the server of our own, started with the first worker; None: the user has one, or each
        worker starts its own."""
        if not self._asked_for_server and self._hiring.reaches_us:
            self._asked_for_server = True
            child = start_server(self._logs / "server.log")
            if child:
                self._start("server", child)
                self._url = child.call("url")
                answers(self._url, START_SECONDS, child)
        return self._url

    def _start(self, name: object, child: Handle) -> None:
        self._children[name] = child
        if self._stopped:
            child.close()

    def _drop_if_dead(self, number: int) -> None:
        child = self._children.get(number)
        if child is not None and not child.alive:
            del self._children[number]

    def _close(self) -> None:
        self._stopped = True
        for child in list(self._children.values()):
            child.close()


def one_line(error: Exception) -> str:
    """What went wrong, for a table; the worker's log has the rest."""
    text = " ".join(str(error).split())
    return text if isinstance(error, TsAlignError) else f"{type(error).__name__}: {text}"
