"""What can be checked of image models and their teachers before any work, by their files alone."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import InputError
from flows.preflight.folders import model_path, packed_path

OPEN_CLIP = "open_clip_config.json"

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model")


def check_pillow() -> None:
    """InputError unless Pillow is there."""
    if find_spec("PIL") is None:
        raise InputError(
            "recipe: vl2v needs Pillow, which is not installed; `pip install 'tsalign[vision]'`"
        )


def teacher_path(field: str, name: str) -> Path:
    """Local folder of a vision-language model: of open_clip, of transformers, or a hub id.

    Raises InputError, as `model_path`.
    """
    return packed_path(field, name, OPEN_CLIP)


def check_teacher(field: str, name: str, trains: bool) -> None:
    """InputError for a folder that holds no vision-language model, or whose library is missing.

    Args:
        trains: Its image encoder is to be trained too (`method: self`).
    """
    folder = teacher_path(field, name)
    _check_safetensors(field, name, folder)
    if (folder / OPEN_CLIP).is_file():
        if trains:
            raise InputError(
                f"{field}: '{name}' is of open_clip, whose encoder method self cannot train; name "
                "a CLIP of transformers, or choose another method"
            )
        if find_spec("open_clip") is None:
            raise InputError(
                f"{field}: '{name}' is of open_clip, which is not installed; "
                "`pip install open_clip_torch`, or name a CLIP of transformers"
            )
        return
    config = _json(field, folder / "config.json")
    if not {"vision_config", "text_config"} <= set(config):
        raise InputError(
            f"{field}: '{name}' sees no images beside texts (its config.json has no vision_config "
            "and text_config); name a CLIP"
        )
    if trains and config.get("model_type") != "clip":
        raise InputError(
            f"{field}: '{name}' is a {config.get('model_type')}, and method self trains a CLIP; "
            "name one"
        )
    for files, lacks in ((_PROCESSORS, "image processor"), (_TOKENIZERS, "tokenizer")):
        if not any((folder / file).is_file() for file in files):
            raise InputError(
                f"{field}: '{name}' has no {lacks} (none of {', '.join(files)}); save its "
                "processor beside it"
            )


def check_image_model(field: str, name: str) -> None:
    """InputError for a folder without weights as safetensors."""
    folder = model_path(field, name)
    _check_safetensors(field, name, folder)
    _json(field, folder / "config.json")


def _check_safetensors(field: str, name: str, folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{field}: '{name}' has no .safetensors file; save the model as safetensors"
        )


def _json(field: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{field}: '{path}' is damaged; copy or save the model again")
    return found
