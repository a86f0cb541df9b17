"""Values of a recipe from a YAML file and `--set`, and pydantic's errors as a user can act on them.

Which class they are values of `flows.table` knows.
"""

import difflib
import reprlib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from data.errors import InputError, InputErrors
from data.recipes.recipe import RunRecipe
from data.recipes.yaml_reading import parse_yaml, read_yaml
from data.store.digests import digest_of

# What names a run and what only affects speed: neither changes a result.
_NOT_DIGESTED = {"run", "runtime", "execution"}
_FOLLOW = {"default_factory_not_called"}  # from another problem, which is told
_MOST_LINES = 10
# What TRL, PEFT, vLLM and transformers call things: our names beside it, or in full.
_OF_OTHERS = {
    "lr": ("learning_rate",),
    "lr_scheduler_type": ("scheduler",),
    "num_train_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "per_device_train_batch_size": ("batch_size", "runtime.train_micro_batch"),
    "gradient_accumulation_steps": ("runtime.train_micro_batch",),
    "lora_r": ("adapter.r",),
    "lora_alpha": ("adapter.alpha",),
    "loss_type": ("losses", "loss.name"),
    "model_name_or_path": ("model",),
    "n": ("k",),
    "num_samples": ("k",),
    "num_generations": ("k",),
    "num_return_sequences": ("k",),
    "temp": ("temperature",),
    "max_new_tokens": ("max_tokens", "generate.max_tokens"),
    "max_completion_length": ("max_tokens", "generate.max_tokens"),
    "max_prompt_length": ("prompts.max_tokens",),
    "tensor_parallel_size": ("parallel.tensor", "generate.parallel.tensor"),
    "pipeline_parallel_size": ("parallel.pipeline", "generate.parallel.pipeline"),
    "data_parallel_size": ("parallel.data", "generate.parallel.data"),
    "gpu_memory_utilization": ("runtime.gpu_memory",),
    "torch_dtype": ("runtime.dtype",),
    "dev_prompts": ("dev_size",),
    "test_prompts": ("test_size",),
}

Sources = dict[str, str]  # dotted key -> the option that set it


def read_values(
    path: Path,
    overrides: Sequence[str],
    run: str | None,
    meant: Callable[[dict[str, Any]], dict[str, Any]],
) -> tuple[dict[str, Any], Sources]:
    """The values of a YAML file with `a.b=value` overrides and, if given, another run name.

    `meant` gives the file's values with what it means by leaving some out, of which an override
    may change a part.

    Raises:
        InputError: with one line that names the file or override.
    """
    values: dict[str, Any] = meant(read_yaml(path))
    sources: Sources = {}
    for override in overrides:
        key, value = _parse_override(override)
        _assign(values, key, value)
        sources[key] = f"--set {override}"
    if run is not None:
        values["run"] = run
        sources["run"] = f"--run {run}"
    return values, sources


def config_digest(recipe: RunRecipe) -> str:
    """Digest of everything in a recipe that can change a result."""
    return digest_of(recipe.model_dump(mode="json", exclude=_NOT_DIGESTED))


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise InputError(f"--set {override}: must look like policy.beta=0.2")
    try:
        return key, parse_yaml(text)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: value is not YAML; quote it") from None


def _assign(values: dict, key: str, value: Any) -> None:
    """Set a dotted key, making the mappings on its way; raises InputError for unknown keys."""
    *parents, last = key.split(".")
    here = values
    for depth, name in enumerate(parents):
        if here.get(name) is None:
            here[name] = {}
        if not isinstance(here[name], dict):
            known = ".".join(parents[: depth + 1])
            raise InputError(f"--set {key}={value}: {known} holds a value and has no keys")
        here = here[name]
    here[last] = value


def explained(
    error: ValidationError,
    path: str,
    model: type[BaseModel],
    flow: str,
    sources: Mapping[str, str] = {},
    others: Mapping[str, type[BaseModel]] = {},
) -> InputError:
    """A line for every key that is wrong, unknown ones before wrong values.

    Args:
        model: What the values were to be, by the recipe's `flow`.
        others: What they would be in recipes of other flows.
    """
    lines: dict[str, str] = {}
    found = [one for one in error.errors() if one["type"] not in _FOLLOW]
    for problem in sorted(found, key=lambda e: e["type"] != "extra_forbidden"):
        unknown = problem["type"] == "extra_forbidden"
        location = list(_located(model, problem["loc"], unknown))
        key, said = ".".join(location), _rule(problem)
        if any(_within(key, told) for told in lines):  # of a union's members each says no
            continue
        source = next((text for name, text in sources.items() if key and _within(key, name)), path)
        if unknown:
            hint = _goes_with(model, location) or _has_it(others, model, key)
            hint = hint or _did_you_mean(model, location)
            lines[key] = f"{source}: unknown key {key!r} in a recipe of {flow}{hint}"
            continue
        named = "" if said.startswith((f"{key}.", f"{key}:")) else key
        lines[key] = ": ".join(filter(None, (source, named, said)))
    told = list(lines.values())
    if len(told) > _MOST_LINES:
        more = f" (and {len(told) - _MOST_LINES} more)"
        told = [*told[: _MOST_LINES - 1], told[_MOST_LINES - 1] + more]
    return InputErrors(*told) if len(told) > 1 else InputError(*told)


