"""A worker: what an actor of Ray is, in a process and perhaps on a machine of its own."""

import os
import platform
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from data.source_code import PROJECT
from data.store.artifacts import Artifact
from data.store.digests import digest_of, file_digest
from data.store.store import Store
from models.isolation import portable
from tasks.running import machine
from tasks.running.context import Context
from tasks.running.definition import Definition, stage_at
from tasks.running.keys import TRAINING, library_versions
from tasks.running.loaded import LoadedModels
from tasks.running.shards import Cut, Shard
from tasks.running.work import Work
from tasks.running.workers import Job, Made, Ready, Setup


class Worker:
    """Loads nothing before its first job. What goes wrong is an answer, so that it stays alive."""

    def __init__(self, setup: Setup) -> None:
        with suppress(OSError):  # of another machine
            os.chdir(setup.folder)
        self._loaded = LoadedModels("none", setup.runtime, setup.max_length, setup.seed)
        self._context = Context(
            Store(setup.store),
            setup.runtime,
            self._loaded,
            on_progress=self._report,
            date=setup.date,
        )
        self._cut: Cut | None = None
        self._cut_of = ""  # digest of the call it belongs to
        self._done = (0, 0)

    def ready(self, landmark: Path | None) -> Ready | Exception:
        """What it is; `landmark` is in the folder of a store that all share."""
        try:
            node, shares = platform.node(), landmark is None or landmark.is_dir()
            return Ready(node, os.getpid(), computes(self._context), shares)
        except Exception as error:
            return portable(error)

    def make(self, job: Job) -> Made | Exception:
        self._done = (0, 0)
        try:
            if job.engine != self._loaded.engine_name:
                self._loaded.close()
                self._loaded.engine_name = job.engine
            stage = stage_at(job.place)
            context = self._of_shard(stage, job)
            return Work(stage, job.inputs, job.key).made(context)
        except Exception as error:
            return portable(error)

    def progress(self) -> tuple[int, int]:
        """Done and in all, of the job at work."""
        return self._done

    def release(self) -> None:
        self._loaded.release()

    def _report(self, done: int, total: int) -> None:
        self._done = done, total

    def _of_shard(self, stage: Definition, job: Job) -> Context:
        """The context of a job; what its call looks up once for all shards is looked up once."""
        if job.shard is None:
            return self._context
        if self._cut is None or self._cut_of != job.call:
            assert stage.shards is not None
            table: Artifact = job.inputs[stage.shards]
            size = self._context.runtime.shard_prompts
            self._cut, self._cut_of = Cut(self._context.store, table, size), job.call
        return replace(self._context, only=Shard(self._cut, job.shard))


def computes(context: Context) -> dict[str, str]:
    """What decides the results of this process, by name: where it differs keys would lie."""
    root = Path(__file__).parents[2]
    vllm = machine.engine_identity("vllm", "", context.runtime).removeprefix("vllm").strip()
    files = (file for room in sorted(PROJECT) for file in sorted((root / room).rglob("*.py")))
    return {
        "tsalign": digest_of({str(f.relative_to(root)): file_digest(f) for f in files})[7:19],
        **library_versions(TRAINING),
        "vllm": vllm or "not installed",
        "the processor or GPU": context.numerics,
    }
