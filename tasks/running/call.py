"""One call of a stage: found in the store, or computed as a task of Prefect.

The artifact store alone knows what exists. Prefect keeps no results: it is told of every call, as a
task run that has completed or, where the artifact was found, is cached.
"""

from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, partial
from time import monotonic
from typing import Any

from data.errors import ServerError, TsAlignError
from data.interrupts import stop_if_asked
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from data.summary import StageRecord
from data.titles import address, means
from models.training.trackers import of_stage
from tasks.running.books import Watched
from tasks.running.context import Run
from tasks.running.definition import Definition
from tasks.running.effort import Effort
from tasks.running.measuring import note
from tasks.running.shards import Cut, Shard, join
from tasks.running.work import Work, alone, put
from tasks.running.workers import Job, Made, Workers

_RETRY_DELAY = 2  # seconds


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """A crashed child, an engine or a server may come back; bad input or bad data will not."""
    try:
        state.result()
    except ServerError:
        return True
    except TsAlignError:
        return False
    except Exception:
        return True
    return False


@dataclass(frozen=True)
class Asked:
    """A stage with the arguments of a call of it, and what the call is for."""

    stage: Definition
    inputs: dict[str, Any]  # bound, defaults included
    role: str  # which of the stage's calls in its round; "" for the only or the main one
    title: str  # what the terminal and Prefect show
    measures: bool  # it judges the method and is no part of it

    @property
    def address(self) -> str:
        return address(self.stage.name, self.role)

    def is_meant(self, wanted: str) -> bool:
        """Whether a stage's name, an address or a title means this call."""
        return means(wanted, self.stage.name, self.role, self.title)


def carry_out(asked: Asked, run: Run) -> Artifact:
    """The artifact of a call, computed now or before; the run records it."""
    stop_if_asked()
    started = monotonic()
    if run.ahead:  # a plan: what is there, and stand-ins for what is not
        return run.ahead(asked)
    call = _Call(asked, run, asked.stage.key(run.context, asked.inputs))
    if run.redo:
        chosen = asked.is_meant(run.redo.stage)
        call.again = run.redo.concerns(run.round, chosen, digest_of(call.key), asked.inputs)
    hit = call.find()
    if hit is None:
        call.cut()
    artifact = call.make(hit)
    if _is_adapted(asked, artifact):
        run.context.parents[artifact.digest] = asked.inputs["policy"]
    _record(call, artifact, monotonic() - started)
    return artifact


def _is_adapted(asked: Asked, made: Artifact) -> bool:
    """Whether a call has trained an adapter on its policy."""
    config = asked.inputs.get("config")
    trained = made.kind == "policy" and getattr(config, "adapter", None) is not None
    return trained and "policy" in asked.inputs


def _record(call: "_Call", artifact: Artifact, seconds: float) -> None:
    """Tell the terminal and the summary what became of a call."""
    asked, run = call.asked, call.run
    run.bodies += max(1, len(call.parts))
    reused = [part for part in call.parts if not part.computed]
    step = artifact.meta.get("resumed_from_step", 0) * call.computed
    run.progress.finish(
        asked.title,
        cached=not call.computed,
        seconds=seconds,
        took=artifact.seconds,
        text=_line(artifact, call.computed),
        kept=_kept(len(reused) * call.computed, len(call.parts), step),
    )
    run.records.append(
        StageRecord(
            stage=asked.title,
            name=asked.stage.name,
            role=asked.role,
            measures=asked.measures,
            round=run.round,
            cached=not call.computed,
            seconds=round(seconds, 3) if call.computed else 0.0,
            computed_seconds=artifact.seconds,
            kind=artifact.kind,
            key=artifact.key,
            artifact=artifact.digest,
            counts={k: n for k, n in artifact.meta.items() if type(n) is int},
            shards=len(call.parts),
            shards_reused=len(reused),
            resumed_from_step=step,
            saved_seconds=sum(p.result.seconds for p in reused)
            if call.computed
            else artifact.seconds,
        )
    )


