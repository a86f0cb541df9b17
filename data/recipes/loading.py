"""From a YAML file and `--set` overrides to a checked Recipe, with errors a user can act on."""

import difflib
import reprlib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from data.errors import InputError
from data.recipes.files import recipe_file
from data.recipes.recipe import Recipe
from data.recipes.yaml_reading import parse_yaml, read_yaml
from data.store.digests import digest_of

# What names a run and what only affects speed: neither changes a result.
_NOT_DIGESTED = {"run", "runtime"}


def load_recipe(path: str | Path, overrides: Sequence[str] = (), run: str | None = None) -> Recipe:
    """The recipe in a YAML file, with `a.b=value` overrides and, if given, another run name.

    A name without a suffix is looked for as `data.recipes.files` says. Types are strict: a number
    is not text, true is not 1. Raises InputError with one line that names the file or override, the
    dotted key and what is allowed.
    """
    path = recipe_file(path)
    values = read_yaml(path)
    sources: dict[str, str] = {}  # dotted key -> the override that set it
    for override in overrides:
        key, value = _parse_override(override)
        _assign(values, key, value)
        sources[key] = f"--set {override}"
    if run is not None:
        values["run"] = run
        sources["run"] = f"--run {run}"
    try:
        return Recipe.model_validate(values, strict=True)
    except ValidationError as error:
        raise InputError(explained(error, str(path), sources)) from None


def config_digest(recipe: Recipe) -> str:
    """Digest of everything in a recipe that can change a result (not `run`, not `runtime`)."""
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


def explained(error: ValidationError, path: str, sources: Mapping[str, str] = {}) -> str:
    """One line for the first problem, unknown keys before wrong values."""
    problems = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = problems[0]
    unknown = first["type"] == "extra_forbidden"
    location = [str(part) for part in first["loc"] if unknown or not _is_union_tag(part)]
    key = ".".join(location)
    source = next((text for name, text in sources.items() if key and _within(key, name)), path)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if unknown:
        return f"{source}: unknown key {key!r}{_did_you_mean(location)}{more}"
    return ": ".join(filter(None, (source, key, _rule(first)))) + more


def _within(key: str, set_key: str) -> bool:
    return key == set_key or key.startswith(set_key + ".") or set_key.startswith(key + ".")


def _is_union_tag(part: Any) -> bool:
    """Pydantic puts the tried member of a union (`str`, `list[str]`) into the location."""
    return isinstance(part, str) and (part in ("str", "int", "float") or "[" in part)


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
        "list_type": "must be a list",
        "value_error": "{error}",
    }
    rule = limits.get(problem["type"], problem["msg"]).format(**context)
    return rule if problem["type"] in ("missing", "value_error") else f"{rule}, {got}"


class _Shown(reprlib.Repr):
    """A value on one short line; a list that contains itself ends too."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxstring = 2, 3, 4, 60

    def repr_NoneType(self, value: None, level: int) -> str:
        return "nothing"

    def repr_bool(self, value: bool, level: int) -> str:
        return str(value).lower()


def _did_you_mean(location: list[str]) -> str:
    """The nearest key at that place, else the same name elsewhere in a recipe."""
    *parents, last = location
    known = list(_dotted_keys(Recipe))
    prefix = "".join(f"{parent}." for parent in parents)
    siblings = [key for key in known if key.startswith(prefix) and "." not in key[len(prefix) :]]
    near = difflib.get_close_matches(".".join(location), siblings, n=1, cutoff=0.75)
    if not near:
        names = {key.rpartition(".")[2]: key for key in reversed(known)}
        near = [names[name] for name in difflib.get_close_matches(last, names, n=1, cutoff=0.8)]
    return f" (did you mean {near[0]!r}?)" if near else ""


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, sections included: policy, policy.model, policy.beta, ..."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in _members(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _dotted_keys(part, f"{prefix}{name}.")


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)
