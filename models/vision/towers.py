"""An image network with what stands on it: a backbone, a projection to a teacher's vectors, a head
of classes. A folder of one is `tower.json` and `model.safetensors`, with the library's own
`config.json` where the backbone is the user's.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from data.errors import InputError, TrainingError
from data.recipes.images import CnnBackbone, ImageBackbone
from data.recipes.recipe import RuntimeConfig
from models.hardware import device_of
from models.loading import load_image_model
from models.silence import quiet
from models.vision.pixels import MEAN, STD, normalised, read_pixels

SETTINGS, WEIGHTS, CONFIG = "tower.json", "model.safetensors", "config.json"
_GROUPS = 8  # of channels that are normalised together (Wu and He 2018)
_CLOSE = 1e-4
_BATCH = 64  # images that are seen at once


@dataclass(frozen=True)
class Shape:
    """What a tower is made of, as tower.json has it."""

    kind: str  # "cnn"; "model" and "clip": of transformers, by config.json
    size: int  # pixels of a side
    features: int  # that the backbone gives
    width: int = 0  # of a "cnn"
    depth: int = 0
    dimensions: int = 0  # of the vectors that the projection gives; 0: there is none
    classes: tuple[str, ...] = ()  # of the head; empty: there is none
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD


class _Block(nn.Module):
    """Two convolutions beside a short cut, which halve the sides (He et al. 2016)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.short = nn.Conv2d(into, out, 1, stride=2, bias=False)
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, out) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norms[0](self.first(x)))
        found: torch.Tensor = self.norms[1](self.second(inner)) + self.norms[2](self.short(x))
        return torch.relu(found)


class SmallCnn(nn.Module):
    """A first convolution, blocks, and the mean over what is left of the image: (n, features).

    Groups of channels are normalised, not batches: a row's result does not depend on the others.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.blocks = nn.Sequential(
            *(_Block(width * 2**k, width * 2 ** (k + 1)) for k in range(depth))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.blocks(torch.relu(self.norm(self.stem(x))))
        return found.mean(dim=(2, 3))


class _OfLibrary(nn.Module):
    """What a model of transformers gives of an image, (n, features)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = self.model(pixel_values=x)
        found = getattr(given, "image_embeds", None)
        if found is None:
            found = getattr(given, "pooler_output", None)
        if found is None:
            found = given.last_hidden_state.mean(dim=1)
        return found.flatten(1)  # type: ignore[no-any-return]


