"""What can be checked of a text encoder before any work, by its files alone."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.files import check_folder_files
from data.paths import named_path
from flows.preflight.models import model_path

MODULES = "modules.json"  # of a folder of sentence-transformers
_OURS = "sentence_transformers."


def check_installed(needs: str = "recipe: leaf") -> None:
    """InputError unless sentence-transformers is there; it is not imported."""
    if find_spec("sentence_transformers") is None:
        raise InputError(
            f"{needs} needs sentence-transformers, which is not installed; "
            "`pip install 'tsalign[embeddings]'`"
        )


def encoder_path(field: str, name: str) -> Path:
    """Local folder of an encoder: of sentence-transformers, of Hugging Face, or a hub id.

    Raises InputError, as `model_path`.
    """
    folder = named_path(name, field)
    if (folder / MODULES).is_file():
        check_folder_files(folder, field)
        return folder.resolve()
    return model_path(field, name).resolve()


def check_encoder(field: str, name: str, trusted: bool) -> Path:
    """The folder of an encoder whose weights are safetensors and whose parts are the library's.

    Raises:
        InputError: pickled weights, damaged JSON, or code that the recipe does not trust.
    """
    folder = encoder_path(field, name)
    if not any(folder.rglob("*.safetensors")):
        raise InputError(
            f"{field}: '{name}' has no .safetensors file; save the encoder as safetensors"
        )
    if (folder / MODULES).is_file():
        for one in _json(folder / MODULES, field, list):
            kind = str(one.get("type")) if isinstance(one, dict) else ""
            if not kind.startswith(_OURS) and not trusted:
                raise InputError(
                    f"{field}: '{name}' has a part {kind!r}, which runs its own code; read it, and "
                    "set runtime.trust_remote_code=true if you trust it"
                )
    return folder


def check_layers(field: str, folder: Path, layers: tuple[int, ...]) -> None:
    """InputError unless the encoder has these layers, as far as its config tells."""
    path = folder / _first_part(folder, field) / "config.json"
    if not path.is_file():
        raise InputError(
            f"student.backbone: '{folder}' ({field}) has no transformer whose layers could be "
            "taken; use the backbone 'model'"
        )
    depth = _json(path, field, dict).get("num_hidden_layers")
    if isinstance(depth, int) and layers[-1] >= depth:
        raise InputError(
            f"student.backbone.layers: {layers[-1]} is none of the teacher's {depth} layers, which "
            f"count from 0 to {depth - 1}; name others"
        )


def _first_part(folder: Path, field: str) -> str:
    if not (folder / MODULES).is_file():
        return ""
    parts = _json(folder / MODULES, field, list)
    return str(parts[0].get("path", "")) if parts and isinstance(parts[0], dict) else ""


def _json(path: Path, field: str, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise InputError(f"{field}: '{path}' is damaged; copy or save the encoder again")
    return found
