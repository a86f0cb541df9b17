"""What `runtime.train` asks for: a configuration of accelerate, and whether it can be used here.

A configuration says how processes share a training and nothing about what is trained: a file that
would change the result is refused, so that none is in a key. Loads no torch.
"""

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from data.errors import InputError
from data.recipes.recipe import LaunchConfig, RuntimeConfig
from models import devices

SHIPPED = ("ddp", "fsdp", "zero3")
# Of a configuration, by its distributed_type: whether each process holds the whole model.
_KINDS = {"MULTI_GPU": True, "FSDP": False, "DEEPSPEED": False}
_PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_CLIPPING = 1.0  # transformers' max_grad_norm, which DeepSpeed takes from its own settings


def config_path(train: LaunchConfig) -> Path:
    """The file of accelerate that is used."""
    name = train.config or "ddp"
    return Path(__file__).parent / "configs" / f"{name}.yaml" if name in SHIPPED else Path(name)


def precision(runtime: RuntimeConfig) -> str:
    """How accelerate calls the runtime's type."""
    return _PRECISIONS[devices.dtype(runtime)]


def is_sharded(train: LaunchConfig) -> bool:
    """Whether each process holds a part of the model only."""
    return not _KINDS[_read(config_path(train))["distributed_type"]]


def launch_notes(runtime: RuntimeConfig) -> list[str]:
    """What is worth knowing of a configuration that can be used."""
    train = runtime.train
    with suppress(InputError):  # which `check_launch` raises
        if is_sharded(train):
            return [
                f"runtime.train.config: {train.config} writes no checkpoints; a training that is "
                "killed starts again"
            ]
    return []


def check_qlora(section: Any, runtime: RuntimeConfig) -> None:
    """InputError unless this machine can train a section whose method is qlora, if it is one."""
    if getattr(section, "method", None) != "qlora":
        return
    if devices.device(runtime) != "cuda":
        raise InputError(
            "policy.method: qlora holds weights in 4 bits on an NVIDIA GPU, and none is used here; "
            "use lora"
        )
    if find_spec("bitsandbytes") is None:
        raise InputError(
            "policy.method: qlora needs bitsandbytes; `pip install bitsandbytes`, or use lora"
        )
    if is_sharded(runtime.train):
        raise InputError(
            f"policy.method: qlora holds the whole policy on each GPU, and {runtime.train.config} "
            "divides it; use runtime.train.config ddp"
        )


def check_launch(runtime: RuntimeConfig) -> None:
    """InputError unless this machine can train as `runtime.train` asks."""
    train, on_cuda = runtime.train, devices.device(runtime) == "cuda"
    if train.here:
        return
    field = "runtime.train.config"
    there = len(devices.usable_gpus())
    if on_cuda and train.processes > there:
        raise InputError(
            f"runtime.train.processes: {train.processes} asked for, one to a GPU, and this machine "
            f"has {there}; lower it"
        )
    values = _read(config_path(train))
    kind = values["distributed_type"]
    if not on_cuda and not _KINDS[kind]:
        raise InputError(f"{field}: {train.config} divides models among NVIDIA GPUs; use 'ddp'")
    if kind == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise InputError(f"{field}: deepspeed is not installed; `pip install deepspeed`, or 'fsdp'")
    wanted: dict[str, Any] = {
        "num_processes": train.processes,
        "num_machines": 1,
        "mixed_precision": precision(runtime),
        "fsdp_config.fsdp_version": 2,
        "fp8_config": {},
        "dynamo_config": {},
        "deepspeed_config.gradient_accumulation_steps": 1,
        "deepspeed_config.gradient_clipping": _CLIPPING,
        "deepspeed_config.deepspeed_config_file": None,
    }
    for name, value in wanted.items():
        found = _at(values, name, value)
        if found != value:
            raise InputError(
                f"{field}: {train.config} sets {name} to {found!r}, which is decided by the "
                f"recipe; make it {value!r}, or leave it out"
            )
    if kind == "DEEPSPEED" and _at(values, "deepspeed_config.gradient_clipping", None) is None:
        raise InputError(f"{field}: {train.config} lacks gradient_clipping; add it: 1.0")


def _at(values: Mapping[str, Any], name: str, missing: Any) -> Any:
    """A value by its dotted name."""
    section, _, key = name.rpartition(".")
    found = values.get(section) if section else values
    return found.get(key, missing) if isinstance(found, Mapping) else missing


def _read(path: Path) -> dict[str, Any]:
    """The values of a file of accelerate. Raises InputError."""
    field = "runtime.train.config"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(SHIPPED)
        raise InputError(
            f"{field}: '{path}' cannot be read ({error.strerror}); name {known} or a file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{field}: '{path}' is no YAML; see `accelerate config`") from error
    kind = values.get("distributed_type") if isinstance(values, dict) else None
    if kind not in _KINDS:
        raise InputError(
            f"{field}: '{path}' has the distributed_type {kind!r}; {', '.join(_KINDS)} can be used"
        )
    return dict(values)
