"""GGUF files (llama.cpp's format): what their header tells, and how one becomes a model folder.

transformers reads the weights back to its own names and layouts, dequantised to float32; what it
has loaded so it refuses to save, so the weights go into a fresh model of the same configuration.
"""

import os
import re
import struct
from collections import Counter
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.files import check_regular

SUFFIX = ".gguf"
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)  # that the package `gguf` reads
_WHOLE = {"F64", "F32", "F16", "BF16"}  # types of weights that are not quantised
_SPLIT = "split.count"


@dataclass(frozen=True)
class Header:
    """What the header of a GGUF file tells of its model."""

    architecture: str  # llama.cpp's name, such as "llama"
    weights: str  # the type of most weights, such as "Q4_1"

    @property
    def about(self) -> str:
        """What its weights become: a few words."""
        if self.weights in _WHOLE:
            return f"{self.weights} weights"
        bits = re.search(r"\d+", self.weights)
        return f"dequantised {bits[0] if bits else 'low'}-bit weights ({self.weights})"

    @property
    def dtype(self) -> str:
        """The precision they are kept in, which loses nothing."""
        return "bfloat16" if self.weights == "BF16" else "float32"


def gguf_file(path: Path, field: str) -> Path | None:
    """The GGUF file that a path names, or the only one in a folder without config.json.

    None: it is none. Raises InputError for a file that is not there and for several in a folder.
    """
    if path.is_dir():
        found = [] if (path / "config.json").is_file() else sorted(path.glob(f"*{SUFFIX}"))
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:3]) + ", ..." * (len(found) > 3)
            raise InputError(
                f"{field}: '{path}' holds {len(found)} GGUF files ({names}); name one of them"
            )
        return found[0] if found else None
    if path.suffix.lower() != SUFFIX:
        return None
    check_regular(path, field)
    return path


def read_header(path: Path, field: str) -> Header:
    """What the header tells, after all that can be wrong with a file before its weights are read.

    Raises InputError: no GGUF file, of another version, cut off, damaged, a part of a split model;
    or the package `gguf` is not installed.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) < 8 or not start.startswith(_MAGIC):
        raise InputError(
            f"{field}: '{path}' is no GGUF file (it does not begin with GGUF); download it again"
        )
    (version,) = struct.unpack("<I", start[4:])
    if version not in _VERSIONS:
        raise InputError(
            f"{field}: '{path}' is of GGUF version {version}, versions 2 and 3 are read; "
            "convert the model again with a current llama.cpp"
        )
    if find_spec("gguf") is None:
        raise InputError(
            f"{field}: '{path}' is a GGUF file, and the package that reads it is not installed; "
            "`pip install gguf`"
        )
    state = path.stat()
    return _described(path, field, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=8)  # seconds for a vocabulary of 50,000, and preflight asks several times
def _described(path: Path, field: str, state: tuple[int, ...]) -> Header:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        end = max((int(t.data_offset + t.n_bytes) for t in reader.tensors), default=0)
        architecture = str(reader.fields["general.architecture"].contents())
        split = reader.fields.get(_SPLIT)
        parts = int(split.contents()) if split else 1
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(
            f"{field}: '{path}' is damaged or cut off ({type(error).__name__} while its header was "
            "read); download it again"
        ) from error
    size = path.stat().st_size
    if not end or end > size:
        raise InputError(
            f"{field}: '{path}' is cut off: its header speaks of {end:,} bytes, the file has "
            f"{size:,}; download it again"
        )
    if parts > 1:
        raise InputError(
            f"{field}: '{path}' is one of {parts} parts of a model; join them with llama.cpp's "
            "`llama-gguf-split --merge`"
        )
    sizes: Counter[str] = Counter()
    for tensor in reader.tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    return Header(architecture, sizes.most_common(1)[0][0])


def check_readable(header: Header, path: Path, field: str) -> None:
    """InputError for an architecture that transformers does not read from GGUF files."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    # As transformers does it: qwen2moe is its qwen2_moe.
    known = {name.replace("_", "").replace("-", "") for name in GGUF_SUPPORTED_ARCHITECTURES}
    if header.architecture.replace("-", "").replace("_", "") not in known:
        raise InputError(
            f"{field}: '{path}' is of the architecture {header.architecture}, which transformers "
            "does not read from GGUF files; name the model's Hugging Face folder"
        )


def libraries() -> dict[str, str]:
    """Versions of what decides an import."""
    return {name: metadata.version(name) for name in ("torch", "transformers", "gguf")}


def convert(path: Path, header: Header, out: Path, field: str) -> dict[str, Any]:
    """Write the model of a GGUF file into `out` as a Hugging Face folder.

    Weights as safetensors of `header.dtype`, tokenizer, chat template and generation settings.
    Returns counts. Raises InputError for what transformers cannot read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.silence import quiet

    dtype = getattr(torch, header.dtype)
    # Its progress bar over the tensors asks nobody whether it is wanted.
    with quiet(), open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
            model, found = AutoModelForCausalLM.from_pretrained(
                str(path.parent),
                gguf_file=path.name,
                dtype=dtype,
                output_loading_info=True,
                use_safetensors=True,
            )
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            fresh = AutoModelForCausalLM.from_config(model.config, dtype=dtype)
            fresh.load_state_dict({k: v.to(dtype) for k, v in model.state_dict().items()})
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:250]
            raise InputError(
                f"{field}: transformers cannot read '{path}' ({type(error).__name__}: {reason}); "
                "name the model's Hugging Face folder"
            ) from error
        lacking = sorted(found["missing_keys"]) or sorted(str(k) for k in found["mismatched_keys"])
        if lacking:
            raise InputError(
                f"{field}: '{path}' lacks the weights {lacking[0]}, which would be made up at "
                "random; convert the model again"
            )
        fresh.tie_weights()
        fresh.save_pretrained(out)
        tokenizer.save_pretrained(out)
    return {"parameters": sum(p.numel() for p in fresh.parameters())}
