"""The fast student: it learns a teacher's scores and features, and scores a library."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.activities import Numbers, Values
from data.fingerprints import SetBits
from data.recipes.fitness import FastConfig
from data.retrieval import Vectors
from models.fitness.losses import fast_loss
from models.fitness.networks import Fast, Teacher, save
from models.fitness.training import Compounds, OnProgress, descend, predict_with_trunk

_AT_A_TIME = 8192
_WEIGHT_DECAY = 1e-5


@dataclass(frozen=True)
class Prior:
    """What the teacher's trunk makes of the centroids, and which is nearest to each compound."""

    features: Tensor  # (targets, centroids, trunk)
    nearest: Tensor  # (molecules,)

    @classmethod
    def of(cls, features: Vectors, nearest: Numbers, device: torch.device) -> "Prior":
        return cls(torch.from_numpy(features).to(device), torch.from_numpy(nearest).to(device))


def fit_fast(
    out: Path,
    *,
    teacher: Teacher,
    compounds: Compounds,
    set_bits: SetBits,
    prior: Prior | None,
    molecule: Numbers,
    target: Numbers,
    config: FastConfig,
    seed: int,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """A new student by what the teacher says of pairs (n,) of compound and target, saved in `out`.

    Raises TrainingError for a loss that is not finite.
    """
    torch.manual_seed(seed)
    rng, device = np.random.default_rng(seed), compounds.bits.device
    keep = config.feature_weight > 0
    scores, features = predict_with_trunk(teacher, compounds, molecule, target, keep)
    trunk, given = teacher.sizes["trunk"], prior is not None
    sizes = compounds.bits.shape[1], compounds.targets.shape[1]
    model = Fast(*sizes, config.width, trunk, given)
    model.centre.fill_(float(scores.mean()))
    model.scale.fill_(float(scores.std()) or 1.0)
    model.to(device).train()
    size = min(config.batch_size, len(molecule))

    def batches() -> Iterator[Numbers]:
        for _ in range(config.epochs):
            order = rng.permutation(len(molecule))
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size]

    def loss(batch: Numbers) -> Tensor:
        own, its = (torch.from_numpy(one[batch]).to(device) for one in (molecule, target))
        near = prior.features[its, prior.nearest[own]] if prior else None
        added = model.context(compounds.targets[its], near)
        hidden = model.hidden(_bags(set_bits, molecule[batch], device), added)
        taught = torch.from_numpy(scores[batch]).float().to(device)
        made = model.features(hidden)
        wanted = torch.from_numpy(features[batch]).to(device) if keep else made.detach()
        return fast_loss(made, wanted, model.value(hidden) / model.scale, taught / model.scale,
                         config.feature_weight, config.score_weight)  # fmt: skip

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=_WEIGHT_DECAY
    )
    steps = config.epochs * (len(molecule) // size)
    meta = descend(optimizer, batches(), loss, steps, on_progress)
    return meta | {"parameters": save(model, out), "pairs": len(molecule)}


def _bags(set_bits: SetBits, rows: Numbers, device: torch.device) -> tuple[Tensor, Tensor]:
    numbers, starts = set_bits.take(rows)
    return torch.from_numpy(numbers).to(device), torch.from_numpy(starts).to(device)


@torch.no_grad()
def predict_fast(
    model: Fast,
    compounds: Compounds,
    set_bits: SetBits,
    prior: Prior | None,
    molecule: Numbers,
    target: Numbers,
) -> Values:
    """What the student says of pairs, (n,)."""
    device, found = compounds.bits.device, list[Values]()
    for start in range(0, len(molecule), _AT_A_TIME):
        rows = molecule[start : start + _AT_A_TIME]
        own = torch.from_numpy(rows).to(device)
        its = torch.from_numpy(target[start : start + _AT_A_TIME]).to(device)
        near = prior.features[its, prior.nearest[own]] if prior else None
        added = model.context(compounds.targets[its], near)
        hidden = model.hidden(_bags(set_bits, rows, device), added)
        found.append(model.value(hidden).double().cpu().numpy())
    return np.concatenate([np.zeros(0), *found])


def speeds(
    teacher: Teacher,
    fast: Fast,
    compounds: Compounds,
    set_bits: SetBits,
    prior: Prior | None,
    molecule: Numbers,
    repeats: int = 5,
) -> dict[str, float]:
    """Compounds that each scores for the first target in a second of the processor: medians.

    Each reads what it reads from memory: the teacher bits, the student the numbers of those that
    are set. Fingerprints are made once for both and are not in it, nor is a model's start.
    """
    own = torch.from_numpy(molecule).to(compounds.bits.device)
    bits, bags = compounds.bits[own], _bags(set_bits, molecule, compounds.bits.device)
    target = compounds.targets[:1]
    with torch.no_grad():
        added = fast.context(target, prior.features[0] if prior else None)
        near = prior.nearest[own] if prior else torch.zeros_like(own)

    def by_teacher() -> Tensor:
        found: Tensor = teacher(bits.float(), target)
        return found

    def by_student() -> Tensor:
        return fast.value(fast.hidden(bags, added[near]))

    taken = {name: _seconds(work, repeats)
             for name, work in (("teacher", by_teacher), ("student", by_student))}  # fmt: skip
    return {name: len(molecule) / seconds for name, seconds in taken.items()}


@torch.no_grad()
def _seconds(work: Callable[[], Tensor], repeats: int) -> float:
    """Of the processor, median; the first of them warms up and does not count."""
    taken = []
    for _ in range(repeats + 1):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return max(statistics.median(taken[1:]), 1e-9)