class Tower(nn.Module):
    """A backbone and what stands on it."""

    def __init__(self, shape: Shape, backbone: nn.Module) -> None:
        super().__init__()
        self.shape, self.backbone = shape, backbone
        self.projection: nn.Module = nn.Identity()
        self.head: nn.Module | None = None
        if shape.dimensions:
            self.projection = nn.Linear(shape.features, shape.dimensions, bias=False)
        if shape.classes:
            self.head = nn.Linear(shape.features, len(shape.classes))

    def forward(self, found: torch.Tensor, classify: bool = False) -> torch.Tensor:
        """Vectors (n, dimensions) of pixels 0 to 1, or logits (n, classes)."""
        features = self.backbone(normalised(found, self.shape.mean, self.shape.std))
        if not classify:
            return self.projection(features)  # type: ignore[no-any-return]
        assert self.head is not None
        return self.head(features)  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> "Tower":
        """As usual, but batch normalisation keeps the statistics it came with: VL2V freezes it."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    @property
    def given(self) -> int:
        """Dimensions of its vectors."""
        return self.shape.dimensions or self.shape.features

    def with_projection(self, dimensions: int, seed: int) -> "Tower":
        """The same with a new projection, and without a head."""
        return self._with(replace(self.shape, dimensions=dimensions, classes=()), seed)

    def with_head(self, classes: Sequence[str], seed: int) -> "Tower":
        """The same with a new head, and without a projection."""
        return self._with(replace(self.shape, dimensions=0, classes=tuple(classes)), seed)

    def bare(self) -> "Tower":
        """The same backbone with nothing on it."""
        return self._with(replace(self.shape, dimensions=0, classes=()), seed=0)

    def _with(self, shape: Shape, seed: int) -> "Tower":
        torch.manual_seed(seed)
        return Tower(shape, self.backbone)


def begin(backbone: ImageBackbone, size: int, folder: Path | None, seed: int) -> Tower:
    """A backbone alone: of random weights, or the user's in `folder`.

    Raises:
        InputError: it cannot be loaded, or does not see images of this size.
    """
    torch.manual_seed(seed)
    if isinstance(backbone, CnnBackbone):
        features = backbone.width * 2**backbone.depth
        shape = Shape("cnn", size, features, width=backbone.width, depth=backbone.depth)
        return Tower(shape, SmallCnn(backbone.width, backbone.depth))
    assert folder is not None
    inner = _OfLibrary(load_image_model(folder, torch.float32))
    return Tower(Shape("model", size, _features(inner, size, folder)), inner)


def of_clip(folder: Path, mean: Sequence[float], std: Sequence[float]) -> Tower:
    """The image encoder of a CLIP of transformers, its own projection within. Raises InputError."""
    whole: Any = load_image_model(folder, torch.float32, CLIPModel)
    config = whole.config.vision_config
    config.projection_dim = whole.config.projection_dim  # which the part may say otherwise
    model = CLIPVisionModelWithProjection(config)
    model.vision_model, model.visual_projection = whole.vision_model, whole.visual_projection
    size, inner = int(config.image_size), _OfLibrary(model)
    features = _features(inner, size, folder)
    return Tower(Shape("clip", size, features, mean=tuple(mean), std=tuple(std)), inner)


@torch.no_grad()
def _features(inner: nn.Module, size: int, folder: Path) -> int:
    """How many there are. Raises InputError where the model cannot see such images."""
    try:
        return int(inner.eval()(torch.zeros(1, 3, size, size)).shape[1])
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"student.size: '{folder}' does not see images of {size} pixels a side ({reason}); "
            "give it those that it was trained on"
        ) from error


def load_tower(folder: Path) -> Tower:
    """The tower of a folder that `save_tower` wrote, in float32 on the CPU."""
    told: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
    told |= {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    shape = Shape(**told)
    tower = Tower(shape, _empty_backbone(shape, folder))
    tower.load_state_dict(load_file(folder / WEIGHTS))
    return tower.eval()


@quiet()
def _empty_backbone(shape: Shape, folder: Path) -> nn.Module:
    if shape.kind == "cnn":
        return SmallCnn(shape.width, shape.depth)
    if shape.kind == "clip":
        return _OfLibrary(CLIPVisionModelWithProjection(CLIPVisionConfig.from_pretrained(folder)))
    return _OfLibrary(AutoModel.from_config(AutoConfig.from_pretrained(folder)))


def save_tower(tower: Tower, out: Path) -> None:
    """Write it; equal weights give equal bytes.

    Raises:
        TrainingError: what is read back gives other vectors.
    """
    tower = tower.to("cpu", torch.float32).eval()
    (out / SETTINGS).write_text(json.dumps(asdict(tower.shape), indent=1) + "\n")
    if isinstance(tower.backbone, _OfLibrary):
        config: Any = tower.backbone.model.config
        config.save_pretrained(out)
    save_file({name: one.contiguous() for name, one in tower.state_dict().items()}, out / WEIGHTS)
    before, after = (_probe(one) for one in (tower, load_tower(out)))
    if not torch.allclose(before, after, atol=_CLOSE):
        raise TrainingError("the saved image network gives other vectors than before it was saved")


@torch.no_grad()
def _probe(tower: Tower) -> torch.Tensor:
    size = tower.shape.size
    found = torch.linspace(0, 1, 3 * size * size).view(1, 3, size, size)
    given: torch.Tensor = tower(found, classify=tower.head is not None)
    return given


def parameters(tower: nn.Module) -> int:
    return sum(one.numel() for one in tower.parameters())


@torch.inference_mode()
def seen(
    tower: Tower, images: Sequence[bytes], runtime: RuntimeConfig, classify: bool = False
) -> torch.Tensor:
    """Vectors or logits of images, float32 (n, ...) on the CPU, batch by batch."""
    device = device_of(runtime)
    tower, parts = tower.to(device).eval(), list[torch.Tensor]()
    for start in range(0, len(images), _BATCH):
        found = read_pixels(images[start : start + _BATCH], tower.shape.size)
        parts.append(tower(found.to(device).float().div(255), classify).float().cpu())
    width = len(tower.shape.classes) if classify else tower.given
    return torch.cat(parts) if parts else torch.zeros(0, width)
