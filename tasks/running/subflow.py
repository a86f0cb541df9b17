"""A part of a run that Prefect shows as a flow of its own.

Prefect is shown the plain arguments, by which the UI names and lists the flow run. What is alive,
such as models, artifacts and the run itself, stays in this process: Prefect would copy it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Any, Generic, ParamSpec, TypeVar

from prefect import Flow

from tasks.running.books import Watched
from tasks.running.context import current_run

P = ParamSpec("P")
R = TypeVar("R")
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Subflow(Generic[P, R]):
    """A function that runs as a flow within the flow at work."""

    function: Callable[P, R]
    name: str
    run_name: str  # a format of the plain arguments

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run = current_run(self.name)
        work = Watched(partial(self.function, *args, **kwargs))
        plain = self.parameters(*args, **kwargs)
        result: R = run.books.run(work, lambda: self._flow(work.call, plain)(**plain))
        return result

    def parameters(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """What Prefect is shown of a call: JSON."""
        bound = signature(self.function).bind(*args, **kwargs)
        return {name: value for name, value in bound.arguments.items() if type(value) in _PLAIN}

    def _flow(self, work: Callable[[], R], plain: dict[str, Any]) -> Flow:
        def body(**_: Any) -> R:
            return work()

        body.__name__, body.__doc__ = self.function.__name__, self.function.__doc__
        body.__module__, body.__qualname__ = self.function.__module__, self.function.__qualname__
        kinds = [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=type(value))
            for name, value in plain.items()
        ]
        body.__signature__ = Signature(kinds)  # type: ignore[attr-defined]
        return Flow(
            body,
            name=self.name,
            flow_run_name=self.run_name.format(**plain),
            persist_result=False,
        )


def subflow(name: str, run_name: str) -> Callable[[Callable[P, R]], Subflow[P, R]]:
    """Run a function as a flow of this name; `run_name` may hold plain arguments in braces."""

    def wrap(function: Callable[P, R]) -> Subflow[P, R]:
        return Subflow(function, name, run_name)

    return wrap
