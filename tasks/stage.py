"""A stage: a plain function with an explicit key, run as a cached Prefect task.

The key of a stage is its name and version, the versions of the libraries it computes with, and
every keyword argument of the call, defaults included: artifacts by content digest, configurations
by value. A stage that a user's file defines is also named by the code of that file. Nothing else
can reach the stage's body except the `Context`, which holds what must not change a result: where
the store is, how fast to go, where to report progress. Where it does change one (the date that a
chat template prints, code that comes with a model), it is in the keys of the stages that ask.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec

from data.store.artifacts import Artifact
from tasks.running.call import Asked, carry_out
from tasks.running.context import Context, Model, Run, current_run
from tasks.running.definition import Definition
from tasks.running.keys import own_code

__all__ = ["SCORING", "TRAINING", "STAGES", "Context", "Model", "Run", "Stage", "stage"]

P = ParamSpec("P")

TRAINING = ("torch", "transformers", "trl", "peft", "accelerate")
SCORING = ("torch", "transformers")


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


def stage(
    kind: str,
    *,
    version: str,
    libraries: tuple[str, ...] = (),
    isolated: bool = False,
    shards: str | None = None,
    retries: int = 0,
) -> Callable[[Callable[Concatenate[Path, Context, P], dict[str, Any]]], Stage[P]]:
    """Make a stage of a body `(out, context, **inputs) -> metadata`.

    Args:
        kind: Folder of the store and, for tables, the schema of what it writes.
        version: Bumped by hand when the meaning of the output changes.
        libraries: Whose versions enter the key; also adds device and dtype.
        isolated: On a GPU, run in a child process so that the memory is really returned.
        shards: The input, a table with `prompt_id`, by whose prompts the work is cut. The body
            reads its tables by `context.table`, writes data.parquet in the order of that input,
            and returns counts that add up.
        retries: How often to try again after anything but a TsAlignError.
    """

    def wrap(body: Callable[Concatenate[Path, Context, P], dict[str, Any]]) -> Stage[P]:
        code, name = own_code(body), body.__name__
        made = Stage[P](name, version, kind, body, libraries, isolated, shards, retries, code)
        if not code:
            STAGES[name] = made
        return made

    return wrap
