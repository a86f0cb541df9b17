"""The one way weights become a model: every tensor of the architecture is in the files, and finite.

transformers only warns of tensors that are missing and makes them up at random, each load others;
it puts an adapter that lies beside the weights on them without a word. Preflight asks the same of
the files' headers, by building the architecture without memory (on torch's meta device).
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    DynamicCache,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin
from transformers.quantizers import AutoHfQuantizer
from transformers.utils import GENERATION_CONFIG_NAME

from data.errors import InputError
from models.checkpoints import check_no_adapter, is_causal, weight_shapes
from models.finite import COMPUTED, check_finite, is_finite
from models.silence import quiet

Shapes = Mapping[str, tuple[int, ...]]
# Who loads a model: transformers, to sample from it, to read texts only or to give it a new head
# for that, or another engine alone.
Use = Literal["sample", "read", "head", "serve"]

_NUMBERED = re.compile(r"(.*?)\.(\d+)\.")  # the list of layers a tensor belongs to, and its number

# Factors and offsets of quantised weights: without them the weights are others.
_SCALES = {"weight_scale", "weight_scale_inv", "input_scale", "scales", "weight_zero_point", "SCB"}
# What a step of the engine transformers hands to a model.
_STEP = {"input_ids", "attention_mask", "position_ids", "past_key_values", "logits_to_keep"}


def load_policy(
    model_dir: Path, dtype: torch.dtype, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A causal language model on the CPU, its weights whole and finite. Raises InputError."""
    return _loaded(AutoModelForCausalLM, model_dir, dtype, trust_remote_code)


