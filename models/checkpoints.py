"""What a model directory holds, read from its config and file headers without loading weights."""

import json
import re
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from data.errors import InputError
from data.store.digests import digest_of, file_digest
from models.config_fields import (
    POSITIONS,
    check_config,
    check_generation,
    check_tokenizer,
    scaled_positions,
)

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_EMBEDDINGS = ("embed_tokens", "word_embeddings", "wte", "embed_in", "tok_embeddings", "shared")
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
# Models whose positions begin after the padding token's row.
_OFFSET = {
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke",
    "markuplm", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
_NO_LIMIT = 10**9  # tokenizers write 1e30 where they know of no limit


def weight_files(model_dir: Path, field: str = "model") -> list[Path]:
    """The safetensors files that are loaded: one, or those of an index; others are not read.

    Raises InputError for an index that is damaged or names files elsewhere.
    """
    folder = Path(model_dir)
    if (folder / _WHOLE).is_file() or not (folder / _INDEX).is_file():
        return [folder / _WHOLE] if (folder / _WHOLE).is_file() else []
    parts = sorted(set(_weight_map(folder, field).values()))
    for part in parts:
        if Path(part).name != part or not part.endswith(".safetensors"):
            raise InputError(
                f"{field}: '{folder / _INDEX}' names the file {part!r}, which is none of this "
                "folder's; copy the whole model again"
            )
    return [folder / part for part in parts]


def _weight_map(folder: Path, field: str) -> dict[str, str]:
    """File names by tensor, as the index of a model in several files has them."""
    listed = read_json(folder / _INDEX, field).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(part, str) for part in listed.values()):
        raise InputError(
            f"{field}: '{folder / _INDEX}' has no weight_map of file names; copy the model again"
        )
    return listed


def weight_shapes(model_dir: Path, field: str = "model") -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by name, from the file headers.

    Raises:
        InputError: no safetensors file, a damaged one, or one of the index is missing; `field`
            names it in the recipe.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    files = weight_files(model_dir, field)
    if not files:
        others = sorted(f.name for f in Path(model_dir).glob("*.safetensors"))
        pickled = sorted(f.name for f in Path(model_dir).glob("*.bin"))
        remedy = (
            f"{pickled[0]} is pickled and can run code when loaded; convert it to safetensors "
            "with save_pretrained"
            if pickled
            else "save the model as safetensors"
        )
        beside = f" that transformers would load (it has {others[0]})" if others else ""
        raise InputError(f"{field}: '{model_dir}' has no .safetensors file{beside}; {remedy}")
    for file in files:
        if not file.is_file():
            raise InputError(
                f"{field}: '{model_dir}' lacks {file.name}, which its index names; "
                f"copy {file.name} or the whole model again"
            )
        try:
            with safe_open(file, framework="numpy", backend="pread") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    shapes[name] = tuple(tensors.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{field}: '{file}' is damaged ({error}); copy or save the model again"
            ) from error
    index = Path(model_dir) / _INDEX
    if index.is_file():
        for name, part in _weight_map(Path(model_dir), field).items():
            if name not in shapes:
                raise InputError(
                    f"{field}: '{index}' lists {name}, which is not in the files; "
                    f"copy {part} or the whole model again"
                )
    return shapes


def count_parameters(model_dir: Path, field: str = "model") -> int:
    """Of all tensors, from the file headers. Raises InputError, as `weight_shapes`."""
    return sum(map(prod, weight_shapes(model_dir, field).values()))


def parameter_words(parameters: int) -> str:
    """As people say it: 134.5 million."""
    millions = parameters / 1e6
    return f"{millions / 1e3:,.1f} billion" if millions >= 1e3 else f"{millions:,.1f} million"


def read_json(path: Path, field: str = "model") -> dict[str, Any]:
    """The JSON object in a file of a model directory. Raises InputError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what = "cannot be read" if isinstance(error, OSError) else "is no JSON"
        raise InputError(
            f"{field}: '{path.parent}' has no readable {path.name} ({path.name} {what}); "
            "copy or save the model again"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{field}: '{path}' is not a JSON object; copy or save the model again")
    return content


def read_config(model_dir: Path, field: str = "model") -> dict[str, Any]:
    """config.json with the text model's settings of a multi-modal one on top. Raises InputError."""
    config = own_config(model_dir, field)
    return config | (config.get("text_config") or {})


def own_config(model_dir: Path, field: str) -> dict[str, Any]:
    """config.json, its fields of the right kinds. Raises InputError."""
    path = Path(model_dir) / "config.json"
    config = read_json(path, field)
    check_config(config, path, field)
    return config


def check_side_files(model_dir: Path, field: str) -> None:
    """InputError for an adapter beside the weights, or a JSON file beside them of no use."""
    check_no_adapter(model_dir, field)
    checks = {"generation_config.json": check_generation, "tokenizer_config.json": check_tokenizer}
    for name, check in checks.items():
        path = Path(model_dir) / name
        if path.is_file():
            check(read_json(path, field), path, field)


