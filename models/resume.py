"""Checkpoints: a training goes on after a crash exactly where it was, or starts again.

A checkpoint counts only with its manifest, which is written last: the digests of its files and of
what the training is (rows in their order, settings, seed). So a half-written or damaged checkpoint
is thrown away, and one of other rows is never continued. Checkpoints are scratch, not artifacts:
besides safetensors they hold the states of the optimizer and of the random generators in torch's
own format, which transformers reads back with `weights_only`.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.digests import digest_of, file_digest, tree_files
from data.errors import InputError
from data.recipe import TrainConfig
from models.batching import Row

MANIFEST = "complete.json"
_UNREAD = "training_args.bin"  # a pickle that nothing reads
_log = logging.getLogger(__name__)


def binding(rows: Sequence[Row], config: TrainConfig, seed: int) -> str:
    """Digest of what is trained on and how. Equal bindings have equal steps, batch by batch."""
    import hashlib

    content = hashlib.sha256()
    for row in rows:
        for name in sorted(row):
            values = np.asarray(row[name])
            content.update(f"{name} {values.shape} {values.dtype}".encode())
            content.update(values.tobytes())
    settings = config.model_dump(mode="json")
    return digest_of({"rows": content.hexdigest(), "settings": settings, "seed": seed})


class Checkpoints(TrainerCallback):
    """Writes a checkpoint into `folder` every `minutes`; keeps the last one that is whole."""

    def __init__(self, folder: Path, minutes: float, bound_to: str) -> None:
        self.folder, self.bound_to = folder, bound_to
        self._seconds = 60 * minutes
        self._due = time.monotonic() + self._seconds

    def latest(self, planned: int) -> Path | None:
        """The checkpoint to go on from; all others are removed.

        None where there is none that is whole, of this training, and before its last step.
        """
        found = sorted(self.folder.glob("checkpoint-*"), key=_step, reverse=True)
        usable = [path for path in found if self._usable(path, planned)]
        for path in found:
            if path not in usable[:1]:
                shutil.rmtree(path)
        return usable[0] if usable else None

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        # Only where a log entry ends: what one averages over is not part of a checkpoint.
        at_entry = control.should_log and state.global_step < state.max_steps
        control.should_save = at_entry and time.monotonic() >= self._due

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        path = self.folder / f"checkpoint-{state.global_step}"
        (path / _UNREAD).unlink(missing_ok=True)
        files = {name: file_digest(path / name) for name in tree_files(path)}
        temporary = path / f".{MANIFEST}"
        temporary.write_text(json.dumps({"bound_to": self.bound_to, "files": files}))
        os.replace(temporary, path / MANIFEST)
        for other in self.folder.glob("checkpoint-*"):
            if other != path:
                shutil.rmtree(other)
        self._due = time.monotonic() + self._seconds

    def _usable(self, path: Path, planned: int) -> bool:
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            whole = all(
                file_digest(path / name, fresh=True) == digest
                for name, digest in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, InputError):
            whole = False
        if not whole:
            _log.warning("%s: incomplete or damaged; it is not continued", path)
        elif manifest["bound_to"] != self.bound_to:
            _log.warning("%s: of other rows or settings; it is not continued", path)
        elif _step(path) >= planned:
            _log.warning("%s: at the last step already; it is not continued", path)
        else:
            return True
        return False


def _step(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
