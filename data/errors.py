"""The errors a user can meet, every message one line that says what to do.

TsAlignError
├── InputError         a recipe, prompt file, model or chat template cannot be used
├── ArtifactError      an artifact is missing, damaged or not what its key says
├── CardinalityError   rows that must join one to one do not
└── TrainingError      a training ended in something that must not be used
"""


class TsAlignError(Exception):
    """Base of all errors of this project; the command line prints it and exits with 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        # What a user typed may hold line breaks and bytes that no terminal prints.
        line = " ".join(message.splitlines())
        super().__init__(line.encode(errors="backslashreplace").decode())


class InputError(TsAlignError):
    """The user's input cannot be used; the message names the field and the remedy."""


class ArtifactError(TsAlignError):
    """An artifact is missing, damaged, or its key does not match its content."""


class CardinalityError(TsAlignError):
    """Two tables that must hold the same ids do not."""


class TrainingError(TsAlignError):
    """A training produced a non-finite loss, too few steps, or a model that does not reload."""
