"""What a stage's body has taken, written down for later predictions (`data.rates`).

A call is known by what decides its speed: the stage, the shapes of the models among its inputs, its
settings, the versions of its libraries. Weights, seeds and the content of tables are no part of it;
the sizes of tables are what its work grows with.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import ArtifactError
from data.rates import Keeps, Measured, Rates
from data.recipes.recipe import Config, RuntimeConfig
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from models import host
from tasks.running.bounds import Counts, artifacts, most_rows
from tasks.running.context import Context, Model, Run
from tasks.running.definition import Definition
from tasks.running.effort import Effort
from tasks.running.keys import key_value, library_versions
from tasks.running.outside import Code, External

MODELS = ("policy", "student", "teacher")  # kinds of artifacts
ENGINE = "engine start"  # of generation: it outlives stages, so that none of them has it
BETWEEN = "between stages"  # of a run: keys, records, Prefect; a unit is a body
START = "start"  # of the command, before its flow
# Inputs that no speed depends on: what counts of work, and what only decides results.
_COUNTS = ("lessons", "examples", "pairs")
_IRRELEVANT = frozenset(
    {*_COUNTS, "size", "dev_size", "test_size", "known", "most", "seed", "stream", "round_number"}
    | {"part", "names", "weights", "cell", "role"}
    | {"learning_rate", "epochs", "beta", "min_margin", "replay", "replay_share", "reference"}
)
# Of a config.json: what decides how much is computed for a token, under the names of families.
_SIZES = (
    *("model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "n_embd"),
    *("n_layer", "n_head", "d_model", "d_ff", "num_layers", "num_experts", "num_local_experts"),
)

ShapeOf = Callable[[Model], str]


class Call(NamedTuple):
    """By what measurements of a call are found: see `data.rates.Measured`."""

    call: str
    like: str


def machine_of(runtime: RuntimeConfig) -> dict[str, str]:
    """What tells machines apart that take different times; the same before and after torch."""
    found = host.describe(runtime)
    names = ("cpu", "cores", "instructions", "kernel_limits", "gpu")
    known = {name: found[name] for name in names if name in found}
    return known | {"threads": _threads()}


def _threads() -> str:
    from os import environ

    return environ.get("OMP_NUM_THREADS") or "all"


def rates_of(context: Context) -> Rates:
    """The measurements of this machine in a run's store."""
    return Rates(context.store.root, machine_of(context.runtime))


