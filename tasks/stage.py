"""A stage: a plain function with an explicit key, run as a cached Prefect task.

The key of a stage is its name and version, the versions of the libraries it computes with, and
every keyword argument of the call, defaults included: artifacts by content digest, configurations
by value. A stage that a user's file defines is also named by the code of that file. Nothing else
can reach the stage's body except the `Context`, which holds what must not change a result: where
the store is, how fast to go, where to report progress. Where it does change one (the date that a
chat template prints, code that comes with a model), it is in the keys of the stages that ask.

The artifact store is the truth about what exists. Prefect sees each stage as a task whose cache
key is the same key, and persists only the small JSON reference; a record whose artifact is missing
or damaged is refreshed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from shutil import rmtree
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext

from data.errors import TsAlignError
from data.files import emptied
from data.interrupts import stop_if_asked
from data.recipes.recipe import RuntimeConfig
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from data.store.store import Store
from data.summary import StageRecord
from models import today, traits
from models.training.trackers import Tracking, of_stage
from tasks.running import machine
from tasks.running import shards as sharding
from tasks.running.books import Books, Watched
from tasks.running.keys import asked_for, key_value, library_versions, of_runtime, own_code
from tasks.running.outside import Code, External, outside, steadily
from tasks.running.own_code import load_code
from tasks.running.progress import Progress
from tasks.running.redo import Redo
from tasks.running.residents import Residents

Body = Callable[..., dict[str, Any]]

STAGES: dict[str, "Stage"] = {}  # this project's by name, for what must know all versions
TRAINING = ("torch", "transformers", "trl", "peft", "accelerate")
SCORING = ("torch", "transformers")


Model = Artifact | External


@dataclass(frozen=True)
class Context:
    """What a stage's body may use and what never enters its key."""

    store: Store
    runtime: RuntimeConfig
    residents: Residents
    on_progress: Callable[[int, int], None] | None = None
    only: pa.Array | None = None  # prompt ids of the shard at work
    scratch: Path | None = None  # what a killed stage may leave to its next try; named by its key
    tracking: Tracking | None = None  # where a training's curves are drawn
    date: str | None = None  # YYYY-MM-DD, what chat templates print that ask for it; None: today

    def path(self, model: Model) -> Path:
        """The local directory of an artifact or of a model outside the store."""
        return Path(model.path) if isinstance(model, External) else self.store.path(model)

    def table(self, artifact: Artifact) -> pa.Table:
        """The artifact's table; within a shard only the rows of its prompts."""
        table = self.store.table(artifact)
        if self.only is None:
            return table
        return table.filter(pc.is_in(table["prompt_id"], self.only))

    @property
    def numerics(self) -> str:
        return machine.numerics(self.runtime)


@dataclass
class Run:
    """One invocation of a recipe: the context of its stages and the record of what they did."""

    context: Context
    progress: Progress
    engine: str  # name, version and numerics of the generation engine, for keys
    outside: dict[str, External] = field(default_factory=dict)  # by field of the recipe
    records: list[StageRecord] = field(default_factory=list)
    computed: int = 0  # stages whose body ran
    round: int = 0  # the one at work; 0 before the first
    redo: Redo | None = None  # what to make again although it is there
    books: Books = field(default_factory=Books)  # what Prefect is told of it
    ahead: "Callable[[Stage, str, dict[str, Any]], Artifact] | None" = None  # computes nothing

    def take_records(self) -> list[StageRecord]:
        """The stages recorded since the last call, oldest first."""
        taken, self.records = self.records, []
        return taken


class StageKey(CachePolicy):
    """Prefect's cache key of a stage is our key's digest: no run id, source text or path."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        key = inputs["key"]
        return f"{key['stage']}-{digest_of(key).removeprefix('sha256:')}"


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """A crashed child or an engine that died may come back; bad input or bad data will not."""
    try:
        state.result()
    except TsAlignError:
        return False
    except Exception:
        return True
    return False


@task(
    cache_policy=StageKey(),
    persist_result=True,
    result_serializer="json",
    retry_condition_fn=_worth_retrying,
)
def compute(key: dict[str, Any], call: Callable[[], Artifact]) -> Artifact:
    """Run a stage's body into the store, unless its artifact is there already."""
    return call()


