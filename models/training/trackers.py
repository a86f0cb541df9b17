"""Trackers: TensorBoard, trackio, Weights & Biases and MLflow draw what a run measures.

They look on. Whatever a tracker does, fails at or waits for cannot change a result or end a run: a
tracker that fails is left out for the rest of the run, and one line says so. A point is drawn once,
though a training that goes on from a checkpoint, or a run that finds a round done, comes by again.

Everything is below `runs/NAME/trackers`, unless the tracker's own environment variables send it
elsewhere. Nothing here loads torch before a tracker is opened.
"""

import io
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Protocol

from data.store.digests import digest_of

PROJECT = "tsalign"
NOTES = ".drawn"  # folder of each tracker
ROUNDS = "rounds"  # the curves with a point per round
# What is imported, and what is installed for it. The whole of mlflow wants an older pyarrow.
MODULES = {
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
    "mlflow": "mlflow-skinny",
}
_SECONDS = 30  # that a server may take to answer for the first time


@dataclass(frozen=True)
class Tracking:
    """Which trackers draw, where, and for which stage. Goes into child processes as it is."""

    trackers: tuple[str, ...]
    folder: Path  # of all trackers of the run
    run: str
    round: int = 0  # 0: before the first
    stage: str = ""
    key: str = ""  # digest: another training of the same round has another
    failed: dict[str, str] = field(default_factory=dict)  # why, by tracker; of all stages
    told: set[str] = field(default_factory=set)

    @property
    def title(self) -> str:
        return f"round-{self.round}/{self.stage}" if self.round else self.stage

    def working(self) -> list[str]:
        """The trackers that have not failed in this invocation of the run."""
        return [name for name in self.trackers if not self._reason(name)]

    def fail(self, tracker: str, error: BaseException) -> None:
        """Leave this tracker out from now on."""
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        self.failed[tracker] = reason = f"{type(error).__name__}: {reason}"
        path = self._failure(tracker)
        with suppress(OSError):  # where nothing can be written, a child process tells no one
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(reason, encoding="utf-8", errors="replace")

    def failures(self) -> list[str]:
        """A line for every tracker that has failed since this was last asked."""
        new = [name for name in self.trackers if name not in self.told and self._reason(name)]
        self.told.update(new)
        return [
            f"note: {name} failed ({self._reason(name)}); going on without it, results are the same"
            for name in new
        ]

    def begin(self) -> None:
        """A new invocation of the run: every tracker is tried again."""
        self.failed.clear()
        self.told.clear()
        for tracker in self.trackers:
            with suppress(OSError):
                self._failure(tracker).unlink(missing_ok=True)

    def curve(self, tracker: str) -> "Curve":
        """Where this stage is drawn; another training of the same title gets a longer one."""
        for title in (self.title, f"{self.title}-{self.key.removeprefix('sha256:')[:8]}"):
            curve = Curve(tracker, self.folder / tracker, self.run, title)
            if curve.of(self.key):
                break
        return curve

    def _reason(self, tracker: str) -> str:
        """Why the tracker is left out, as this process or a child of it found; "": it is not."""
        if tracker not in self.failed:
            with suppress(OSError):
                self.failed[tracker] = self._failure(tracker).read_text(encoding="utf-8")
        return self.failed.get(tracker, "")

    def _failure(self, tracker: str) -> Path:
        return self.folder / tracker / NOTES / "failed"


def of_stage(
    tracking: Tracking | None, round_: int, stage: str, key: Mapping[str, Any]
) -> Tracking | None:
    """The trackers of a run for one call of a stage, which has this key."""
    if tracking is None:
        return None
    return replace(tracking, round=round_, stage=stage, key=digest_of(dict(key)))


@dataclass(frozen=True)
class Curve:
    """The curves of one training, or of the rounds, in one tracker."""

    tracker: str
    folder: Path  # of the tracker
    run: str
    title: str

    @property
    def notes(self) -> Path:
        """The folder of what is known of it: whose it is, its ids, the points drawn."""
        return self.folder / NOTES / self.title.replace("/", "-")

    @property
    def name(self) -> str:
        return f"{self.run}/{self.title}"

    def of(self, key: str) -> bool:
        """Whether it is the curve of what has this key; it is, if it was of nothing before."""
        return self._kept("key", key) == key

    @property
    def id(self) -> str:
        """A name that no other curve has, in this folder or at the tracker's server."""
        return self._kept("id", uuid.uuid4().hex[:16])

    def keep(self, name: str, value: str) -> str:
        """Keep a value for later invocations; the one that was kept first counts."""
        return self._kept(name, value)

    def kept(self, name: str) -> str | None:
        path = self.notes / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    def is_new(self, point: str) -> bool:
        """Whether the point was not drawn yet."""
        return point not in (self.kept("points") or "").splitlines()

    def drawn(self, point: str) -> None:
        """From now on the point is not new."""
        self.notes.mkdir(parents=True, exist_ok=True)
        with (self.notes / "points").open("a", encoding="utf-8") as file:
            file.write(f"{point}\n")

    def _kept(self, name: str, value: str) -> str:
        known = self.kept(name)
        if known is not None:
            return known
        self.notes.mkdir(parents=True, exist_ok=True)
        (self.notes / name).write_text(value, encoding="utf-8")
        return value