@dataclass
class _Call:
    """The work of a call or of one shard of it; opaque to Prefect, which would walk through it."""

    asked: Asked
    run: Run
    key: dict[str, Any]
    only: Shard | None = None  # if this is one
    parts: list["_Call"] = field(default_factory=list)  # shards to join, if there are any
    again: bool = False  # make it again although it is there
    computed: bool = False
    artifact: Artifact | None = None

    @property
    def result(self) -> Artifact:
        assert self.artifact is not None
        return self.artifact

    def find(self) -> Artifact | None:
        store, redo = self.run.context.store, self.run.redo
        found = store.find(self.asked.stage.kind, self.key)
        return redo.kept(store, found) if found and redo and self.again else found

    def cut(self) -> None:
        """Make the shards of the call, in order; none where one would do."""
        asked, context = self.asked, self.run.context
        if asked.stage.shards is None:
            return
        table = asked.inputs[asked.stage.shards]
        cut = Cut(context.store, table, context.runtime.shard_prompts)
        if len(cut) < 2:
            return
        shards = [Shard(cut, number) for number in range(len(cut))]
        self.parts = [
            _Call(asked, self.run, self.key | {"shard": only.name}, only, again=self.again)
            for only in shards
        ]
        hits = [part.find() for part in self.parts]
        jobs = [part.job for part, hit in zip(self.parts, hits, strict=True) if hit is None]
        with self.workers.at_work(jobs) if self.workers else nullcontext():
            for number, (part, hit) in enumerate(zip(self.parts, hits, strict=True), start=1):
                part.make(hit, number, len(shards))

    @property
    def workers(self) -> Workers | None:
        """Those of the run who do its work; None: it is done here, or by a server."""
        served = str(self.asked.inputs.get("engine", "")).startswith("openai")
        return self.run.workers if self.asked.stage.moves and not served else None

    @property
    def job(self) -> Job:
        asked, only = self.asked, self.only
        whole = {name: value for name, value in self.key.items() if name != "shard"}
        return Job(
            asked.stage.place,
            asked.inputs,
            self.key,
            shard=only.number if only else None,
            call=digest_of(whole),
            engine=self.run.context.loaded.engine_name,
        )

    def make(self, hit: Artifact | None, shard: int = 0, shards: int = 0) -> Artifact:
        """The artifact, `hit` or by the body, by way of Prefect, which shows which of the two."""
        run = self.run
        title = f"{self.asked.title} {shard}/{shards}" if shards else self.asked.title
        place = {"shard": shard, "shards": shards} if shards else {}
        run.progress.start(self.asked.title, self.asked.address, **place, found=hit is not None)
        body = Watched(self if hit is None else lambda: hit)
        run.books.run(body, lambda: self._task(body, title)())
        self.artifact = body.result
        run.progress.log(f"{title}: {_line(self.result, self.computed)}")
        return self.result

    def _task(self, body: Watched, title: str) -> Any:
        """The call as a task run, cached where the artifact was found."""
        from prefect.states import Completed, State

        def work() -> State | None:
            body.call()
            return None if self.computed else Completed(name="Cached", message="in the store")

        stage = self.asked.stage
        task = copy(_task_of(stage.name, stage.retries, _RETRY_DELAY))
        task.fn, task.task_run_name = work, lambda: title  # as a text it would be a format
        return task

    def __call__(self) -> Artifact:
        run = self.run
        if self.parts:
            made = self._joined()
        elif self.workers:
            made = self.workers.result(self.job, run.progress)
        else:
            made = self._made_here()
        self.computed |= made.ran
        run.computed += made.ran
        return made.artifact

    def _joined(self) -> Made:
        store, kind = self.run.context.store, self.asked.stage.kind
        parts = [part.result for part in self.parts]
        spent = sum(part.seconds for part in parts)
        body = partial(join, store=store, parts=parts)
        return put(store, kind, self.key, body, self._waiting, spent)

    def _made_here(self) -> Made:
        run, stage = self.run, self.asked.stage
        if run.workers and alone(stage, run.context):
            run.workers.release()
        context = replace(
            run.context,
            on_progress=run.progress.update,
            only=self.only,
            tracking=of_stage(run.context.tracking, run.round, stage.name, self.key),
        )
        loaded, effort = context.loaded, Effort.begin() if run.rates else None
        before = loaded.starting, loaded.starting_cores
        made = Work(stage, self.asked.inputs, self.key).made(context, self._waiting)
        if effort and made.ran:
            share = self.only.share if self.only else 1.0
            started = loaded.starting - before[0], loaded.starting_cores - before[1]
            note(run, stage, self.asked.inputs, made.artifact, effort.end(), started, share)
        run.progress.notes(run.context.tracking)
        return made

    def _waiting(self, owner: str) -> None:
        self.run.progress.waiting(f"waiting for {owner}, which is at the same stage")


@cache
def _task_of(name: str, retries: int, delay: float) -> Any:
    """A task of Prefect's for all calls of a stage, without what a call does.

    Made once: Prefect reads the source of a task's function and hashes its code, which takes half
    as long as what the store does for a stage that is found.
    """
    from prefect import Task
    from prefect.cache_policies import NO_CACHE

    def work() -> None: ...  # in its place is what a call does

    return Task(
        work,
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=retries,
        retry_delay_seconds=delay,
        retry_condition_fn=_worth_retrying,
    )


def _kept(shards: int, of: int, step: int) -> str:
    """What a call had of a run that was stopped, in words; "" where it had nothing."""
    if shards:
        return f"{shards} of {of} shards were there"
    return f"went on from step {step}" if step else ""


def _line(artifact: Artifact, computed: bool) -> str:
    """Counts and rate of a finished stage or shard, for the log."""
    counts = [f"{n:,} {name}" for name, n in artifact.meta.items() if type(n) is int and n]
    rows, seconds = artifact.rows, artifact.seconds
    if not computed:
        spent = f"cached, saved {seconds:.1f} s"
    elif rows and seconds:
        spent = f"{rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f}/s)"
    else:
        spent = f"{seconds:.1f} s"
    return "; ".join([spent, ", ".join(counts)] if counts else [spent])
