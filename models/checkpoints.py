"""What a model directory holds, read from its config and file headers without loading weights."""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from data.digests import digest_of, file_digest
from data.errors import InputError

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_EMBEDDINGS = ("embed_tokens", "word_embeddings", "wte", "embed_in", "tok_embeddings", "shared")
_INDEX = "model.safetensors.index.json"


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model directory (not those of an adapter beside the model)."""
    return [f for f in sorted(Path(model_dir).glob("*.safetensors")) if "adapter" not in f.name]


def weight_shapes(model_dir: Path, field: str = "model") -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by name, from the file headers.

    Raises:
        InputError: no safetensors file, a damaged one, or one of the index is missing; `field`
            names it in the recipe.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    files = weight_files(model_dir)
    if not files:
        pickled = sorted(f.name for f in Path(model_dir).glob("*.bin"))
        remedy = (
            f"{pickled[0]} is pickled and can run code when loaded; convert it to safetensors "
            "with save_pretrained"
            if pickled
            else "save the model as safetensors"
        )
        raise InputError(f"{field}: '{model_dir}' has no .safetensors file; {remedy}")
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    shapes[name] = tuple(tensors.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{field}: '{file}' is damaged ({error}); copy or save the model again"
            ) from error
    index = Path(model_dir) / _INDEX
    if index.is_file():
        for name, part in read_json(index, field).get("weight_map", {}).items():
            if name not in shapes:
                raise InputError(
                    f"{field}: '{index}' lists {name}, which is not in the files; "
                    f"copy {part} or the whole model again"
                )
    return shapes


def read_json(path: Path, field: str = "model") -> dict[str, Any]:
    """The JSON object in a file of a model directory. Raises InputError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{field}: '{path.parent}' has no readable {path.name}; name a Hugging Face directory"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{field}: '{path}' is not a JSON object; copy or save the model again")
    return content


def read_config(model_dir: Path, field: str = "model") -> dict[str, Any]:
    """config.json with the text model's settings of a multi-modal one on top. Raises InputError."""
    config = read_json(Path(model_dir) / "config.json", field)
    return config | (config.get("text_config") or {})


def check_policy(model_dir: Path, field: str = "policy.model") -> None:
    """InputError unless it is a causal language model whose weights are there."""
    config = read_json(Path(model_dir) / "config.json", field)
    architecture = _architecture(config)
    # A model with code of its own may call its classes anything.
    if config.get("is_encoder_decoder") or not (
        architecture.endswith(_CAUSAL) or "auto_map" in config
    ):
        raise InputError(
            f"{field}: '{model_dir}' is a {architecture}, not a causal language model; "
            "name a model that generates text"
        )
    check_embeddings(model_dir, field)


def is_causal(model_dir: Path, field: str = "model") -> bool:
    """Whether it is a causal language model by its name. Raises InputError without config.json."""
    return _architecture(read_json(Path(model_dir) / "config.json", field)).endswith(_CAUSAL)


def check_reward_model(model_dir: Path, field: str = "model") -> None:
    """InputError unless the model has one label and its head's weights, read without loading it.

    A model without head weights would be given a random head and score at random.
    """
    config = read_json(Path(model_dir) / "config.json", field)
    architecture = _architecture(config)
    if not (architecture.endswith("ForSequenceClassification") or "auto_map" in config):
        raise InputError(
            f"{field}: '{model_dir}' is a {architecture}, not a reward model; "
            "name a sequence classifier with one label"
        )
    labels = len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)
    if labels != 1:
        raise InputError(
            f"{field}: '{model_dir}' ({architecture}) has {labels} labels, a reward model has one; "
            "train it with num_labels=1"
        )
    if not any(_is_head(name, shape) for name, shape in weight_shapes(model_dir, field).items()):
        raise InputError(
            f"{field}: '{model_dir}' has no classification head (score or classifier) in its "
            "weights; save the head with the model"
        )
    check_embeddings(model_dir, field)


def check_embeddings(model_dir: Path, field: str) -> None:
    """InputError unless the embeddings have as many rows as config.json has words."""
    words = read_config(model_dir, field).get("vocab_size")
    rows = embedding_rows(weight_shapes(model_dir, field))
    if words and rows and words != rows:
        raise InputError(
            f"{field}: '{model_dir}' has a vocab_size of {words} and embeddings for "
            f"{rows} tokens; save configuration and weights together"
        )


def embedding_rows(shapes: dict[str, tuple[int, ...]]) -> int | None:
    """Tokens that the model has embeddings for; None where no tensor has a known name."""
    names = tuple(f"{part}.weight" for part in _EMBEDDINGS)
    return max((shape[0] for name, shape in shapes.items() if name.endswith(names)), default=None)


def check_targets(model_dir: Path, targets: str | list[str], field: str) -> None:
    """InputError unless the adapter's `target_modules` name modules of the model, as PEFT would."""
    modules = {name.rpartition(".")[0] for name in weight_shapes(model_dir, field)}
    try:
        found = targets == "all-linear" or any(
            re.fullmatch(targets, module)
            if isinstance(targets, str)
            else f".{module}".endswith(tuple(f".{target}" for target in targets))
            for module in modules
        )
    except re.error as error:
        raise InputError(f"{field}: {targets!r} is no regular expression ({error})") from None
    if not found:
        raise InputError(
            f"{field}: the model has no module {targets!r}; name modules of '{model_dir}', "
            "or use all-linear"
        )


def check_template_file(model_dir: Path, field: str) -> None:
    """InputError unless the tokenizer has a chat template, in a file of its own or among others."""
    folder = Path(model_dir)
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return
    path = folder / "tokenizer_config.json"
    if not (path.is_file() and read_json(path, field).get("chat_template")):
        raise InputError(f"{field}: the tokenizer has no chat template; set one and save it")


def context_length(model_dir: Path, field: str = "model") -> int | None:
    """Positions the model knows, with what its RoPE scaling adds; None where config.json is silent.

    Raises InputError for an unreadable config.json.
    """
    config = read_config(model_dir, field)
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return int(positions * (scaling.get("factor") or 1)) if positions else None


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


def _architecture(config: dict[str, Any]) -> str:
    return str((config.get("architectures") or ["model of no named architecture"])[0])


def _is_head(name: str, shape: tuple[int, ...]) -> bool:
    """One output row, under the name decoders (`score`) or encoders (`classifier`) give it."""
    names = {"score", "classifier", "classification_head"}
    return shape[:1] == (1,) and bool(names & set(name.split(".")))
