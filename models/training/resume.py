"""Checkpoints: a training goes on after a crash exactly where it was, or starts again.

A checkpoint counts only with its manifest, which is written last: the digests of its files and of
what the training is (rows in their order, settings, seed, the weights it began with). So a
half-written or damaged checkpoint is thrown away, and one of other rows or of another base is never
continued. One of several processes is continued by any number: each has the whole weights and the
optimizer's whole state; only the random numbers of an adapter's dropout are each process's own.
Checkpoints are scratch, not artifacts: besides safetensors they hold the states of the
optimizer and of the random generators in torch's own format, which transformers reads back with
`weights_only`.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.errors import InputError
from data.store.digests import digest_of, file_digest, tree_files
from data.store.store import sync_tree
from models.batching import Row
from models.training.processes import from_main, is_main, wait

MANIFEST = "complete.json"
WEIGHTS = "model.safetensors"
_log = logging.getLogger(__name__)


def binding(rows: Sequence[Row], model: torch.nn.Module, settings: Mapping[str, Any]) -> str:
    """Digest of what is trained, on what and how. Equal bindings have equal steps, batch by batch.

    `model` is as it begins. Its frozen weights count too: a checkpoint of an adapter lacks them.
    """
    content = hashlib.sha256()
    for row in rows:
        for name in sorted(row):
            values = np.asarray(row[name])
            content.update(f"{name} {values.shape} {values.dtype}".encode())
            content.update(values.tobytes())
    weights = {name: torch.hash_tensor(p.detach()).item() for name, p in model.named_parameters()}
    libraries = {name: version(name) for name in ("torch", "transformers", "trl", "peft")}
    return digest_of(
        {
            "rows": content.hexdigest(),
            "weights": weights,
            "settings": dict(settings),
            "libraries": libraries,
        }
    )


def save_weights(model: torch.nn.Module, folder: Path) -> None:
    """The weights that learn, under the names they have in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: p.detach().contiguous() for name, p in _learning(model).items()}, folder / WEIGHTS
    )


@torch.no_grad()
def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Put back what `save_weights` saved, every one: transformers itself loads what it happens to
    find, and a weight that a model saves under another name would stay as it began."""
    saved = load_file(folder / WEIGHTS)
    for name, parameter in _learning(model).items():
        parameter.copy_(saved[name])


def _learning(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


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
        return from_main(lambda: self._latest(planned))

    def _latest(self, planned: int) -> Path | None:
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
        control.should_save = at_entry and from_main(lambda: time.monotonic() >= self._due)

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        wait()  # until every process has written what it has
        if is_main():
            self._vouch(state.global_step)
        self._due = time.monotonic() + self._seconds

    def _vouch(self, step: int) -> None:
        """Write the manifest of the checkpoint of this step, and remove the others."""
        path = self.folder / f"checkpoint-{step}"
        manifest = {
            "bound_to": self.bound_to,
            "step": step,
            "files": {name: file_digest(path / name) for name in tree_files(path)},
        }
        temporary = path / f".{MANIFEST}"
        temporary.write_text(json.dumps(manifest))
        sync_tree(path)  # the manifest must not reach the disk before what it vouches for
        os.replace(temporary, path / MANIFEST)
        sync_tree(path)  # nor the removal of the others before the manifest
        for other in self.folder.glob("checkpoint-*"):
            if other != path:
                shutil.rmtree(other)

    def _usable(self, path: Path, planned: int) -> bool:
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            whole = manifest["step"] == _step(path) and all(
                file_digest(path / name, fresh=True) == digest
                for name, digest in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
            whole = False
        if not whole:
            _log.warning("%s: incomplete or damaged; it is not continued", path)
        elif manifest["bound_to"] != self.bound_to:
            _log.warning("%s: of other rows, settings or weights; it is not continued", path)
        elif _step(path) >= planned:
            _log.warning("%s: at the last step already; it is not continued", path)
        else:
            return True
        return False


def _step(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