def shape_in(folder: Path) -> str:
    """Digest of the sizes in a model's config.json; "" where there is none."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return ""
    config |= config.get("text_config") or {}
    return digest_of({name: config[name] for name in _SIZES if name in config})


def call_of(stage: Definition, inputs: Mapping[str, Any], context: Context, shape: ShapeOf) -> Call:
    """By what a call is known; `shape` gives that of a model among its inputs."""
    models = {name: found for name, value in inputs.items() if (found := _shapes(value, shape))}
    same = {
        "stage": [stage.name, stage.version, stage.where],
        "models": models,
        "engine": inputs.get("engine", ""),
        "numerics": context.numerics if stage.model else "",
        "libraries": library_versions(stage.libraries) if stage.model else {},
    }
    # How much of what it trains on is older is among its units; of a table it is what is kept.
    left_out = _IRRELEVANT | ({"share"} if stage.model else frozenset())
    settings = {n: _said(value) for n, value in sorted(inputs.items()) if n not in left_out}
    settings = {name: value for name, value in settings.items() if value is not None}
    return Call(digest_of(same | {"settings": settings}), digest_of(same))


def _shapes(value: Any, shape: ShapeOf) -> list[str]:
    if isinstance(value, list | tuple):
        return [found for one in value for found in _shapes(one, shape)]
    is_model = value.kind in MODELS if isinstance(value, Artifact) else isinstance(value, External)
    return [found] if is_model and (found := shape(value)) else []


def _said(value: Any) -> Any:
    """A setting as JSON, without what no speed depends on; None for tables and files."""
    if isinstance(value, Code):
        return value.digest
    if isinstance(value, Artifact | External):
        return None
    if isinstance(value, Config):
        return {k: v for k, v in key_value(value).items() if k not in _IRRELEVANT}
    if isinstance(value, list | tuple):
        return [said for one in value if (said := _said(one)) is not None] or None
    return value


def most_of(
    stage: Definition, inputs: Mapping[str, Any], known: Counts, vague: Callable[[Artifact], bool]
) -> int:
    """Rows that a table stage can give at most; 0: nobody knows, or it makes no table."""
    return (most_rows(stage, inputs, known, vague) or 0) if stage.schema is not None else 0


def units_of(stage: Definition, inputs: Mapping[str, Any], known: Counts | None = None) -> int:
    """What the work of a call grows with: the rows that it makes or learns from, by what the stage
    says of them, times the epochs; else the rows of all its tables, else the sizes among its
    arguments. 0: it does not say."""
    units = most_rows(stage, inputs, known or {}, lambda one: False)
    if units is None:
        tables = [one for one in artifacts(list(inputs.values())) if one.kind not in MODELS]
        units = sum(one.rows or 0 for one in tables)
    if not units:
        units = sum(value for name in _COUNTS if isinstance(value := inputs.get(name), int))
    settings = (value for value in inputs.values() if isinstance(value, Config))
    return units * max((getattr(one, "epochs", 1) for one in settings), default=1)


def note(
    run: Run, stage: Definition, inputs: dict[str, Any], made: Artifact, effort: Effort,
    started: tuple[float, float] = (0.0, 0.0), share: float = 1.0,
) -> None:  # fmt: skip
    """Write down what a body has taken.

    Args:
        made: By it.
        started: Seconds of it in which an engine was started, and those of all cores.
        share: Of the call's prompts, those of the shard.
    """
    if run.rates is None:
        return
    context = run.context
    if started[0]:
        _note_engine(run, run.rates, started)
    call = call_of(stage, inputs, context, lambda model: shape_in(context.path(model)))
    most = most_of(stage, inputs, {}, lambda one: False)
    units = round(units_of(stage, inputs) * share) or made.rows or 1
    try:
        files = context.store.record(made).files.values()
    except ArtifactError:  # damaged since: whoever reads it next says so
        return
    run.in_bodies += effort.seconds
    run.cores_in_bodies += effort.cores
    run.rates.add(
        Measured(
            *call,
            stage.name,
            units,
            seconds=round(effort.seconds - started[0], 4),
            cores=round(effort.cores - started[1], 3),
            rows=made.rows or 0,
            most=round(most * share),
            tokens=made.meta.get("tokens", 0) if stage.kind == "completions" else 0,
            # Idle workers of Ray are children of this process too, and no part of the stage.
            memory=0 if run.workers else effort.memory,
            size=sum(file.size for file in files),
            shape=shape_in(context.path(made)) if made.kind in MODELS else "",
            pilot=run.pilot,
        )
    )


def _note_engine(run: Run, rates: Keeps, started: tuple[float, float]) -> None:
    """How long the engine took to start: seconds, and those of all cores."""
    loaded = run.context.loaded
    call = engine_call(loaded.engine_name, shape_in(loaded.serving) if loaded.serving else "")
    seconds, cores = (round(value, 3) for value in started)
    rates.add(Measured(call, call, ENGINE, 1, seconds, cores, pilot=run.pilot))


def engine_call(engine: str, shape: str) -> str:
    """By what the start of an engine is known, with a model of this shape."""
    return digest_of([ENGINE, engine, shape])


def note_between(run: Run, seconds: float, cores: float) -> None:
    """What a run of so many seconds in all has taken beside the bodies of its stages.

    Args:
        cores: Seconds of all cores in all.
    """
    if run.rates and run.bodies:
        call, rest = beside(BETWEEN, run.pilot), round(seconds - run.in_bodies, 3)
        busy = round(max(0.0, cores - run.cores_in_bodies), 3)
        run.rates.add(Measured(call, call, BETWEEN, run.bodies, rest, busy, pilot=run.pilot))


def beside(name: str, pilot: bool) -> str:
    """By what is known what is no stage; a pilot's has no Prefect in it."""
    return digest_of([name, pilot])
