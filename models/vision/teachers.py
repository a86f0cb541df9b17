"""Vision-language teachers: vectors of images and of texts, of length 1, from any of three kinds.

What lies in a folder tells which it is: a stand-in that was trained here (`tower.json`; it has no
text encoder of its own), a model of open_clip (`open_clip_config.json`), or a CLIP of transformers.
open_clip, and torchvision which comes with it, are imported nowhere else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AutoImageProcessor, AutoTokenizer

from data.errors import InputError
from data.images import image_of
from data.recipes.recipe import RuntimeConfig
from data.retrieval import Vectors
from models.hardware import device_of, dtype_of
from models.loading import load_image_model
from models.silence import quiet
from models.vision.towers import SETTINGS, Tower, load_tower, of_clip, seen

OPEN_CLIP = "open_clip_config.json"
_BATCH = 64
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError, AttributeError)


class Teacher:
    """What gives vectors of images and of texts."""

    def images(self, images: Sequence[bytes]) -> torch.Tensor:
        """Of a batch, (n, d)."""
        raise NotImplementedError

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, d)."""
        raise NotImplementedError


class _StandIn(Teacher):
    def __init__(self, folder: Path, runtime: RuntimeConfig) -> None:
        self._tower, self._runtime = load_tower(folder), runtime

    def images(self, images: Sequence[bytes]) -> torch.Tensor:
        return seen(self._tower, images, self._runtime)


class _Clip(Teacher):
    """A CLIP of transformers, or a SigLIP."""

    def __init__(self, folder: Path, runtime: RuntimeConfig) -> None:
        named, there = str(folder), {"local_files_only": True}
        self._device = device_of(runtime)
        model: Any = load_image_model(folder, dtype_of(runtime))
        self._model = model.to(self._device).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(named, **there)
        # SigLIP has learned texts that are all as long, and reads their last place.
        config = model.config.text_config
        self._padded: dict[str, Any] = {"padding": True}
        if model.config.model_type.startswith("siglip"):
            longest = config.max_position_embeddings
            self._padded = {"padding": "max_length", "max_length": longest}
        # Pillow's, whether or not torchvision is installed: the two differ in the last digits.
        self._processor = AutoImageProcessor.from_pretrained(named, backend="pil", **there)

    def images(self, images: Sequence[bytes]) -> torch.Tensor:
        read = self._processor(images=[image_of(one) for one in images], return_tensors="pt")
        found = read["pixel_values"].to(self._device, self._model.dtype)
        return _pooled(self._model.get_image_features(pixel_values=found))

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        read = self._tokenizer(list(texts), **self._padded, truncation=True, return_tensors="pt")
        return _pooled(self._model.get_text_features(**read.to(self._device)))


class _OpenClip(Teacher):
    def __init__(self, folder: Path, runtime: RuntimeConfig) -> None:
        import open_clip

        named, self._device = f"local-dir:{folder.resolve()}", device_of(runtime)
        self._model, self._prepare = open_clip.create_model_from_pretrained(named)
        self._model = self._model.to(self._device).eval()
        self._tokenizer = open_clip.get_tokenizer(named)

    def images(self, images: Sequence[bytes]) -> torch.Tensor:
        read = torch.stack([self._prepare(image_of(one)) for one in images])
        found: torch.Tensor = self._model.encode_image(read.to(self._device))
        return found

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        found: torch.Tensor = self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
        return found


@quiet()
def load_teacher(folder: Path, runtime: RuntimeConfig) -> Teacher:
    """The teacher in a folder. Raises InputError where it cannot be loaded."""
    kinds = ((SETTINGS, _StandIn), (OPEN_CLIP, _OpenClip))
    kind = next((one for name, one in kinds if (folder / name).is_file()), _Clip)
    try:
        return kind(folder, runtime)
    except _FAILURES as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"teacher.model: '{folder}' cannot be loaded ({type(error).__name__}: {reason}); name "
            "the folder of a CLIP of transformers or of open_clip"
        ) from error


@torch.inference_mode()
def image_vectors(teacher: Teacher, images: Sequence[bytes], on_progress: Any = None) -> Vectors:
    """Of images, float32 (n, d), of length 1."""
    parts = []
    for start in range(0, len(images), _BATCH):
        parts.append(_unit(teacher.images(images[start : start + _BATCH])))
        if on_progress:
            on_progress(min(start + _BATCH, len(images)), len(images))
    found: Vectors = torch.cat(parts).numpy()
    return found


@torch.inference_mode()
def text_vectors(teacher: Teacher, texts: Sequence[str]) -> Vectors:
    """Of texts, float32 (n, d), of length 1."""
    starts = range(0, len(texts), _BATCH)
    parts = [_unit(teacher.texts(texts[start : start + _BATCH])) for start in starts]
    found: Vectors = torch.cat(parts).numpy()
    return found


def own_tower(folder: Path, runtime: RuntimeConfig) -> Tower:
    """The teacher's image encoder as a student (VL2V-SD).

    Raises:
        InputError: it is of open_clip, or cannot be loaded.
    """
    if (folder / SETTINGS).is_file():
        return load_tower(folder)
    if (folder / OPEN_CLIP).is_file():
        raise InputError(
            f"teacher.model: '{folder}' is of open_clip, which method self cannot train"
        )
    processor = AutoImageProcessor.from_pretrained(
        str(folder), backend="pil", local_files_only=True
    )
    return of_clip(folder, processor.image_mean, processor.image_std)


def _pooled(found: Any) -> torch.Tensor:
    """The vectors: transformers 5 puts the states of all tokens beside them."""
    vectors: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return vectors


def _unit(found: torch.Tensor) -> torch.Tensor:
    return F.normalize(found.float(), dim=-1).cpu()