@dataclass
class _Call:
    """The work of one stage call; opaque to Prefect, which would walk through a dict of models."""

    stage: "Stage"
    run: Run
    key: dict[str, Any]
    inputs: dict[str, Any]
    only: pa.Array | None = None  # prompt ids, if this is a shard
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
        found = store.find(self.stage.kind, self.key)
        return redo.spare(store, found) if found and redo and self.again else found

    def __call__(self) -> Artifact:
        store = self.run.context.store
        artifact = store.put(
            self.stage.kind,
            self.key,
            self._body,
            spent=sum(part.result.seconds for part in self.parts),
            on_wait=self._waiting,
        )
        rmtree(store.scratch(self.stage.kind, self.key), ignore_errors=True)
        return artifact

    def _waiting(self, owner: str) -> None:
        self.run.progress.note(f"waiting for {owner}, which is at the same stage")

    def _body(self, out: Path) -> dict[str, Any]:
        self.computed = True
        self.run.computed += 1
        context = replace(
            self.run.context,
            on_progress=self.run.progress.update,
            only=self.only,
            scratch=self.run.context.store.scratch(self.stage.kind, self.key),
            tracking=of_stage(self.run.context.tracking, self.run.round, self.stage.name, self.key),
        )
        if self.parts:
            return sharding.join(out, context.store, [part.result for part in self.parts])
        read = [*outside(list(self.inputs.values())), *self.stage.code]
        meta: dict[str, Any] = steadily(
            read, context.residents.close, lambda: self._work(emptied(out), context)
        )
        self.run.progress.notes(self.run.context.tracking)
        asks = traits.asks(out)
        return meta | ({"asks": asks} if asks else {})

    def _work(self, out: Path, context: Context) -> dict[str, Any]:
        if self.stage.isolated and machine.device(context.runtime) == "cuda":
            from models.isolation import run_isolated

            context.residents.release()
            alone = replace(context, residents=Residents("none", context.runtime), on_progress=None)
            meta: dict[str, Any] = run_isolated(
                run_body, self.stage.address, out, alone, self.inputs, device="cuda"
            )
            return meta
        return self.stage.execute(out, context, self.inputs)


def run_body(address: tuple[str, str], out: Path, context: Context, inputs: dict[str, Any]) -> Any:
    """Entry of the child process: find the stage by name, as a decorated body has no pickle."""
    place, name = address
    module = load_code(Path(place)) if place.endswith(".py") else import_module(place)
    stage: Stage = getattr(module, name)
    return stage.execute(out, context, inputs)


