"""One of the processes that share a training: `python -m models.training.worker FOLDER`.

accelerate launches it once for each. It ends with the process that asked for the training, however
that one ends: it cannot get a lock which that process holds, and is killed once it can.
"""

import os
import signal
import sys
import threading
from fcntl import LOCK_SH, flock
from functools import partial
from pathlib import Path

from data.errors import TsAlignError


def main(folder: Path) -> int:
    """Train with the others; the main process leaves weights and measurements."""
    _end_with_asker(folder)
    from accelerate.utils.memory import should_reduce_batch_size

    from models.silence import quiet
    from models.training import work

    try:
        with quiet():
            _train(folder)
    except Exception as error:
        memory = should_reduce_batch_size(error)
        if memory or isinstance(error, TsAlignError):
            work.fail(folder, error, memory)
        raise
    return 0


def _train(folder: Path) -> None:
    from safetensors.torch import save_file

    from models.training import work
    from models.training.launch_config import is_sharded
    from models.training.processes import is_main, wait
    from models.training.resume import WEIGHTS
    from models.training.trainers import run

    job = work.read(folder)
    trainer = job.trainer(folder / "trainer")
    report = partial(work.report, folder) if is_main() else None
    tracking = job.tracking if is_main() else None
    # Of a model in pieces, optimizer and all, no checkpoint is written.
    checkpoints = None if is_sharded(job.runtime.train) else job.checkpoints
    meta = run(
        trainer, job.rows, job.config, job.runtime, report, checkpoints, tracking, **job.settings
    )
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # by all, for the main one
    if is_main():
        learnt = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
        save_file({name: state[name].contiguous() for name in learnt}, folder / WEIGHTS)
        work.finish(folder, meta)
    wait()  # or the first to end would take the others' connections with it


def _end_with_asker(folder: Path) -> None:
    alive = (folder / "alive").open()

    def wait() -> None:
        flock(alive, LOCK_SH)
        os.killpg(0, signal.SIGKILL)  # accelerate gives each process a group of its own

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
