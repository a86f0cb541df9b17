"""A ruler as a judge: the longer answer is the better one.

    tsalign score-model benchmarks/lengths.py:longest PAIRS... --trust-remote-code

What a reward model or language model is measured beside: where it does no better, it may know no
more than length.
"""

from typing import Any


def longest(completions: list[Any], **columns: Any) -> list[float]:
    """Characters of the answer."""
    return [float(len(one[-1]["content"])) for one in completions]
