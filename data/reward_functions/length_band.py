"""Whether a completion is neither too short nor too long, in words.

The band is from the prompt's columns `min_words` and `max_words`; where a prompt has only one of
them the other end is open, where it has neither the band is MIN_WORDS to MAX_WORDS.
"""

from math import inf
from typing import Any

MIN_WORDS, MAX_WORDS = 20, 200


def length_band(
    prompts: list[Any],
    completions: list[Any],
    min_words: list[Any] | None = None,
    max_words: list[Any] | None = None,
    **columns: Any,
) -> list[float | None]:
    """1 within the band; below it words / min_words; above it 1 - (words - max_words) / max_words,
    at least 0: half of the least and one and a half times the most give 0.5, twice the most 0.
    """
    nothing = [None for _ in completions]
    rows = zip(completions, min_words or nothing, max_words or nothing, strict=True)
    return [within(len(one[-1]["content"].split()), *band(low, high)) for one, low, high in rows]


def band(low: Any, high: Any) -> tuple[float, float]:
    """The ends of a prompt's band. Raises ValueError for ends that are none."""
    if low is None and high is None:
        return MIN_WORDS, MAX_WORDS
    least = 0.0 if low is None else float(low)
    most = inf if high is None else float(high)
    if not 0 <= least <= most or most == 0:
        raise ValueError(f"min_words {low} and max_words {high} are no band")
    return least, most


def within(words: int, least: float, most: float) -> float:
    """How far so many words are in the band, 0 to 1."""
    if words < least:
        return words / least
    return 1.0 if words <= most else max(0.0, 2 - words / most)
