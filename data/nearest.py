"""The name that someone may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'small'?)"; empty where nothing known is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.65)
    return f" (did you mean {near[0]!r}?)" if near else ""
