"""A training in this process, or in several that `accelerate launch` starts.

What a training is, is a function that makes its trainer, its rows and settings. Several processes
are given them as files, train, and leave the weights that have learnt and what was measured; this
process puts the weights into a model of its own and goes on as if it had trained it: merging,
saving and checking are done in one place. Where memory runs out, the training goes on in smaller
parts, whose gradients add up to the same.
"""

import logging
import os
import shutil
import signal
import site
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from data.errors import TrainingError
from data.recipes.recipe import LaunchConfig, RuntimeConfig
from models import devices
from models.host import cores
from models.isolation import ChildDiedError
from models.training import work
from models.training.launch_config import config_path, precision
from models.training.resume import load_weights, save_weights
from models.training.trainers import OnProgress, PartsTrainer, check_finite, run
from models.training.work import Work

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # what lies in the folder a user works in is none of ours
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin while they wait make two busy processes on one CPU ten times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GLOO_SOCKET_IFNAME": "lo",  # all processes are on this machine
}
_FOLDER = "training"  # below that of the artifact, for as long as it is made
_POLL = 0.1  # seconds
_NOTED_BYTES = 100_000
Meta = dict[str, Any]


def trained(
    job: Work,
    out: Path,
    on_progress: OnProgress | None = None,
    whole: bool = False,
    aside: bool = False,
) -> tuple[PartsTrainer, Meta]:
    """A trainer whose model is trained, and what `models.training.trainers.run` tells of it.

    `micro_batch` is told where memory ran out: the rows of a part for which it was enough.

    Args:
        whole: The rows of a batch belong into one part, so that there are no smaller ones to try.
        aside: What has learnt is put into a model of its own on a CPU, as it is where other
            processes train: the one that was trained is not what is to be saved.

    Raises:
        TrainingError: not even one row fits into memory, or as `run` does.
        ChildDiedError: a process ended without saying why.
    """
    size, told = _part(job), {}
    while True:
        try:
            train = _here if job.runtime.train.here else _launched
            trainer, meta = train(job, out, on_progress)
            break
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if whole or size == 1:
                raise TrainingError(_too_large(size, str(error))) from error
        size = -(-size // 2)
        _log.warning("memory is short: going on with %d rows per forward pass", size)
        smaller = job.runtime.model_copy(update={"train_micro_batch": size})
        job, told = replace(job, runtime=smaller), {"micro_batch": size}
        clear_device_cache(garbage_collection=True)
    check_finite(trainer.model, meta["steps"])
    if aside and job.runtime.train.here:
        save_weights(trainer.model, out / _FOLDER)
        del trainer
        trainer = _on_cpu(job, out)
    return trainer, meta | told


def _part(job: Work) -> int:
    """Rows of a part."""
    share = job.config.batch_size // job.runtime.train.processes
    return job.runtime.train_micro_batch or max(share, 1)


def _too_large(rows: int, reason: str) -> str:
    return (
        f"there is not enough memory for {rows} row{'s' * (rows > 1)} per forward pass "
        f"({' '.join(reason.split())[:120]}); lower max_length, train an adapter, or share the "
        "training (docs/training.md)"
    )


def _here(job: Work, out: Path, on_progress: OnProgress | None) -> tuple[PartsTrainer, Meta]:
    trainer = job.trainer(out)
    meta = run(
        trainer,
        job.rows,
        job.config,
        job.runtime,
        on_progress,
        job.checkpoints,
        job.tracking,
        **job.settings,
    )
    return trainer, meta


def _launched(job: Work, out: Path, on_progress: OnProgress | None) -> tuple[PartsTrainer, Meta]:
    folder = out / _FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier try
    work.write(folder, job)
    meta = _carried_out(folder, job.runtime, on_progress)
    return _on_cpu(job, out), meta


def _on_cpu(job: Work, out: Path) -> PartsTrainer:
    """A trainer whose model has the weights that were left; no GPU need have room for it."""
    there = {"device": "cpu", "dtype": devices.dtype(job.runtime), "train": LaunchConfig()}
    trainer: PartsTrainer = job.trainer(out, job.runtime.model_copy(update=there))
    load_weights(trainer.model, out / _FOLDER)
    shutil.rmtree(out / _FOLDER)
    return trainer


def _carried_out(folder: Path, runtime: RuntimeConfig, on_progress: OnProgress | None) -> Meta:
    """What was measured by the processes that do the work in `folder`; none is left afterwards."""
    with (folder / work.ALIVE).open("w") as alive, (folder / work.LOG).open("wb") as log:
        flock(alive, LOCK_EX)  # the processes end when it is released, however this one ends
        launcher = subprocess.Popen(
            _command(folder, runtime),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _follow(launcher, folder, on_progress)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
    meta = work.finished(folder)
    if launcher.returncode == 0 and meta is not None:
        return meta
    error = work.failure(folder)
    if error is None:
        error = ChildDiedError(
            f"the training in {runtime.train.processes} processes ended with exit code "
            f"{launcher.returncode}"
        )
    error.add_note(f"printed by the processes of the training:\n{_end_of(folder / work.LOG)}")
    raise error


def _follow(launcher: subprocess.Popen, folder: Path, on_progress: OnProgress | None) -> None:
    """Wait for the processes, and pass on how far they are."""
    told = None
    while launcher.poll() is None:
        time.sleep(_POLL)
        told = _tell(folder, told, on_progress)
    _tell(folder, told, on_progress)


def _tell(
    folder: Path, told: tuple[int, int] | None, on_progress: OnProgress | None
) -> tuple[int, int] | None:
    at = work.progress(folder)
    if at and at != told and on_progress:
        on_progress(*at)
    return at


def _command(folder: Path, runtime: RuntimeConfig) -> list[str]:
    train = runtime.train
    options = {
        "config_file": config_path(train).resolve(),
        "num_processes": train.processes,
        "mixed_precision": precision(runtime),
        "main_process_port": 0,  # a free one
        "num_cpu_threads_per_process": os.environ.get("OMP_NUM_THREADS")
        or max(1, cores() // train.processes),
    }
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    for name, value in options.items():
        launcher += [f"--{name}", str(value)]
    return [*launcher, "--module", "models.training.worker", str(folder)]


def _environment() -> dict[str, str]:
    own = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    path = [os.environ.get("PYTHONPATH", "")]
    if str(_ROOT) not in site.getsitepackages():  # where a new process looks by itself
        path.insert(0, str(_ROOT))
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _NOTED_BYTES))
        return file.read().decode(errors="replace")
