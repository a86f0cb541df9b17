"""The teacher and the fast student: small networks of a fingerprint and a target's vector."""

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class Teacher(nn.Module):
    """Two hidden layers over bits and target; the second is the trunk, whose features a student
    may learn. It predicts pXC50."""

    centre: Tensor
    scale: Tensor

    def __init__(self, bits: int, target: int, width: int, trunk: int, dropout: float) -> None:
        super().__init__()
        sizes = {"bits": bits, "target": target, "width": width, "trunk": trunk}
        self.sizes: dict[str, Any] = {**sizes, "dropout": dropout}
        self.molecule = nn.Linear(bits, width)
        self.target = nn.Linear(target, width, bias=False)
        self.second = nn.Linear(width, trunk)
        self.head = nn.Linear(trunk, 1)
        self.dropout = nn.Dropout(dropout)
        # Of the values it learns, so that weights are of the usual size.
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def trunk(self, bits: Tensor, target: Tensor) -> Tensor:
        """(n, trunk) of bits (n, B) and target vectors (n, d), or of one target (1, d)."""
        first = self.dropout(torch.relu(self.molecule(bits) + self.target(target)))
        found: Tensor = self.dropout(torch.relu(self.second(first)))
        return found

    def value(self, trunk: Tensor) -> Tensor:
        """pXC50 of trunk features, (n,)."""
        found: Tensor = self.head(trunk).squeeze(-1)
        return found * self.scale + self.centre

    def forward(self, bits: Tensor, target: Tensor) -> Tensor:
        return self.value(self.trunk(bits, target))


class Fast(nn.Module):
    """The student: a sum of vectors of the bits that are set, one of the target and, where it is
    given them, one of the teacher's trunk at (target, nearest centroid).

    It reads the bits that are set and no others, some fifty of a thousand.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, bits: int, target: int, width: int, trunk: int, given: bool) -> None:
        super().__init__()
        sizes = {"bits": bits, "target": target, "width": width, "trunk": trunk}
        self.sizes: dict[str, Any] = {**sizes, "given": given}
        self.molecule = nn.EmbeddingBag(bits, width, mode="sum")
        nn.init.normal_(self.molecule.weight, std=bits**-0.5)
        self.target = nn.Linear(target, width)
        self.prior = nn.Linear(trunk, width, bias=False) if given else None
        self.second = nn.Linear(width, width)
        self.features = nn.Linear(width, trunk)
        self.head = nn.Linear(width, 1)
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def hidden(self, bits: tuple[Tensor, Tensor], added: Tensor) -> Tensor:
        """(n, width) of set bits and where each row of them begins, and of what `context` gives."""
        first = torch.relu(self.molecule(*bits) + added)
        return torch.relu(self.second(first))

    def context(self, target: Tensor, prior: Tensor | None) -> Tensor:
        """What target (n, d) and trunk features (n, trunk) add, (n, width).

        Of a target and its centroids it is computed once for a library.
        """
        added: Tensor = self.target(target)
        if self.prior is not None and prior is not None:
            added = added + self.prior(prior)
        return added

    def value(self, hidden: Tensor) -> Tensor:
        """The teacher's score of what `hidden` gives, (n,)."""
        found: Tensor = self.head(hidden).squeeze(-1)
        return found * self.scale + self.centre


M = TypeVar("M", Teacher, Fast)


def save(model: Teacher | Fast, out: Path) -> int:
    """Write weights and sizes; returns how many parameters it has."""
    save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()},
              out / WEIGHTS)  # fmt: skip
    (out / CONFIG).write_text(json.dumps(model.sizes, sort_keys=True))
    return sum(one.numel() for one in model.parameters())


def load_teacher(folder: Path, device: torch.device) -> Teacher:
    """The teacher in a folder, ready to predict."""
    return _filled(Teacher(**_sizes(folder)), folder, device)


def load_fast(folder: Path, device: torch.device) -> Fast:
    """The student in a folder, ready to predict."""
    return _filled(Fast(**_sizes(folder)), folder, device)


def _sizes(folder: Path) -> Any:
    return json.loads((folder / CONFIG).read_text())


def _filled(model: M, folder: Path, device: torch.device) -> M:
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.to(device).eval()
