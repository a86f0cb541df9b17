"""Options of the commands that put two policies side by side."""

from contextlib import AbstractContextManager
from typing import Annotated

from typer import Argument, Option

from cli.app import run_names

Run = Annotated[str, Argument(help="A run.", autocompletion=run_names, metavar="RUN")]
Rounds = Annotated[
    str | None,
    Option(
        metavar="A[,B]",
        help="The base and round A, or rounds A and B; 0 is the base. Default: 0 and the result.",
    ),
]
Against = Annotated[
    str | None,
    Option(
        metavar="RUN[@ROUND]",
        autocompletion=run_names,
        help="A policy of another run, in the place of the base.",
    ),
]
Temperature = Annotated[
    float | None,
    Option(metavar="X", min=0, help="Default: that of the run's evaluation; 0: the likeliest."),
]
MaxTokens = Annotated[
    int | None, Option(metavar="N", min=1, help="Longest answer. Default: the run's.")
]
Seed = Annotated[int, Option(metavar="N", min=0, help="The same for both policies.")]


def checking() -> AbstractContextManager[None]:
    """What is shown while weights are compared with the store, which large ones take."""
    from tasks.running.waiting import to_stderr, waiting

    return waiting("comparing the weights with the store", to_stderr())
