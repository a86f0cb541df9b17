"""Images as bytes: whether they can be read, their pixels, and which of them are held out.

Pillow, of the extra `vision`, is imported where it is used.
"""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.errors import InputError

Pixels = npt.NDArray[np.uint8]
# What Pillow raises of damaged bytes, by format and place.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error, zlib.error,
)  # fmt: skip


def problem(image: bytes, whole: bool = True) -> str | None:
    """Why an image cannot be read, in a few words; None: it can.

    Args:
        whole: Every pixel is decoded; else only what stands before them is read.
    """
    try:
        with _opened(image) as found:
            if whole:
                found.load()
    except InputError as error:
        return str(error)
    return None


def pixels(image: bytes, size: int) -> Pixels:
    """Red, green and blue, (size, size, 3); bilinear, and squeezed where it is no square, as
    DomainBed does. Raises InputError for an image that cannot be read."""
    from PIL.Image import Resampling

    with _opened(image) as found:
        found = found.convert("RGB")
        if found.size != (size, size):
            found = found.resize((size, size), Resampling.BILINEAR)
        return np.asarray(found, np.uint8)


def image_of(image: bytes) -> Any:
    """Pillow's image, in red, green and blue. Raises InputError for one that cannot be read."""
    with _opened(image) as found:
        return found.convert("RGB")


@contextmanager
def _opened(image: bytes) -> Iterator[Any]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image)) as found:
                yield found
    except _BROKEN as error:
        raise InputError(f"no image that can be read ({_short(error)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError("an image of too many pixels") from None


def _short(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":  # whose text names an object in memory
        return "of no known format"
    return " ".join(str(error).split())[:80] or type(error).__name__


def is_held_out(prompt_id: str, share: float) -> bool:
    """Whether an image of a source domain is measured on and not learned from: by its id alone, so
    that it is the same for every target, method and seed."""
    number = int.from_bytes(hashlib.sha256(f"held out {prompt_id}".encode()).digest()[:8], "big")
    return number < share * 2**64


def classes_of(images: pa.Table) -> list[str]:
    """The classes of IMAGE_PROMPTS, sorted."""
    return sorted(set(images["label"].to_pylist()))


def to_learn(images: pa.Table, target: str, held_out: float) -> list[int]:
    """Rows of the source domains that are learned from; `target` is left out whole."""
    names, ids = images["dataset"].to_pylist(), images["prompt_id"].to_pylist()
    return [
        row
        for row, (name, one) in enumerate(zip(names, ids, strict=True))
        if name != target and not is_held_out(one, held_out)
    ]


def to_measure(images: pa.Table, target: str, held_out: float) -> list[tuple[int, str]]:
    """Rows that a student is measured on: "target", all of that domain; "source", those held out
    of the others."""
    names, ids = images["dataset"].to_pylist(), images["prompt_id"].to_pylist()
    parts = (
        "target" if name == target else "source" if is_held_out(one, held_out) else ""
        for name, one in zip(names, ids, strict=True)
    )
    return [(row, part) for row, part in enumerate(parts) if part]