class Opened(Protocol):
    """A curve that is being drawn."""

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, curve: Curve, first: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an earlier invocation drew from the point `first` on is not shown any more.
        self.writer = SummaryWriter(str(curve.folder / curve.title), purge_step=first)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class Trackio:
    def __init__(self, curve: Curve, first: int | None = None) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(curve.folder))  # read once, by the import
        import trackio

        self._trackio = trackio
        trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=curve.name,
            group=curve.run,
            resume="allow",
            embed=False,
            auto_log_cpu=False,
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(values), step=step)

    def close(self) -> None:
        if self._trackio.context_vars.current_run.get() is not None:  # or its callback did
            self._trackio.finish()


class Wandb:
    def __init__(self, curve: Curve, first: int | None = None) -> None:
        import wandb

        curve.folder.mkdir(parents=True, exist_ok=True)
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if _wandb_key() else "offline")
        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=curve.name,
            group=curve.run,
            job_type=curve.title.rpartition("/")[2],
            id=curve.id,
            resume="allow",
            dir=os.environ.get("WANDB_DIR", str(curve.folder.parent)),  # it adds "wandb"
            mode=mode,
            settings=wandb.Settings(silent=True, console="off", init_timeout=_SECONDS),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        # By a value of its own: the tracker's steps can only grow, and a round may be made again.
        self._run.define_metric("*", step_metric="round")
        self._run.log({**values, "round": step})

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    def __init__(self, curve: Curve, first: int | None = None) -> None:
        # A server that does not answer would be asked for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(_SECONDS))
        import mlflow

        for chatter in ("mlflow", "alembic"):  # the import itself sets what is heard
            logging.getLogger(chatter).setLevel(logging.WARNING)
        curve.folder.mkdir(parents=True, exist_ok=True)
        self._mlflow = mlflow
        own = f"sqlite:///{(curve.folder / 'mlflow.db').resolve()}"
        mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or own)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or curve.run
        if mlflow.get_experiment_by_name(experiment) is None:
            local = not os.environ.get("MLFLOW_TRACKING_URI")
            artifacts = (curve.folder / "artifacts").resolve().as_uri() if local else None
            mlflow.create_experiment(experiment, artifact_location=artifacts)
        mlflow.set_experiment(experiment)
        run = mlflow.start_run(
            run_id=curve.kept("run_id"),
            run_name=curve.title,
            tags={f"{PROJECT}.run": curve.run},
        )
        curve.keep("run_id", run.info.run_id)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(values), step=step, synchronous=True)

    def close(self) -> None:
        self._mlflow.end_run()


def opener(tracker: str) -> Callable[..., Opened]:
    """What opens a curve: of a Curve and, for rounds, the first that is drawn."""
    kinds: dict[str, Callable[..., Opened]] = {
        "tensorboard": TensorBoard,
        "trackio": Trackio,
        "wandb": Wandb,
        "mlflow": Mlflow,
    }
    return kinds[tracker]


def draw(tracking: Tracking, points: Mapping[int, Mapping[str, float]]) -> None:
    """Draw what was measured in rounds, by number, in every tracker that works.

    A round that was drawn with the same values is not drawn again.
    """
    for tracker in tracking.working():
        with watched(tracking, tracker):
            curve = tracking.curve(tracker)
            names = {step: f"{step} {digest_of(dict(points[step]))}" for step in points}
            new = [step for step in sorted(points) if curve.is_new(names[step])]
            if not new:
                continue
            opened = opener(tracker)(curve, new[0])
            try:
                for step in new:
                    opened.log(points[step], step)
                    curve.drawn(names[step])
            finally:
                opened.close()


@contextmanager
def watched(tracking: Tracking, tracker: str) -> Iterator[None]:
    """What a tracker does: it prints nothing, draws no random number of ours, ends nothing."""
    with redirect_stdout(io.StringIO()), same_random_numbers():
        try:
            yield
        except Exception as error:
            tracking.fail(tracker, error)


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """The generators of Python, NumPy and torch go on as if nobody had drawn from them."""
    import random

    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _wandb_key() -> bool:
    """Whether wandb can log in without asking, which it would do on a terminal."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc(os.environ.get("NETRC")).hosts
    except (OSError, NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
