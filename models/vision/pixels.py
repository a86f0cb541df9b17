"""Pixels as networks see them: read, normalised, and changed at random while a network learns.

The changes are those of DomainBed (Gulrajani and Lopez-Paz 2020, arXiv 2007.01434), which VL2V
uses: a crop of 0.7 to 1 of the area, a mirror image, colour jitter of 0.3, one image in ten grey.
Brightness, contrast and saturation are changed in this order; torchvision draws the order, and
changes the hue too.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from data.images import pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
CHANCES = 10  # numbers from 0 to 1 that decide what becomes of an image
TURN = 9  # the place of the one that decides how it is turned, where it is
_LEAST_AREA, _LOG_RATIO, _JITTER, _GREY = 0.7, float(np.log(4 / 3)), 0.3, 0.1
_LUMINANCE = (0.299, 0.587, 0.114)


def read_pixels(images: Sequence[bytes], size: int) -> torch.Tensor:
    """Pixels of images, uint8 (n, 3, size, size)."""
    found = [pixels(image, size) for image in images]
    rows = np.stack(found) if found else np.zeros((0, size, size, 3), np.uint8)
    return torch.from_numpy(rows).permute(0, 3, 1, 2).contiguous()


def chances(seed: int, epoch: int, rows: int) -> torch.Tensor:
    """What decides the changes of every row in an epoch, (rows, CHANCES): the same in whatever
    batches and processes the rows are learned."""
    found = np.random.default_rng([seed, epoch]).random((rows, CHANCES), np.float32)
    return torch.from_numpy(found)


def normalised(
    found: torch.Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD
) -> torch.Tensor:
    """Pixels 0 to 1, (n, 3, S, S), as a network takes them."""
    shift, scale = (torch.tensor(one, device=found.device).view(1, 3, 1, 1) for one in (mean, std))
    return (found - shift) / scale


def changed(found: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Pixels 0 to 1, (n, 3, S, S), after the changes that `by` (n, CHANCES) decides."""
    found = _cropped(found, by[:, :5])
    bright, contrast, saturation = (
        (1 + _JITTER * (2 * by[:, place] - 1)).view(-1, 1, 1, 1) for place in (5, 6, 7)
    )
    found = (found * bright).clamp(0, 1)
    mean = _grey(found).mean(dim=(2, 3), keepdim=True)
    found = (mean + contrast * (found - mean)).clamp(0, 1)
    grey = _grey(found)
    saturation = torch.where((by[:, 8] < _GREY).view(-1, 1, 1, 1), 0.0, saturation)
    return (grey + saturation * (found - grey)).clamp(0, 1)


def _cropped(found: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """A part of every image, of any ratio of sides from 3/4 to 4/3, stretched to the whole."""
    area = _LEAST_AREA + (1 - _LEAST_AREA) * by[:, 0]
    ratio = torch.exp(_LOG_RATIO * (2 * by[:, 1] - 1))
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    theta = torch.zeros(len(found), 2, 3)
    theta[:, 0, 2], theta[:, 1, 2] = (
        (1 - wide) * (2 * by[:, 2] - 1),
        (1 - high) * (2 * by[:, 3] - 1),
    )
    theta[:, 0, 0] = torch.where(by[:, 4] < 0.5, -wide, wide)  # or its mirror image
    theta[:, 1, 1] = high
    grid = F.affine_grid(theta, list(found.shape), align_corners=False)
    return F.grid_sample(found, grid, padding_mode="border", align_corners=False)


def _grey(found: torch.Tensor) -> torch.Tensor:
    """Luminance, (n, 1, S, S)."""
    return (found * torch.tensor(_LUMINANCE).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
