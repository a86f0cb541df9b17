"""What can be checked of a text encoder before any work, by its files alone."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import InputError
from flows.preflight.folders import packed_path
from models.checkpoints import weight_shapes

MODULES = "modules.json"  # of a folder of sentence-transformers
_OURS = "sentence_transformers."
_ENCODER = "SentenceTransformer"  # as the library calls what gives one vector for a text
# What a plain Hugging Face model is that has learned something else than to give vectors.
_OTHERS = {
    "ForCausalLM": "a language model",
    "ForSequenceClassification": "a classifier, as reward models and cross-encoders are",
}


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
    return packed_path(field, name, MODULES)


def check_encoder(field: str, name: str, trusted: bool) -> Path:
    """The folder of an encoder whose weights are safetensors and whose parts are the library's.

    Raises:
        InputError: pickled weights, damaged JSON, code that the recipe does not trust, or a model
            that gives no vectors: a language model, a classifier.
    """
    folder = encoder_path(field, name)
    _check_gives_vectors(field, name, folder)
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


def check_dimensions(field: str, folder: Path, wanted: tuple[int, ...]) -> None:
    """InputError for cuts to more dimensions than the encoder's vectors have, as far as its files
    tell."""
    whole = width(folder, field) if wanted else None
    if whole and max(wanted) > whole:
        raise InputError(
            f"evaluate.dimensions: {max(wanted)} is more than the {whole} that the vectors of "
            f"'{folder}' ({field}) have; name numbers up to that"
        )


def width(folder: Path, field: str) -> int | None:
    """Dimensions of an encoder's vectors by its configuration; None: it does not tell.

    Raises InputError for damaged JSON.
    """
    if not (folder / MODULES).is_file():
        return _whole(_config(folder, field).get("hidden_size"))
    found: int | None = None
    for part in _json(folder / MODULES, field, list):
        path = folder / str(part.get("path", ""))
        kind, config = str(part.get("type")).rpartition(".")[2], _config(path, field)
        if kind == "Transformer":
            found = _whole(config.get("hidden_size"))
        elif kind == "Pooling":
            found = _pooled(config)
        elif kind == "Dense":
            found = _whole(config.get("out_features"))
        elif kind == "StaticEmbedding":
            shapes = weight_shapes(path, field)
            found = shapes.get("embedding.weight", shapes.get("embeddings", (0, None)))[1]
        elif kind not in ("Normalize", "Dropout", "LayerNorm"):
            return None
    return found


def _pooled(config: dict[str, Any]) -> int | None:
    """A token's dimensions, once for every way of pooling; in today's names or earlier ones."""
    each = _whole(config.get("embedding_dimension", config.get("word_embedding_dimension")))
    modes = config.get("pooling_mode")
    if modes is None:
        ways = sum(value is True for name, value in config.items() if name.startswith("pooling_"))
    else:
        ways = len(modes) if isinstance(modes, list) else 1
    return each * ways if each and ways else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _config(folder: Path, field: str) -> dict[str, Any]:
    """The config.json in a folder; empty where there is none."""
    path = folder / "config.json"
    found: dict[str, Any] = _json(path, field, dict) if path.is_file() else {}
    return found


def _check_gives_vectors(field: str, name: str, folder: Path) -> None:
    """InputError for a model that has learned something else, as far as its files tell."""
    path = folder / "config_sentence_transformers.json"
    kind = _json(path, field, dict).get("model_type", _ENCODER) if path.is_file() else _ENCODER
    if kind != _ENCODER:
        raise InputError(
            f"{field}: '{name}' is a {kind} of sentence-transformers, which gives no vector for a "
            f"text; name a {_ENCODER}"
        )
    if (folder / MODULES).is_file():
        return
    listed = _config(folder, field).get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    for ending, what in _OTHERS.items():
        if architecture.endswith(ending):
            raise InputError(
                f"{field}: '{name}' is a {architecture}, {what}, and no text encoder; name one, or "
                "save the model with sentence-transformers and its pooling if its vectors are meant"
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
