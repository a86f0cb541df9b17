"""One call of a stage: found in the store, or computed as a task of Prefect.

The artifact store alone knows what exists. Prefect keeps no results: it is told of every call, as a
task run that has completed or, where the artifact was found, is cached.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from time import monotonic
from typing import TYPE_CHECKING, Any

from data.errors import ServerError, TsAlignError
from data.files import emptied
from data.interrupts import stop_if_asked
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from data.summary import StageRecord
from data.titles import address, means
from models import traits
from models.training.trackers import of_stage
from tasks.running import machine
from tasks.running.books import Watched
from tasks.running.context import Context, Run
from tasks.running.definition import Definition, run_body
from tasks.running.loaded import LoadedModels
from tasks.running.outside import outside, steadily
from tasks.running.shards import Cut, Shard, join

if TYPE_CHECKING:
    from prefect import Task

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
    _record(call, artifact, monotonic() - started)
    return artifact


def _record(call: "_Call", artifact: Artifact, seconds: float) -> None:
    """Tell the terminal and the summary what became of a call."""
    asked, run = call.asked, call.run
    run.progress.finish(
        asked.title,
        cached=not call.computed,
        seconds=seconds,
        took=artifact.seconds,
        text=_line(artifact, call.computed),
    )
    reused = [part for part in call.parts if not part.computed]
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
            resumed_from_step=artifact.meta.get("resumed_from_step", 0) * call.computed,
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
        """Make the shards of the call, one after the other; none where one would do."""
        asked, context = self.asked, self.run.context
        if asked.stage.shards is None:
            return
        table = asked.inputs[asked.stage.shards]
        cut = Cut(context.store, table, context.runtime.shard_prompts)
        if len(cut) < 2:
            return
        for number in range(len(cut)):
            only = Shard(cut, number)
            part = _Call(asked, self.run, self.key | {"shard": only.name}, only, again=self.again)
            part.make(part.find(), number + 1, len(cut))
            self.parts.append(part)

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

    def _task(self, body: Watched, title: str) -> "Task":
        """The call as a task run, cached where the artifact was found."""
        from prefect import Task
        from prefect.cache_policies import NO_CACHE
        from prefect.states import Completed, State

        def work() -> State | None:
            body.call()
            return None if self.computed else Completed(name="Cached", message="in the store")

        return Task(
            work,
            name=self.asked.stage.name,
            task_run_name=lambda: title,  # as a text it would be a format
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=self.asked.stage.retries,
            retry_delay_seconds=_RETRY_DELAY,
            retry_condition_fn=_worth_retrying,
        )

    def __call__(self) -> Artifact:
        store, kind = self.run.context.store, self.asked.stage.kind
        spent = sum(part.result.seconds for part in self.parts)
        artifact = store.put(kind, self.key, self._body, spent=spent, on_wait=self._waiting)
        rmtree(store.scratch(kind, self.key), ignore_errors=True)
        return artifact

    def _waiting(self, owner: str) -> None:
        self.run.progress.note(f"waiting for {owner}, which is at the same stage")

    def _body(self, out: Path) -> dict[str, Any]:
        self.computed = True
        run, stage = self.run, self.asked.stage
        run.computed += 1
        context = replace(
            run.context,
            on_progress=run.progress.update,
            only=self.only,
            scratch=run.context.store.scratch(stage.kind, self.key),
            tracking=of_stage(run.context.tracking, run.round, stage.name, self.key),
        )
        if self.parts:
            return join(out, context.store, [part.result for part in self.parts])
        read = [*outside(list(self.asked.inputs.values())), *stage.code]
        meta: dict[str, Any] = steadily(
            read, context.loaded.close, lambda: self._work(emptied(out), context)
        )
        run.progress.notes(run.context.tracking)
        asks = traits.asks(out)
        return meta | ({"asks": asks} if asks else {})

    def _work(self, out: Path, context: Context) -> dict[str, Any]:
        stage, inputs = self.asked.stage, self.asked.inputs
        if stage.isolated and machine.device(context.runtime) == "cuda":
            from models.isolation import run_isolated

            context.loaded.release()
            alone = replace(context, loaded=LoadedModels("none", context.runtime), on_progress=None)
            meta: dict[str, Any] = run_isolated(
                run_body, stage.place, out, alone, inputs, device="cuda"
            )
            return meta
        return stage.execute(out, context, inputs)


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
