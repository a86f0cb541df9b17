"""What makes the key of a stage: its arguments by content, and what else decides its result."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from data.errors import InputError
from data.recipes.recipe import Config, RuntimeConfig, TrainConfig
from data.source_code import PROJECT, code_digest
from data.store.artifacts import Artifact
from models import traits
from tasks.running.outside import Code, External

TRAINING = ("torch", "transformers", "trl", "peft", "accelerate")
SCORING = ("torch", "transformers")
ENCODING = ("torch", "transformers", "accelerate", "sentence-transformers")
SEEING = ("torch", "transformers", "accelerate", "pillow")
QLORA, BITSANDBYTES = "qlora", "bitsandbytes"  # a method of training, and whose 4 bits it uses


def of_runtime(inputs: Iterable[Any], runtime: RuntimeConfig) -> dict[str, Any]:
    """Settings of the runtime that decide this result, where most change speed alone."""
    inputs = list(inputs)
    key: dict[str, Any] = {}
    if runtime.trust_remote_code and traits.CODE in asked_for(inputs):
        key["trust_remote_code"] = True
    if any(_drops_out(value) for value in inputs):
        if runtime.train_micro_batch:
            key["train_micro_batch"] = runtime.train_micro_batch
        if runtime.train.processes > 1:
            key["processes"] = runtime.train.processes
    if any(QLORA in (value, getattr(value, "method", None)) for value in inputs):
        key |= library_versions((BITSANDBYTES,))
    return key


def _drops_out(value: Any) -> bool:
    """Whether a training draws at random which units of an adapter it uses, part by part and in
    each process for itself."""
    adapter = getattr(value, "adapter", None) if isinstance(value, TrainConfig) else None
    return adapter is not None and adapter.dropout > 0


@cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, without importing the libraries; "none": it is not installed."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # of an extra, which preflight asks for
        return "none"


def key_value(value: Any) -> Any:
    """How an argument of a stage enters its key.

    Raises:
        TypeError: for anything that is not an artifact, a model, a configuration or plain JSON.
    """
    if isinstance(value, Artifact):
        return value.digest
    if isinstance(value, External):
        return value.identity
    if isinstance(value, Config):
        return dict(_said(value))
    if isinstance(value, list | tuple):
        return [key_value(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a stage cannot take a {type(value).__name__}: it has no place in a key")


def _said(config: Config) -> Iterator[tuple[str, Any]]:
    """The settings that are not as they are by default, and names that tell classes apart.

    So a new setting, whose default is what was done before, leaves keys as they are. Whoever
    changes a default bumps the versions of the stages that read it.
    """
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        given = vars(config)  # what a default may follow from
        default = field.get_default(call_default_factory=True, validated_data=given)
        kind = field.annotation
        names_class = get_origin(kind) is Literal and len(get_args(kind)) == 1
        if name not in config.not_in_key and (names_class or value != default):
            yield name, key_value(value)


def asked_for(inputs: Any) -> set[str]:
    """What the models among a stage's arguments ask for; see models.traits."""
    if isinstance(inputs, Artifact):
        return set(inputs.meta.get("asks", ()))
    if isinstance(inputs, list | tuple):
        return set().union(*map(asked_for, inputs))
    return set(inputs.asks) if isinstance(inputs, External) else set()


def own_code(body: Callable[..., Any]) -> tuple[Code, ...]:
    """The user's file that defines a stage; nothing for this project's, which have versions.

    Raises:
        InputError: it is defined in no file.
    """
    path = Path(body.__code__.co_filename)
    if (body.__module__ or "").split(".")[0] in PROJECT:
        return ()
    if not path.is_file():
        raise InputError(
            f"stage {body.__name__}: is defined in no file, and its code is part of its key; write "
            "it into one"
        )
    return (Code(path=str(path), digest=code_digest(path), field="labels"),)
