"""A stage: a plain function with an explicit key, run as a cached Prefect task.

The key of a stage is its name and version, the versions of the libraries it computes with, and
every keyword argument of the call, defaults included: artifacts by content digest, configurations
by what differs from their defaults. A stage that a user's file defines is also named by the code of
that file and of the local modules it imports, so it shares no key with this project's of its name,
or with another file's; two of one name in the same code are refused. Nothing else
can reach the stage's body except the `Context`, which holds what must not change a result: where
the store is, how fast to go, where to report progress. Where it does change one (the date that a
chat template prints, code that comes with a model), it is in the keys of the stages that ask.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, Concatenate, Generic, ParamSpec

import pyarrow as pa

from data.errors import InputError
from data.schemas import TABLES
from data.store.artifacts import Artifact
from tasks.running.call import Asked, carry_out
from tasks.running.context import Context, Model, Run, current_run
from tasks.running.definition import FIELDS, OURS, Bound, Definition, Meta, Rows, Uses
from tasks.running.keys import own_code

__all__ = ["STAGES", "Context", "Model", "Rows", "Run", "Stage", "stage"]

P = ParamSpec("P")


@dataclass(frozen=True)
class Stage(Definition, Generic[P]):
    """A stage of the loop. Calling it returns its artifact, computed now or before."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Artifact:
        return self.as_("")(*args, **kwargs)

    def as_(self, role: str, *, title: str = "", measures: bool = False) -> Callable[P, Artifact]:
        """A call of the stage that is told apart from its others.

        Args:
            role: Which of the stage's calls in a round this is, in a word or two.
            title: What the terminal and Prefect show; by default the stage's name and the role.
            measures: It judges the method and is no part of it, so budgets leave it out.
        """

        def call(*args: P.args, **kwargs: P.kwargs) -> Artifact:
            run = current_run(self.name)
            inputs = self.bound(args, kwargs)
            shown = title or f"{self.name} {role}".strip()
            return carry_out(Asked(self, inputs, role, shown, measures), run)

        return call


STAGES: dict[str, Stage] = {}  # this project's by name, for what must know all versions
_DEFINED: dict[tuple[str, str], Stage] = {}  # by what tells their keys apart


def stage(
    makes: pa.Schema | str,
    *,
    version: str,
    model: Uses = False,
    shards: str | None = None,
    rows: Bound | None = None,
    at_best: Meta | None = None,
) -> Callable[[Callable[Concatenate[Context, P], Rows | Meta]], Stage[P]]:
    """Make a stage of a body `(ctx, *, inputs)`.

    Args:
        makes: A schema of `data.schemas`: the body returns `Rows`, and the stage writes and checks
            the table. Or the name of a folder of the store: the body writes into `ctx.out` and
            returns what is kept beside it.
        version: Bumped by hand when the meaning of the output changes.
        model: True: the body loads models. Versions of their libraries, device and dtype enter the
            key (unless an argument `engine` names them), the body runs in a process of its own on
            a GPU, and once more after anything but a TsAlignError. "loaded": the same, in this
            process, with models of `ctx.loaded`, which outlive the stage.
        shards: The input, a table with `prompt_id` or `text_id`, by which the work is cut. The body
            reads its tables by `ctx.table`, gives rows in the order of that input, and counts that
            add up.
        rows: What a plan takes for its rows at most while it has not run: the input that bounds
            them, which is a table, several, a file of the recipe, a number or the name of a part of
            which the recipe's `counted_prompts` tells the rows; or a function of the inputs. Of a
            stage that trains, the input it learns from. Left out, nobody knows, and
            `tsalign check` counts no work on these rows.
        at_best: What a plan takes for its counts if all goes well; what is not named is 0.

    Raises:
        InputError: the body or `makes` has another form.
    """

    def wrap(body: Callable[Concatenate[Context, P], Rows | Meta]) -> Stage[P]:
        code, name = own_code(body), body.__name__
        kind, schema = _kind(name, makes)
        _check_form(body)
        if isinstance(rows, str) and rows not in signature(body).parameters:
            raise InputError(f"stage {name}: rows={rows!r} is none of its inputs; name one")
        planned = (rows, at_best or {})
        made = Stage[P](name, version, kind, schema, body, model, shards, code, *planned)
        _define(made)
        return made

    return wrap


def _define(made: Stage) -> None:
    """InputError for a second stage of this name in the same code: they would share keys."""
    other = _DEFINED.setdefault((made.where, made.name), made)
    files, lines = zip(*(_place(one) for one in (other, made)), strict=True)
    # The same code in two files is the same stage.
    if lines[0] != lines[1] or (made.where == OURS and files[0] != files[1]):
        raise InputError(
            f"stage {made.name}: is defined twice, at {files[0]}:{lines[0]} and at "
            f"{files[1]}:{lines[1]}; give one of them another name"
        )
    if made.where == OURS:
        STAGES[made.name] = made


def _place(made: Stage) -> tuple[str, int]:
    code = made.body.__code__
    return code.co_filename, code.co_firstlineno


def _kind(name: str, makes: pa.Schema | str) -> tuple[str, pa.Schema | None]:
    """Folder of the store and, for a table, its schema."""
    if isinstance(makes, str):
        if makes in TABLES:
            raise InputError(
                f"stage {name}: {makes!r} are tables; write @stage({makes.upper()}, ...) with the "
                "schema of data.schemas, and return Rows"
            )
        return makes, None
    for kind, schema in TABLES.items():
        if schema is makes:
            return kind, schema
    raise InputError(f"stage {name}: its schema is none of data.schemas; take one of these")


def _check_form(body: Callable[..., Any]) -> None:
    parameters = list(signature(body).parameters.values())
    if not parameters or any(p.kind is not p.KEYWORD_ONLY for p in parameters[1:]):
        raise InputError(
            f"stage {body.__name__}: its body takes its context and then inputs by keyword, "
            f"{body.__name__}(ctx, *, ...); see docs/new_method.md"
        )
    if taken := [p.name for p in parameters if p.name in FIELDS]:
        raise InputError(
            f"stage {body.__name__}: an argument cannot be called {taken[0]!r}, which its key "
            "has already; take another name"
        )
