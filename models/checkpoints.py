"""What a model directory holds, read from file headers without loading weights."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from data.digests import digest_of, file_digest
from data.errors import InputError


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model directory (not those of an adapter beside the model)."""
    return [f for f in sorted(Path(model_dir).glob("*.safetensors")) if "adapter" not in f.name]


def weight_shapes(model_dir: Path, field: str = "model") -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by name, from the file headers.

    Raises:
        InputError: no safetensors file, or a damaged one; `field` names it in the recipe.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    files = weight_files(model_dir)
    if not files:
        raise InputError(
            f"{field}: '{model_dir}' has no .safetensors file; save the model as safetensors"
        )
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    shapes[name] = tuple(tensors.get_slice(name).get_shape())
        except SafetensorError as error:
            raise InputError(
                f"{field}: '{file}' is damaged ({error}); copy or save the model again"
            ) from error
    return shapes


def weights_digest(model_dir: Path) -> str:
    """Digest of the weight files alone, without configuration and tokenizer."""
    return digest_of([file_digest(file) for file in weight_files(model_dir)])


def check_same_architecture(served: Path, new: Path) -> None:
    """InputError unless every tensor of `served` is in `new` with the same shape."""
    before, after = weight_shapes(served), weight_shapes(new)
    config = json.loads((Path(new) / "config.json").read_text())
    for name, shape in before.items():
        if name == "lm_head.weight" and name not in after and config.get("tie_word_embeddings"):
            continue  # the embeddings under another name, which some writers save and some do not
        if after.get(name) != shape:
            raise InputError(
                f"the engine serves a model whose {name} has shape {shape}, in '{new}' it is "
                f"{after.get(name, 'missing')}; hand over only weights of the same architecture"
            )
