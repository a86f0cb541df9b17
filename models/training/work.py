"""A training as files: what other processes are to do, and what they leave.

JSON, Parquet and safetensors in a folder that the process which asks for the training makes:

    work.json, rows.parquet   what to train, on what and how
    alive                     locked for as long as whoever asked wants the training
    progress                  steps done and planned
    model.safetensors         the weights that have learnt
    meta.json                 what was measured; written last
    error.json                why there is no meta.json, if a process could say it
    log                       what the processes printed
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from data.recipes.config import Config
from data.recipes.recipe import RuntimeConfig, Schedule
from models.batching import Row
from models.training.trackers import Tracking

LOG, ALIVE, PROGRESS = "log", "alive", "progress"
_WORK, _ROWS, _META, _ERROR = "work.json", "rows.parquet", "meta.json", "error.json"
_MEMORY = "memory"  # as the kind of an error: there was not enough


@dataclass(frozen=True)
class Work:
    """What is trained: `make(out, rows, config=, runtime=, seed=, **given)` gives its trainer."""

    make: Callable[..., Any]  # a function of a module
    rows: list[Row]
    config: Schedule
    runtime: RuntimeConfig
    seed: int
    given: dict[str, Any]  # paths, configurations and plain JSON
    settings: dict[str, Any]  # what else binds a checkpoint to this training; plain JSON
    checkpoints: Path | None
    tracking: Tracking | None = None

    def trainer(self, out: Path, runtime: RuntimeConfig | None = None) -> Any:
        """A trainer of it, in this process; by default on the runtime's own device."""
        return self.make(
            out,
            self.rows,
            config=self.config,
            runtime=runtime or self.runtime,
            seed=self.seed,
            **self.given,
        )


def write(folder: Path, work: Work) -> None:
    """Put a training into a new folder."""
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(work.rows), folder / _ROWS)
    told = {
        "make": _named(work.make),
        "config": _written(work.config),
        "runtime": _written(work.runtime),
        "seed": work.seed,
        "given": {name: _written(value) for name, value in work.given.items()},
        "settings": work.settings,
        "checkpoints": _written(work.checkpoints),
        "tracking": TypeAdapter(Tracking | None).dump_python(work.tracking, mode="json"),
    }
    (folder / _WORK).write_text(json.dumps(told))


def read(folder: Path) -> Work:
    """The training in a folder."""
    told = json.loads((folder / _WORK).read_text())
    return Work(
        make=_found(told["make"]),
        rows=pq.read_table(folder / _ROWS).to_pylist(),
        config=_read(told["config"]),
        runtime=_read(told["runtime"]),
        seed=told["seed"],
        given={name: _read(value) for name, value in told["given"].items()},
        settings=told["settings"],
        checkpoints=_read(told["checkpoints"]),
        tracking=TypeAdapter(Tracking | None).validate_python(told["tracking"]),
    )


def report(folder: Path, done: int, planned: int) -> None:
    """Say how far the training is."""
    _replace(folder / PROGRESS, f"{done} {planned}")


def progress(folder: Path) -> tuple[int, int] | None:
    """How far it is; None: nothing was said."""
    with suppress(OSError):
        done, planned = (folder / PROGRESS).read_text().split()
        return int(done), int(planned)
    return None


def finish(folder: Path, meta: dict[str, Any]) -> None:
    """Say what was measured, after everything else is written."""
    _replace(folder / _META, json.dumps(meta))


def finished(folder: Path) -> dict[str, Any] | None:
    """What was measured; None: the training did not come to its end."""
    path = folder / _META
    return json.loads(path.read_text()) if path.exists() else None


def fail(folder: Path, error: Exception, memory: bool) -> None:
    """Say why there is no result, unless another process has said it."""
    kind = _MEMORY if memory else _named(type(error))
    if not (folder / _ERROR).exists():
        _replace(folder / _ERROR, json.dumps([kind, str(error)]))


def failure(folder: Path) -> Exception | None:
    """The error that a process told, as it would have been raised here."""
    path = folder / _ERROR
    if not path.exists():
        return None
    kind, message = json.loads(path.read_text())
    made: Exception = RuntimeError(message) if kind == _MEMORY else _found(kind)(message)
    return made


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


def _written(value: Any) -> Any:
    if isinstance(value, Config):
        return {"class": _named(type(value)), "value": value.model_dump(mode="json")}
    return {"path": str(value)} if isinstance(value, Path) else value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return Path(value["path"]) if "path" in value else _found(value["class"])(**value["value"])


def _named(item: Any) -> str:
    return f"{item.__module__}:{item.__qualname__}"


def _found(name: str) -> Any:
    module, _, item = name.partition(":")
    return getattr(import_module(module), item)