@dataclass(frozen=True)
class Stage:
    """A stage of the loop. Calling it returns its artifact, computed now or before."""

    name: str
    version: str
    kind: str
    body: Body
    libraries: tuple[str, ...]
    isolated: bool
    shards: str | None
    retries: int
    code: tuple[Code, ...]  # the user's file that defines it

    @property
    def address(self) -> tuple[str, str]:
        """Where a child process finds it: a module or a user's file, and its name there."""
        place = self.code[0].path if self.code else self.body.__module__
        return place, self.body.__name__

    def execute(self, out: Path, context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run the body in this process, without the libraries' progress bars."""
        with today.pinned(context.date):
            if not self.libraries:  # loads no torch
                return self.body(out, context, **inputs)
            from models.silence import quiet

            with quiet():
                return self.body(out, context, **inputs)

    def key(self, context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
        """Everything that made the artifact, as JSON."""
        key: dict[str, Any] = {"stage": self.name, "version": self.version}
        arguments = self.defaults | inputs
        key |= {name: key_value(value) for name, value in sorted(arguments.items())}
        key |= of_runtime(arguments.values(), context.runtime)
        if traits.DATE in asked_for(list(arguments.values())):
            key["date"] = context.date
        if self.code:
            key["code"] = self.code[0].digest
        if self.libraries:
            key["libraries"] = library_versions(self.libraries)
            key["numerics"] = context.numerics
        return key

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments that a call may leave out."""
        parameters = signature(self.body).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    def __call__(self, run: Run, label: str = "", **inputs: Any) -> Artifact:
        stop_if_asked()
        started = monotonic()
        title = label or self.name
        if run.ahead:  # a plan: what is there, and stand-ins for what is not
            return run.ahead(self, title, inputs)
        call = _Call(self, run, self.key(run.context, inputs), inputs)
        call.again = run.redo is not None and run.redo.concerns(
            run.round, title, digest_of(call.key), inputs
        )
        if call.find() is None:
            call.parts = self._shards(title, call)
        artifact = self._compute(title, call)
        seconds = monotonic() - started
        run.progress.finish(
            title,
            cached=not call.computed,
            seconds=seconds,
            took=artifact.seconds,
            text=_line(artifact, call.computed),
        )
        reused = [part for part in call.parts if not part.computed]
        run.records.append(
            StageRecord(
                stage=title,
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
        return artifact

    def _compute(self, label: str, call: _Call, shard: int = 0, shards: int = 0) -> Artifact:
        """The artifact of a call by way of Prefect, which shows it as computed or cached."""
        hit = call.find()
        title = f"{label} {shard}/{shards}" if shards else label
        place = {"shard": shard, "shards": shards} if shards else {}
        call.run.progress.start(label, **place, found=hit is not None)
        body = Watched(call)
        task = compute.with_options(
            name=self.name,
            task_run_name=title,
            result_storage=call.run.context.store.root / "prefect",
            refresh_cache=hit is None,
            retries=self.retries,
            retry_delay_seconds=2,
        )
        result: Artifact = call.run.books.run(body, lambda: task(call.key, body.call))
        call.artifact = hit or result
        call.run.progress.log(f"{title}: {_line(call.result, call.computed)}")
        return call.result

    def _shards(self, title: str, call: _Call) -> list[_Call]:
        """The shards of a call, one after the other; none where one would do."""
        if self.shards is None:
            return []
        context = call.run.context
        table = context.store.table(call.inputs[self.shards])
        pieces = list(sharding.slices(table, context.runtime.shard_prompts))
        if len(pieces) < 2:
            return []
        parts = []
        for number, only in enumerate(pieces, start=1):
            key = call.key | {"shard": digest_of(only.to_pylist())}
            part = _Call(self, call.run, key, call.inputs, only, again=call.again)
            self._compute(title, part, number, len(pieces))
            parts.append(part)
        return parts


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


def stage(
    kind: str,
    *,
    version: str,
    libraries: tuple[str, ...] = (),
    isolated: bool = False,
    shards: str | None = None,
    retries: int = 0,
) -> Callable[[Body], Stage]:
    """Make a stage of a body `(out, context, **inputs) -> metadata`.

    Args:
        kind: Folder of the store and, for tables, the schema of what it writes.
        version: Bumped by hand when the meaning of the output changes.
        libraries: Whose versions enter the key; also adds device and dtype.
        isolated: On a GPU, run in a child process so that the memory is really returned.
        shards: The input, a table with `prompt_id`, by whose prompts the work is cut. The body
            reads its tables by `context.table`, writes data.parquet in the order of that input,
            and returns counts that add up.
        retries: How often to try again after anything but a TsAlignError.
    """

    def wrap(body: Body) -> Stage:
        code = own_code(body)
        made = Stage(body.__name__, version, kind, body, libraries, isolated, shards, retries, code)
        if not code:
            STAGES[made.name] = made
        return made

    return wrap