def check_no_adapter(model_dir: Path, field: str = "model") -> None:
    """InputError for an adapter beside full weights: transformers would put it on in silence."""
    if (Path(model_dir) / "adapter_config.json").is_file():
        raise InputError(
            f"{field}: '{model_dir}' holds whole weights and an adapter; merge the adapter first, "
            "or remove adapter_config.json"
        )


def check_not_quantised(model_dir: Path, field: str) -> None:
    """InputError for weights in a quantised form, which no training can change."""
    method = quantisation(model_dir, field)
    if method:
        raise InputError(
            f"{field}: '{model_dir}' is quantised ({method}), and quantised weights cannot be "
            "trained; name the model it was made from"
        )


def quantisation(model_dir: Path, field: str = "model") -> str | None:
    """How the weights are quantised by config.json, e.g. "gptq"; None: they are not."""
    settings = read_config(model_dir, field).get("quantization_config")
    return str(settings.get("quant_method") or "unknown method") if settings else None


def check_policy(model_dir: Path, field: str = "policy.model") -> None:
    """InputError unless it is a causal language model whose weights are there."""
    config = own_config(model_dir, field)
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
    return _architecture(own_config(model_dir, field)).endswith(_CAUSAL)


def architecture(model_dir: Path, field: str = "model") -> str:
    """The name of its class, such as BertModel. Raises InputError without config.json."""
    return _architecture(own_config(model_dir, field))


def check_embeddings(model_dir: Path, field: str) -> None:
    """InputError unless the embeddings have as many rows as config.json has words.

    And unless there are tensors for all its layers, before an architecture of them is built.
    """
    config, shapes = read_config(model_dir, field), weight_shapes(model_dir, field)
    words, rows = config.get("vocab_size"), embedding_rows(shapes)
    if words and rows and words != rows:
        raise InputError(
            f"{field}: '{model_dir}' has a vocab_size of {words} and embeddings for "
            f"{rows} tokens; save configuration and weights together"
        )
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
    if layers > len(shapes) and config.get("model_type") != "albert":
        raise InputError(
            f"{field}: '{model_dir}' has {layers} layers by its config.json and {len(shapes)} "
            "tensors in its files; save configuration and weights together"
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


def has_template(model_dir: Path, field: str) -> bool:
    """Whether the tokenizer has a chat template, in a file of its own or among others."""
    folder = Path(model_dir)
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(read_json(path, field).get("chat_template"))


def check_template_file(model_dir: Path, field: str) -> None:
    """InputError unless the tokenizer has a chat template."""
    if not has_template(model_dir, field):
        other = ", or name one in policy.template (plain, chatml or a Jinja file)"
        raise InputError(
            f"{field}: the tokenizer has no chat template; set one and save it"
            + other * (field == "policy.model")
        )


def context_length(model_dir: Path, field: str = "model") -> int | None:
    """How many tokens a model reads at most; None where its files set no limit.

    Its positions with what RoPE scaling adds, less those that a RoBERTa-like model keeps for
    padding. Of a model that does not generate also its tokenizer's `model_max_length`, at which its
    training texts were cut; of one that does it is a note that its makers rarely keep true.

    Raises InputError for an unreadable config.json.
    """
    config = read_config(model_dir, field)
    positions = next((config[name] for name in POSITIONS if config.get(name)), None)
    limits = [_usable(config, positions)] if positions else []
    path = Path(model_dir) / "tokenizer_config.json"
    if path.is_file() and not is_causal(model_dir, field):
        longest = read_json(path, field).get("model_max_length")
        if isinstance(longest, int | float) and 0 < longest < _NO_LIMIT:
            limits.append(int(longest))
    return min(limits, default=None)


def position_padding(model_dir: Path, field: str = "model") -> int | None:
    """The padding id after which a RoBERTa-like model begins to count positions; else None."""
    config = read_config(model_dir, field)
    if config.get("model_type") not in _OFFSET or config.get("model_type") == "mpnet":
        return None
    padding = config.get("pad_token_id", 1)
    return padding if isinstance(padding, int) else None


def _usable(config: dict[str, Any], positions: int) -> int:
    kind = config.get("model_type")
    if kind not in _OFFSET or (kind == "esm" and config.get("position_embedding_type") == "rotary"):
        return scaled_positions(config, positions)
    padding = 1 if kind == "mpnet" else config.get("pad_token_id", 1)
    return max(1, positions - (padding or 0) - 1)


def readable_length(model_dir: Path, max_length: int, field: str = "model") -> int:
    """`max_length`, or less where the model reads fewer tokens."""
    return min(max_length, context_length(model_dir, field) or max_length)


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
