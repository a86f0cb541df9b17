"""The errors a user can meet, every message one line that says what to do.

TsAlignError
├── InputError         a recipe, prompt file, model or chat template cannot be used
│   ├── InputErrors    several of these at once, a line each
│   └── UnservableError  an engine does not know how to run a model
├── ArtifactError      an artifact is missing, damaged or not what its key says
├── CardinalityError   rows that must join one to one do not
├── ServerError        a server that answers for a model stays away, busy or broken
├── StoreFullError     the disk of the store is full
├── TrainingError      a training ended in something that must not be used
└── WorkersLostError   no worker of Ray is left
"""

import errno
from typing import Any


class TsAlignError(Exception):
    """Base of all errors of this project; the command line prints it and exits with 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, a line for each thing."""
        return (str(self),)


def _one_line(message: str) -> str:
    """What a user typed may hold line breaks and bytes that no terminal prints."""
    return " ".join(message.splitlines()).encode(errors="backslashreplace").decode()


class InputError(TsAlignError):
    """The user's input cannot be used; the message names the field and the remedy."""


class InputErrors(InputError):
    """Several problems, none of them due to another; as text, a line each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("")
        self.args = tuple(map(_one_line, problems))

    def __str__(self) -> str:
        return "\n".join(self.problems)

    @property
    def problems(self) -> tuple[str, ...]:
        return self.args


class UnservableError(InputError):
    """The engine does not know how to run this model, and will not the next time either."""

    def __init__(self, engine: str, model: str, reason: str) -> None:
        super().__init__(
            f"{engine} cannot start with '{model}': {reason}; use generate.engine=transformers"
        )
        self.reason = reason
        self._made_of = engine, model, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of, self.__dict__


class ArtifactError(TsAlignError):
    """An artifact is missing, damaged, or its key does not match its content."""


class ServerError(TsAlignError):
    """A server did not answer at any attempt; the same command later goes on from there."""

    exit_code = 1


class StoreFullError(TsAlignError):
    """No space is left where the store is; what it held before is intact."""


class CardinalityError(TsAlignError):
    """Two tables that must hold the same ids do not."""


class TrainingError(TsAlignError):
    """A training produced a non-finite loss, too few steps, or a model that does not reload."""


class WorkersLostError(TsAlignError):
    """No worker of Ray is left; the same command later goes on from there."""

    exit_code = 1


_NO_SPACE = ("no space left on device", "disk quota exceeded", "os error 28")


def out_of_space(error: BaseException | None) -> bool:
    """Whether a full disk or quota is behind the error; libraries wrap it, some as mere text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(text in str(error).lower() for text in _NO_SPACE):
            return True
        error = error.__cause__ or error.__context__
    return False
