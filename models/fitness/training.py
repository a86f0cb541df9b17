"""How a teacher learns: by regression, then by lists or, for comparison, by regression on the same.

A training takes a minute on a core and is not resumed within: what is resumed is the run.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.activities import Cells, Numbers, Values
from data.errors import TrainingError
from data.fingerprints import Packed, bits
from data.recipes.fitness import FitConfig, Objective, PreferenceConfig
from data.recipes.recipe import RuntimeConfig
from data.retrieval import Vectors
from models.fitness.losses import listmle, squared_error
from models.fitness.networks import Teacher, load_teacher, save
from models.hardware import device_of

OnProgress = Callable[[int, int], None]
_WARM_UP, _LOOK = 0.05, 50  # share of the steps; steps between two looks at the loss
_AT_A_TIME = 8192  # pairs of compound and target that are predicted at once


@dataclass(frozen=True)
class Compounds:
    """What networks read: bits of compounds, vectors of targets, on the device."""

    bits: Tensor  # (molecules, B), uint8
    targets: Tensor  # (targets, d)

    @classmethod
    def of(cls, fingerprints: Packed, vectors: Vectors, runtime: RuntimeConfig) -> "Compounds":
        device = device_of(runtime)
        found = torch.from_numpy(bits(fingerprints))
        return cls(found.to(device), torch.from_numpy(vectors.copy()).to(device))

    def pairs(self, molecule: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and target vectors of pairs, as floats."""
        return self.bits[molecule].float(), self.targets[target]


def fit_teacher(
    out: Path,
    *,
    compounds: Compounds,
    cells: Cells,
    config: FitConfig,
    share: float,
    seed: int,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """A new teacher by the squared error on a random `share` of the cells, saved in `out`.

    Raises TrainingError for a loss that is not finite.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(cells.ids))[: max(1, round(share * len(cells.ids)))]
    sizes = compounds.bits.shape[1], compounds.targets.shape[1]
    model = Teacher(*sizes, config.width, config.trunk, config.dropout)
    values = cells.value[rows]
    model.centre.fill_(float(values.mean()))
    model.scale.fill_(float(values.std()) or 1.0)
    model.to(compounds.bits.device)
    size = min(config.batch_size, len(rows))

    def batches() -> Iterator[Numbers]:
        for _ in range(config.epochs):
            order = rng.permutation(rows)
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size]

    def loss(batch: Numbers) -> Tensor:
        scores, measured = _scored(model, compounds, cells, batch)
        return squared_error(scores, measured) / model.scale.square()

    steps = config.epochs * (len(rows) // size)
    meta = _train(model, batches(), loss, steps, config, on_progress)
    return meta | {"parameters": save(model, out), "learned": len(rows)}


def tune_teacher(
    out: Path,
    *,
    start: Path,
    compounds: Compounds,
    cells: Cells,
    lists: Numbers,
    config: PreferenceConfig,
    objective: Objective,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The teacher in `start` by `lists` (n, L) of cells, each once, in random order.

    It is saved in `out`. "listwise" learns their order, "regression" the values of the same rows in
    the same batches: as many updates on the same data, so that only the loss differs. Raises
    TrainingError.
    """
    torch.manual_seed(seed)
    model = load_teacher(start, compounds.bits.device)
    order = np.random.default_rng(seed).permutation(len(lists))
    size = min(config.batch_lists, len(lists))
    whole = len(order) // size * size
    batches = iter(order[:whole].reshape(-1, size))

    def loss(batch: Numbers) -> Tensor:
        rows = lists[batch]
        scores, measured = _scored(model, compounds, cells, rows.ravel())
        error = squared_error(scores, measured)
        if objective == "regression":
            return error
        ranked = listmle(scores.view(rows.shape), measured.view(rows.shape), config.temperature)
        return ranked + config.anchor * error if config.anchor else ranked

    meta = _train(model, batches, loss, whole // size, config, on_progress)
    return meta | {"parameters": save(model, out), "lists": whole}


def _scored(
    model: Teacher, compounds: Compounds, cells: Cells, rows: Numbers
) -> tuple[Tensor, Tensor]:
    """Predictions and measured values of cells, (n,) each."""
    device = compounds.bits.device
    molecule, target = (
        torch.from_numpy(one[rows]).to(device) for one in (cells.molecule, cells.target)
    )
    measured = torch.from_numpy(cells.value[rows]).float().to(device)
    return model(*compounds.pairs(molecule, target)), measured


def _train(
    model: torch.nn.Module,
    batches: Iterator[Numbers],
    loss_of: Callable[[Numbers], Tensor],
    steps: int,
    config: FitConfig | PreferenceConfig,
    on_progress: OnProgress | None,
) -> dict[str, Any]:
    """AdamW over the batches; the rate rises within a twentieth of the steps and falls to 0."""
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    return descend(optimizer, batches, loss_of, steps, on_progress)


def descend(
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Any],
    loss_of: Callable[[Any], Tensor],
    steps: int,
    on_progress: OnProgress | None,
) -> dict[str, Any]:
    """A step for every batch. Returns steps, and the mean loss of the last ones.

    Raises TrainingError for a loss that is not finite.
    """
    warm, recent = max(1, round(_WARM_UP * steps)), list[float]()

    def rate(step: int) -> float:
        return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    done = 0
    for done, batch in enumerate(batches, start=1):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if done % _LOOK == 0 or done > steps - _LOOK:
            recent = [*recent[1 - _LOOK :], float(loss.detach())]
            if not math.isfinite(recent[-1]):
                raise TrainingError(
                    f"the loss is {recent[-1]} at step {done}; use a lower learning_rate or a "
                    "higher temperature"
                )
            if on_progress:
                on_progress(done, steps)
    return {"steps": done, "final_loss": float(np.mean(recent)) if recent else 0.0}


@torch.no_grad()
def predict(model: Teacher, compounds: Compounds, molecule: Numbers, target: Numbers) -> Values:
    """What the teacher says of pairs, (n,)."""
    return predict_with_trunk(model, compounds, molecule, target)[0]


@torch.no_grad()
def predict_with_trunk(
    model: Teacher, compounds: Compounds, molecule: Numbers, target: Numbers, keep: bool = False
) -> tuple[Values, Vectors]:
    """What the teacher says of pairs, (n,), and with `keep` its trunk's features, (n, trunk)."""
    device, values, features = compounds.bits.device, list[Values](), list[Vectors]()
    for start in range(0, len(molecule), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        places = (torch.from_numpy(one[part]).to(device) for one in (molecule, target))
        trunk = model.trunk(*compounds.pairs(*places))
        values.append(model.value(trunk).double().cpu().numpy())
        if keep:
            features.append(trunk.float().cpu().numpy())
    empty = np.zeros((0, model.sizes["trunk"]), np.float32)
    return np.concatenate([np.zeros(0), *values]), np.concatenate([empty, *features])
