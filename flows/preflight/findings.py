"""What is wrong with the user's input, one problem beside another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from data.errors import InputError, InputErrors

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Findings:
    """Problems, a line each, in the order they were met; and notes: what is only worth knowing."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def attempt(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the check gives; None where it found a problem, which is kept."""
        try:
            return check(*args, **kwargs)
        except InputError as error:
            self.problems += [line for line in error.problems if line not in self.problems]
            return None

    def refuse(self) -> None:
        """Raises InputError if there is a problem, InputErrors if there are several."""
        if len(self.problems) == 1:
            raise InputError(self.problems[0])
        if self.problems:
            raise InputErrors(*self.problems)
