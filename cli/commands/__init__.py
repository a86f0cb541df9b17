"""One file per command: its arguments, and the function of this project that it calls."""

from collections.abc import Callable

# In the order of `tsalign --help`.
NAMES = (
    "align",
    "bench",
    "status",
    "report",
    "open",
    "explain",
    "operate",
    "verify",
    "gc",
    "rerun",
)

Call = Callable[[], int | None]
