"""The JSON files beside a model's weights: fields of the wrong kind are named, not tracebacks.

Read without transformers. Only what this project or the construction of a model relies on is here;
what else transformers refuses is said when it builds the architecture (models.loading).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError


class _Kind(NamedTuple):
    says: str
    holds: Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_SIZE = _Kind("a number above 0", lambda value: _whole(value) and value > 0)
_MAYBE_SIZE = _Kind("a number above 0 or null", lambda v: v is None or (_whole(v) and v > 0))
_ID = _Kind("a token id or null", lambda v: v is None or (_whole(v) and v >= -1))
_IDS = _Kind(
    "a token id, a list of them or null",
    lambda v: v is None or _whole(v) or (isinstance(v, list) and all(map(_whole, v))),
)
_OBJECT = _Kind("an object or null", lambda v: v is None or isinstance(v, dict))
_TEXT = _Kind("text", lambda v: isinstance(v, str))
_DTYPE = _Kind("the name of a dtype or null", lambda v: v is None or isinstance(v, str | dict))
_NAMES = _Kind("a list of names or null", lambda v: v is None or _texts(v))
_SWITCH = _Kind("true, false or null", lambda v: v is None or isinstance(v, bool))
_NUMBER = _Kind(
    "a number or null",
    lambda v: v is None or (isinstance(v, int | float) and not isinstance(v, bool)),
)

# Names of how many positions a model knows, of the first that is there.
POSITIONS = (
    "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length",
)  # fmt: skip
_CONFIG = {
    **dict.fromkeys(
        ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "n_embd",
         "n_layer", "n_head", "num_labels"),
        _SIZE,
    ),
    **dict.fromkeys(POSITIONS, _MAYBE_SIZE),
    **dict.fromkeys(("pad_token_id",), _ID),
    **dict.fromkeys(("eos_token_id", "bos_token_id"), _IDS),
    **dict.fromkeys(
        ("id2label", "label2id", "rope_scaling", "rope_parameters", "text_config", "auto_map",
         "quantization_config"),
        _OBJECT,
    ),
    "model_type": _TEXT,
    "architectures": _NAMES,
    **dict.fromkeys(("dtype", "torch_dtype"), _DTYPE),
    **dict.fromkeys(("tie_word_embeddings", "is_encoder_decoder", "is_decoder"), _SWITCH),
}  # fmt: skip
_GENERATION = {
    **dict.fromkeys(("eos_token_id", "bos_token_id"), _IDS),
    "pad_token_id": _ID,
    **dict.fromkeys(("temperature", "top_p", "top_k", "repetition_penalty"), _NUMBER),
    "do_sample": _SWITCH,
}


def check_config(config: dict[str, Any], path: Path, field: str) -> None:
    """InputError for a field of config.json, or of the text model's part, of a wrong kind."""
    _check(config, _CONFIG, path, field)
    if config.get("text_config"):
        _check(config["text_config"], _CONFIG, path, field)


def check_tokenizer(config: dict[str, Any], path: Path, field: str) -> None:
    """InputError for a field of tokenizer_config.json of a wrong kind."""
    _check(config, {"model_max_length": _NUMBER}, path, field)


def check_generation(config: dict[str, Any], path: Path, field: str) -> None:
    """InputError for a field of generation_config.json of a wrong kind."""
    _check(config, _GENERATION, path, field)


def rope_sections(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The RoPE settings of config.json: one, or one of each kind of layer."""
    settings = config.get("rope_parameters") or config.get("rope_scaling") or {}
    parts = [part for part in settings.values() if isinstance(part, dict)]
    return parts or [settings]


def scaled_positions(config: dict[str, Any], positions: int) -> int:
    """Positions with what RoPE scaling adds to those that config.json names.

    yarn extends the original positions; llama3, longrope and Gemma 3 name the extended ones.
    """
    longest = positions
    for rope in rope_sections(config):
        kind = rope.get("rope_type") or rope.get("type") or "default"
        factor = rope.get("factor") or 1
        if not isinstance(factor, int | float):
            continue
        original = rope.get("original_max_position_embeddings")
        original = original or config.get("original_max_position_embeddings") or positions
        if kind in ("linear", "dynamic", "ntk") and "gemma3" not in str(config.get("model_type")):
            longest = max(longest, int(positions * factor))
        elif kind == "yarn" and isinstance(original, int):
            longest = max(longest, int(original * factor))
    return longest


def _check(values: dict[str, Any], kinds: dict[str, _Kind], path: Path, field: str) -> None:
    for name, kind in kinds.items():
        if name in values and not kind.holds(values[name]):
            raise InputError(
                f"{field}: '{path}' has {name}: {str(values[name])[:60]!r}, which must be "
                f"{kind.says}; correct it, or copy the model again"
            )
