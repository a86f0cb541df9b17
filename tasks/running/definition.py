"""What a stage is: a body, what it makes, and the key of a call of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pyarrow as pa
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from data.errors import InputError
from data.nearest import did_you_mean
from data.store.artifacts import TABLE
from data.tables import check_schema, write_table
from models import today, traits
from tasks.running.context import Context, Run
from tasks.running.keys import (
    ENCODING,
    SCORING,
    SEEING,
    TRAINING,
    asked_for,
    key_value,
    library_versions,
    of_runtime,
)
from tasks.running.outside import Code
from tasks.running.own_code import load_code

Meta = dict[str, Any]  # what is kept beside an artifact: counts, measurements
# What of models a stage's body uses: nothing; those it loads itself; those that the run has loaded.
Uses = Literal[False, True, "loaded"]
# How many rows a call gives at most: the input that tells it, or a function of the inputs.
Bound = str | Callable[[Mapping[str, Any]], int]
OURS = "tsalign"
# Of a key, beside the arguments of the call.
FIELDS = frozenset({"stage", "version", "code", "libraries", "numerics", "date", "shard"})
_TRAINED = ("policy", "student", "teacher")  # kinds
_ENCODED = ("vectors", "encoder", "router")  # kinds that text encoders make
_SEEN = ("tower", "image_vectors", "recognised")  # kinds that come of images


@dataclass(frozen=True)
class Rows:
    """What a table stage makes: its rows, and counts that are kept beside them."""

    table: pa.Table | list[dict[str, Any]]
    counts: Meta = field(default_factory=dict)


Body = Callable[..., Rows | Meta]


@dataclass(frozen=True)
class Definition:
    """A stage, whatever its arguments."""

    name: str
    version: str
    kind: str
    schema: pa.Schema | None  # None: the body writes a folder
    body: Body
    model: Uses
    shards: str | None
    code: tuple[Code, ...]  # the user's file that defines it
    # For plans alone, no part of the key; see `tasks.stage.stage`.
    rows: Bound | None = None
    at_best: Meta = field(default_factory=dict, compare=False)

    @property
    def where(self) -> str:
        """What its name is one of: this project's stages, or those of a user's code."""
        return self.code[0].digest if self.code else OURS

    @property
    def place(self) -> tuple[str, str]:
        """Where a child process finds it: a module or a user's file, and its name there."""
        return self.code[0].path if self.code else self.body.__module__, self.body.__name__

    @property
    def libraries(self) -> tuple[str, ...]:
        """Whose versions decide what its models give."""
        if self.kind in _ENCODED:
            return ENCODING
        if self.kind in _SEEN:
            return SEEING
        return TRAINING if self.kind in _TRAINED else SCORING

    @property
    def isolated(self) -> bool:
        """On a GPU its body runs in a process of its own, so that the memory is really returned."""
        return self.model is True

    @property
    def moves(self) -> bool:
        """Whether workers of a run compute it, who keep loaded models and divide shards."""
        return self.model == "loaded" or bool(self.model and self.shards)

    @property
    def retries(self) -> int:
        """A crashed child or an engine that died may come back."""
        return 1 if self.model else 0

    @cached_property
    def signature(self) -> Signature:
        """The arguments of a call: those of the body after its context."""
        whole = signature(self.body)
        return whole.replace(parameters=list(whole.parameters.values())[1:])

    @cached_property
    def _types(self) -> dict[str, TypeAdapter]:
        """By argument, what it must be, as far as the body says."""
        try:
            hints = get_type_hints(self.body)
        except NameError:  # of a user's file, which knows its types only to a type checker
            hints = {}
        return {name: _adapter(hints[name]) for name in self.signature.parameters if name in hints}

    def bound(self, args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call, defaults included.

        Raises:
            InputError: one is misspelt, missing or of another type than the body takes.
        """
        if args and isinstance(args[0], Run):
            called = ", ".join(f"{name}=..." for name in self._required)
            raise InputError(
                f"{self.name}(run, ...): a stage finds its run by itself; call "
                f"{self.name}({called}), or {self.name}.as_(ROLE)({called}) to name the call"
            )
        for name in (name for name in given if name not in self.signature.parameters):
            near = did_you_mean(name, self.signature.parameters)
            raise InputError(f"{self.name}(): takes no {name!r}{near}; it takes {self._takes}")
        try:
            bound = self.signature.bind(*args, **given)
        except TypeError as error:
            raise InputError(f"{self.name}(): {error}; it takes {self._takes}") from None
        bound.apply_defaults()
        for name, kind in self._types.items():
            try:
                kind.validate_python(bound.arguments[name], strict=True)
            except ValidationError as error:
                what = type(bound.arguments[name]).__name__
                raise InputError(
                    f"{self.name}(): {name} cannot be this {what} ({error.errors()[0]['msg']})"
                ) from None
        return dict(bound.arguments)

    @property
    def _required(self) -> list[str]:
        parameters = self.signature.parameters.items()
        return [name for name, p in parameters if p.default is Parameter.empty]

    @property
    def _takes(self) -> str:
        return ", ".join(
            name if p.default is Parameter.empty else f"{name}={p.default!r}"
            for name, p in self.signature.parameters.items()
        )

    def key(self, context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
        """Everything that made the artifact, as JSON; `inputs` are bound."""
        key: dict[str, Any] = {"stage": self.name, "version": self.version}
        key |= {name: key_value(value) for name, value in sorted(inputs.items())}
        key |= of_runtime(inputs.values(), context.runtime)
        if traits.DATE in asked_for(list(inputs.values())):
            key["date"] = context.date
        if self.code:
            key["code"] = self.code[0].digest
        if self.model and "engine" not in inputs:  # which names both
            key["libraries"] = library_versions(self.libraries)
            key["numerics"] = context.numerics
        return key

    def execute(self, out: Path, context: Context, inputs: dict[str, Any]) -> Meta:
        """Run the body in this process, without the libraries' progress bars.

        Raises:
            ArtifactError: the rows are not of the stage's schema.
        """
        context = replace(context, folder=out)
        with today.pinned(context.date):
            if not self.model:  # loads no torch
                return self._written(out, self.body(context, **inputs))
            from models.silence import quiet

            with quiet():
                return self._written(out, self.body(context, **inputs))

    def _written(self, out: Path, made: Rows | Meta) -> Meta:
        if isinstance(made, Rows) != (self.schema is not None):
            wanted = "counts, and writes a folder" if self.schema is None else "Rows"
            raise InputError(f"stage {self.name}: its body must return {wanted}")
        if not isinstance(made, Rows):
            return made
        rows = made.table
        table = pa.Table.from_pylist(rows, self.schema) if isinstance(rows, list) else rows
        check_schema(table.schema, self.schema, f"stage {self.name}")
        write_table(out / TABLE, table, self.schema)
        return made.counts


def _adapter(kind: Any) -> TypeAdapter:
    """Whether a value is of this type, by pydantic; of its own models it knows the rest itself."""
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return TypeAdapter(kind)


def run_body(place: tuple[str, str], out: Path, context: Context, inputs: dict[str, Any]) -> Any:
    """Entry of the child process."""
    return stage_at(place).execute(out, context, inputs)


def stage_at(place: tuple[str, str]) -> Definition:
    """A stage by its `place`, as a decorated body has no pickle."""
    module_or_file, name = place
    is_file = module_or_file.endswith(".py")
    module = load_code(Path(module_or_file)) if is_file else import_module(module_or_file)
    stage: Definition = getattr(module, name)
    return stage