def _located(model: type[BaseModel], places: Sequence[int | str], unknown: bool) -> Iterator[str]:
    """The keys of a place, of which the last may be `unknown`.

    Pydantic puts the tried member of a union among them.
    """
    here: list[type[BaseModel]] = [model]
    chosen = True  # which member of a union it is
    for number, place in enumerate(places, start=1):
        last = number == len(places)
        fields = [one.model_fields[place] for one in here if place in one.model_fields]
        if unknown and last:
            pass
        elif isinstance(place, str) and not chosen and (tagged := _tagged(here, place)):
            here, chosen = tagged, True
            continue
        elif fields:
            here = [inner for field in fields for inner in sections(field.annotation)]
            chosen = len(here) < 2
        elif isinstance(place, str) and not last and here and here != [model]:
            continue  # a member that is told apart by a function
        elif isinstance(place, str) and _is_type(place):
            continue
        yield str(place)


def _tagged(members: Sequence[type[BaseModel]], tag: str) -> list[type[BaseModel]]:
    """The members of a union that this value of a field of theirs tells apart."""
    return [one for one in members if tag in dict(_tags(one)).values()]


def _tags(member: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Fields of a union's member that have a single value, and that."""
    for name, field in member.model_fields.items():
        values = typing.get_args(field.annotation)
        if typing.get_origin(field.annotation) is typing.Literal and len(values) == 1:
            yield name, values[0]


def _is_type(place: str) -> bool:
    return place in ("str", "int", "float") or "[" in place


def _within(key: str, set_key: str) -> bool:
    return key == set_key or key.startswith(set_key + ".") or set_key.startswith(key + ".")


def _rule(problem: Any) -> str:
    """What a value must be and what it was."""
    context = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in problem.get("ctx", {}).items()
    }
    got = f"got {_Shown().repr(problem['input'])}"
    limits = {
        "greater_than_equal": "must be at least {ge}",
        "greater_than": "must be greater than {gt}",
        "less_than_equal": "must be at most {le}",
        "multiple_of": "must be a multiple of {multiple_of}",
        "less_than": "must be less than {lt}",
        "literal_error": "must be one of {expected}",
        "string_pattern_mismatch": "must match {pattern}",
        "missing": "is required; add it",
        "invalid_key": "keys must be text (quote it)",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "string_type": "must be text (quote it)",
        "dict_type": "must be a mapping of keys to values",
        "model_type": "must be a mapping of keys to values",
        "model_attributes_type": "must be a mapping of keys to values",
        "list_type": "must be a list",
        "tuple_type": "must be a list",
        "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
        "union_tag_not_found": "must say its {discriminator}",
        "too_short": "must list at least {min_length}",
        "too_long": "must list at most {max_length}",
        "string_too_short": "must be a text of at least {min_length} signs",
        "string_too_long": "must be a text of at most {max_length} signs",
        "value_error": "{error}",
    }
    if context.get("min_length") == 1:
        limits |= {"too_short": "must list at least one", "string_too_short": "must not be empty"}
    rule = limits.get(problem["type"], problem["msg"]).format(**context)
    return rule if problem["type"] in ("missing", "value_error") else f"{rule}, {got}"


class _Shown(reprlib.Repr):
    """A value on one short line; a list that contains itself ends too."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxstring = 2, 3, 4, 60

    def repr_NoneType(self, value: None, level: int) -> str:
        return "nothing"

    def repr_tuple(self, value: tuple[Any, ...], level: int) -> str:
        return super().repr_list(list(value), level)  # as YAML has it

    def repr_bool(self, value: bool, level: int) -> str:
        return str(value).lower()


def _goes_with(model: type[BaseModel], location: Sequence[str]) -> str:
    """Of a key that another member of the same union has, which that is."""
    *parents, last = location
    here: list[type[BaseModel]] = [model]
    for name in (parent for parent in parents if not parent.isdigit()):
        fields = [one.model_fields[name] for one in here if name in one.model_fields]
        here = [inner for field in fields for inner in sections(field.annotation)]
    tags = [f"{k}: {v}" for one in here if last in one.model_fields for k, v in _tags(one)]
    return f" (it goes with {' or '.join(map(repr, tags))}; remove it here)" if tags else ""


def _has_it(others: Mapping[str, type[BaseModel]], model: type[BaseModel], key: str) -> str:
    """The other flows in whose recipes the key stands, so that no other key is taken for it."""
    known = {name: other for name, other in others.items() if other is not model}
    found = ", ".join(name for name, other in known.items() if key in dotted_keys(other))
    return f" (recipes of {found} have it; remove it here)" if found else ""


def _did_you_mean(model: type[BaseModel], location: list[str]) -> str:
    """The nearest name at that place, else further down in its section, else anywhere."""
    *parents, last = location
    last = last.partition(":")[0] or last  # {k:1} lacks the space that YAML wants
    known = list(dotted_keys(model))
    prefix = "".join(f"{parent}." for parent in parents)
    for name in _OF_OTHERS.get(last, ()):
        if here := next((key for key in (prefix + name, name) if key in known), None):
            return f" (here it is {here!r})"
    within = [key for key in known if key.startswith(prefix)]
    siblings = [key for key in within if "." not in key[len(prefix) :]]
    for keys, cutoff in ((siblings, 0.7), (within, 0.8), (known, 0.8)):
        deepest_first = sorted(reversed(keys), key=lambda key: -key.count("."))
        names = {key.rpartition(".")[2]: key for key in deepest_first}
        if near := difflib.get_close_matches(last, names, n=1, cutoff=cutoff):
            return f" (did you mean {names[near[0]]!r}?)"
    return ""


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, sections included: policy, policy.model, policy.beta, ..."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in sections(field.annotation):
            yield from dotted_keys(part, f"{prefix}{name}.")


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a field of this type may hold, in unions and lists too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from sections(inner)