def load_policy_in_4_bits(
    model_dir: Path, dtype: torch.dtype, device: torch.device, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A causal language model on `device`, its linear layers in 4 bits as QLoRA has them (Dettmers
    et al. 2023): NF4, its factors quantised too, computing in `dtype`. Raises InputError."""
    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    onto = {"quantization_config": bits, "device_map": {"": device}}
    return _loaded(AutoModelForCausalLM, model_dir, dtype, trust_remote_code, **onto)


def load_reward_model(
    model_dir: Path, dtype: torch.dtype, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A sequence classifier on the CPU, its weights whole and finite. Raises InputError."""
    return _loaded(AutoModelForSequenceClassification, model_dir, dtype, trust_remote_code)


def load_with_new_head(model_dir: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A model's backbone below a head of one label that is new: random, from torch's seed."""
    return _loaded(AutoModelForSequenceClassification, model_dir, dtype, False, num_labels=1)


def load_image_model(model_dir: Path, dtype: torch.dtype, kind: Any = AutoModel) -> PreTrainedModel:
    """A model that sees images on the CPU, its weights whole and finite. Raises InputError."""
    return _loaded(kind, model_dir, dtype, False)


@quiet()
def _loaded(
    kind: Any, model_dir: Path, dtype: torch.dtype, trust_remote_code: bool, **more: Any
) -> PreTrainedModel:
    check_no_adapter(model_dir)
    try:
        model, found = kind.from_pretrained(
            str(model_dir),
            use_safetensors=True,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            ignore_mismatched_sizes=True,  # refused below, in one line
            output_loading_info=True,
            **more,
        )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"transformers cannot load '{model_dir}': {_one_line(error)}; "
            "use a supported architecture, or save the model again"
        ) from error
    if "num_labels" in more:
        found["missing_keys"] = _of_backbone(found["missing_keys"], model)
    refuse_other_weights(found, model, model_dir)
    for name, parameter in model.named_parameters():
        if not is_finite(parameter):
            raise InputError(
                f"'{model_dir}': {name} holds a NaN or an infinity as {dtype}; "
                "copy or save the model again, or try runtime.dtype float32"
            )
    _hold(model)
    loaded: PreTrainedModel = model
    return loaded


def _of_backbone(names: Iterable[str], model: PreTrainedModel) -> list[str]:
    """The tensors below the head; a pooler is part of that where a model has none of its own."""
    inside = f"{model.base_model_prefix}."
    return [name for name in names if name.startswith(inside) and ".pooler." not in name]


def _hold(model: PreTrainedModel) -> None:
    """Take the model's numbers out of the files, which transformers maps and may leave mapped.

    Who then writes over a file would change the model, and who cuts it would end this process.
    """
    for tensor in chain(model.parameters(), model.buffers()):
        if type(tensor.data) is torch.Tensor and tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def once_for_a_folder(check: Callable[..., None]) -> Callable[..., None]:
    """`check(model_dir, field, ...)` is not made again in this process while the files stay."""
    passed = set()

    @wraps(check)
    def checked(model_dir: Path, field: str, *args: Any) -> None:
        key = (str(model_dir), args, *_file_states(model_dir))
        if key not in passed:
            check(model_dir, field, *args)
            passed.add(key)

    return checked


def _file_states(model_dir: Path) -> list[tuple[str, int, int, int, int]]:
    files = [path for path in sorted(Path(model_dir).iterdir()) if path.exists()]
    stats = [(path.name, path.stat()) for path in files]
    return [(n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for n, s in stats]


@once_for_a_folder
@quiet()
def check_weights(
    model_dir: Path, field: str, trust_remote_code: bool, use: Use, dtype: str = "float32"
) -> None:
    """InputError unless the files hold every tensor of the architecture, finite as `dtype`, the
    type that it is computed with; nothing is run.

    A model with code of its own, where that may run, and one of quantised weights are compared
    with their files when they are loaded.
    """
    shapes = weight_shapes(model_dir, field)
    unread: set[str] = set()
    _check_generation_config(model_dir, field)
    try:
        config = AutoConfig.from_pretrained(str(model_dir), trust_remote_code=trust_remote_code)
        quantised = getattr(config, "quantization_config", None)
        if quantised and use != "serve":
            AutoHfQuantizer.from_config(quantised, pre_quantized=True).validate_environment(
                device_map=None
            )
        own_code = trust_remote_code and bool(getattr(config, "auto_map", None))
        if not own_code and not quantised:
            if use == "head":
                config.num_labels = 1
            causal = use != "head" and is_causal(model_dir, field)
            model, found = _without_memory(config, shapes, causal)
            if use == "head":
                found["missing_keys"] = _of_backbone(found["missing_keys"], model)
            refuse_other_weights(found, model, model_dir, field)
            unread = set(found["unexpected_keys"])
            if use == "sample":
                check_samples(model, model_dir, field)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{field}: transformers cannot build the architecture of '{model_dir}': "
            f"{_one_line(error)}; correct its JSON files, or use a supported architecture"
        ) from error
    check_finite(model_dir, field, unread, None if quantised else getattr(torch, dtype))


def _check_generation_config(model_dir: Path, field: str) -> None:
    """InputError for a generation_config.json, if there is one, that transformers refuses."""
    path = Path(model_dir) / GENERATION_CONFIG_NAME
    if not path.is_file():
        return
    try:
        GenerationConfig.from_pretrained(str(model_dir))
    except Exception as error:
        raise InputError(
            f"{field}: transformers refuses '{path}': {_one_line(error)}; correct that field, or "
            "remove the file if the model does not need it"
        ) from error


def _without_memory(
    config: Any, shapes: Shapes, causal: bool
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The architecture on the meta device, and what transformers says of loading such files."""
    auto = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    with torch.device("meta"):
        plan = auto.from_config(config, trust_remote_code=False)
        weights = {name: torch.empty(shape) for name, shape in shapes.items()}
    model, found = type(plan).from_pretrained(
        None,
        config=plan.config,
        state_dict=weights,
        device_map={"": "meta"},
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    return model, found


def refuse_other_weights(
    found: dict[str, Any], model: PreTrainedModel, model_dir: Path, field: str = ""
) -> None:
    """InputError unless files and architecture agree; `found` is transformers' loading info.

    Weights that the architecture does not read are refused where they belong to its layers or
    modules: it is another architecture then. Those of other heads are not: they are of no use here.
    """
    where = f"{field}: '{model_dir}'" if field else f"'{model_dir}'"
    kind = type(model).__name__
    held = weight_shapes(model_dir, field or "model")
    for name in sorted(found["missing_keys"]):
        other = next((n for n in held if n.endswith(f".{name}")), None)
        beside = f" (it has {other})" if other else ""
        raise InputError(
            f"{where} lacks the tensor {name} of a {kind}{beside}, which would be made up at "
            "random; save the whole model, with the config.json that goes with its weights"
        )
    for name, in_file, in_model in sorted(found["mismatched_keys"]):
        raise InputError(
            f"{where}: the tensor {name} has shape {tuple(in_file)}, a {kind} of its config.json "
            f"has {tuple(in_model)}; save configuration and weights together"
        )
    for message in found["error_msgs"]:
        raise InputError(f"{where}: {message}; save the model again")
    if getattr(model, "hf_quantizer", None) is not None:  # its tensors have names of their own
        return
    expected = set(model.state_dict())
    for name in sorted(found["unexpected_keys"]):
        if belongs(name, held.get(name, ()), expected, model):
            raise InputError(
                f"{where} holds the tensor {name}, which a {kind} of its config.json does not "
                "read; save configuration and weights together"
            )


def belongs(name: str, shape: tuple[int, ...], expected: set[str], model: PreTrainedModel) -> bool:
    """Whether an unread tensor is of a layer or module that the architecture has.

    A layer too many, a bias or a norm that the configuration leaves out; not a pooler, another
    head, a buffer or a layer that predicts further tokens.
    """
    module, _, last = name.rpartition(".")
    if last in _SCALES:
        return True
    if last in COMPUTED or (last == "bias" and len(shape) > 2) or shape in ((), (1,)):
        return False
    prefixes = ("", f"{model.base_model_prefix}.")
    if any(f"{prefix}{module}.{own}" in expected for prefix in prefixes for own in _own(last)):
        return True
    numbered = _NUMBERED.match(name)
    if not numbered:
        return False
    text = model.config.get_text_config()
    extra = getattr(text, "num_nextn_predict_layers", None)
    if extra and int(numbered[2]) >= text.num_hidden_layers:
        return False
    lists = {found[1] for found in map(_NUMBERED.match, expected) if found}
    return any(f"{prefix}{numbered[1]}" in lists for prefix in prefixes)


def _own(last: str) -> set[str]:
    return {"weight", "bias"} - {last}


def check_samples(model: PreTrainedModel, model_dir: Path, field: str = "model") -> None:
    """InputError unless the engine transformers can sample from it, as it also does to check vLLM.

    A recurrent state can neither be repeated for the samples of a prompt nor padded on the left.
    """
    lacking = sorted(_STEP - inspect.signature(model.forward).parameters.keys())
    if model._is_stateful or not _plain_cache(model):
        reason = "keeps more than keys and values of attention from token to token"
    elif lacking:
        reason = f"takes no {lacking[0]}"
    else:
        return
    raise InputError(
        f"{field}: '{model_dir}' is a {type(model).__name__}, which {reason}: the engine "
        "transformers, which also checks what other engines serve, cannot sample from it; "
        "name another architecture"
    )


def _plain_cache(model: PreTrainedModel) -> bool:
    try:
        layers = DynamicCache(config=model.config).layers
    except (KeyError, AttributeError, TypeError):  # a kind of layer that has no cache class
        return False
    return all(
        isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)
        for layer in layers
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:250]}"
