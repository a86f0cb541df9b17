"""A text encoder from a folder, and the vectors that it makes of texts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize

from data.errors import InputError, TrainingError
from data.recipes.recipe import RuntimeConfig
from data.retrieval import Vectors
from models import devices
from models.foreign_words import drop_foreign_words
from models.hardware import device_of, dtype_of
from models.silence import quiet

OnProgress = Callable[[int, int], None]
# Texts of a batch: a CPU computes many short ones no faster, a GPU is to be filled (not measured).
BATCH = {"cpu": 32, "cuda": 256}
_CHUNK = 16  # batches between two reports of progress
_CLOSE = 1e-3  # of unit vectors: what a float32 model may differ by before and after it is saved


@quiet()
def load_encoder(folder: Path, runtime: RuntimeConfig, on_cpu: bool = False) -> SentenceTransformer:
    """The encoder in a folder of sentence-transformers; one of Hugging Face with mean pooling.

    Args:
        on_cpu: In float32 there, to be changed or saved.

    Raises:
        InputError: it cannot be loaded.
    """
    device = torch.device("cpu") if on_cpu else device_of(runtime)
    try:
        model = SentenceTransformer(
            str(folder),
            device=str(device),
            local_files_only=True,
            trust_remote_code=runtime.trust_remote_code,
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"'{folder}' cannot be loaded as a text encoder ({type(error).__name__}: {reason}); "
            "name a folder that sentence-transformers reads"
        ) from error
    drop_foreign_words(model.tokenizer, folder)
    loaded: SentenceTransformer = model.to(torch.float32 if on_cpu else dtype_of(runtime)).eval()
    return loaded


@quiet()
def encode(
    model: SentenceTransformer,
    texts: Sequence[str],
    prompt: str,
    runtime: RuntimeConfig,
    on_progress: OnProgress | None = None,
) -> Vectors:
    """Vectors of `texts`, float32 (n, dimensions), with `prompt` before each; too long ones are
    cut off at the end, as the encoder does."""
    size = BATCH[devices.device(runtime)]
    step, parts = size * _CHUNK, list[Vectors]()
    for start in range(0, len(texts), step):
        part = list(texts[start : start + step])
        found = model.encode(
            part, prompt=prompt, batch_size=size, show_progress_bar=False, convert_to_tensor=True
        )
        parts.append(found.float().cpu().numpy())
        if on_progress:
            on_progress(min(start + step, len(texts)), len(texts))
    return np.concatenate(parts) if parts else np.zeros((0, dimensions(model)), np.float32)


def dimensions(model: SentenceTransformer) -> int:
    """Of its vectors."""
    found = model.get_embedding_dimension()
    assert found is not None
    return int(found)


def normalises(model: SentenceTransformer) -> bool:
    """Whether its vectors have length 1."""
    return any(isinstance(module, Normalize) for module in model.children())


def pipeline(model: SentenceTransformer) -> list[Any]:
    """Its modules in order, as those of another model."""
    return list(model.children())


@quiet()
def save_encoder(model: SentenceTransformer, out: Path, runtime: RuntimeConfig) -> None:
    """Write it as a folder that sentence-transformers reads, in float32; equal weights give equal
    bytes.

    Raises:
        TrainingError: what is read back gives other vectors.
    """
    model = model.to("cpu", torch.float32).eval()
    model.save_pretrained(str(out), create_model_card=False)
    check_same(probe(model), probe(load_encoder(out, runtime, on_cpu=True)))


def probe(model: SentenceTransformer, task: str | None = None) -> Vectors:
    """Vectors of a few texts, without a prompt; `task` is the side of a router."""
    texts = ["a", "What is the lift of a wing?", "Words of one line. And of another, longer one."]
    route = {"task": task} if task else {}
    found = model.encode(texts, prompt="", show_progress_bar=False, **route)
    return np.asarray(found, np.float32)


def check_same(before: Vectors, after: Vectors) -> None:
    """TrainingError unless an encoder's vectors are what they were before it was saved."""
    scale = max(1.0, float(np.abs(before).max()))
    if before.shape != after.shape or np.abs(before - after).max() > _CLOSE * scale:
        raise TrainingError(
            "the saved encoder gives other vectors than before it was saved; this kind of encoder "
            "cannot be changed so, take another backbone"
        )
