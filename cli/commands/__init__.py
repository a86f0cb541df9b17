"""One file per command: its arguments, and the function of this project that it calls."""

from collections.abc import Callable

# In the order of `tsalign --help`.
NAMES = (
    *("init", "check", "align", "bench"),
    *("status", "open", "report", "explain", "score_model"),
    *("chat", "compare", "export", "serve"),
    *("submit", "operate"),
    *("verify", "gc", "rerun"),
)

Call = Callable[[], int | None]
