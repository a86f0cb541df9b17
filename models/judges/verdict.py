"""What a written verdict says, and what two verdicts, one for each order of the answers, say.

Language models prefer a place, often the first, whatever stands there, so every pair is asked in
both orders. Nothing is guessed: a text that does not end in a verdict is unparsable.
"""

import re
from dataclasses import dataclass
from typing import Literal

Word = Literal["A", "B", "tie"]
# Why there is no outcome: no verdict in a text; longer than the judge reads; the judge's server
# would not answer.
Unjudged = Literal["unparsable", "too_long", "refused"]

# The whole last line, with the signs of emphasis and brackets that models put around it.
_LINE = re.compile(
    r"[\s*_#>`-]*(?:final\s+)?verdict[\s*_`]*:[\s*_`]*"
    r"(?:\[\[|\[|\()?\s*(A|B|tie)\s*(?:\]\]|\]|\))?[\s*_`.]*",
    re.IGNORECASE,
)
_LETTERS: dict[str, Word] = {"a": "A", "b": "B", "tie": "tie"}
_SAYS = {"A": 1.0, "tie": 0.0, "B": -1.0}


def parse(text: str) -> Word | None:
    """The verdict in the last line that is not empty; None: there is none."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = _LINE.fullmatch(lines[-1]) if lines else None
    return _LETTERS[found[1].lower()] if found else None


def is_verdict_line(line: str) -> bool:
    """Whether a line has the form of a verdict, whoever wrote it."""
    return _LINE.fullmatch(line) is not None


@dataclass(frozen=True)
class Both:
    """What a judge says of two answers, left and right, having seen them in both orders.

    `outcome`: 1 the left is better, 0 the right, 0.5 neither; None: not judged, see `unjudged`.
    `margin`: how clearly, above 0 for the left; of written verdicts 1, 0.5, 0 ..., of log-odds in
    nats, and 0 where the orders contradict each other.
    `turned`: the judge preferred a place, not an answer; that is made a tie.
    """

    outcome: float | None
    margin: float | None
    turned: bool = False
    unjudged: Unjudged | None = None


def of_words(left_first: Word | None, right_first: Word | None) -> Both:
    """Of two written verdicts; `right_first` is the one for the exchanged order.

    A verdict for an answer in one order and a tie in the other is half a verdict, margin 0.5.
    """
    if left_first is None or right_first is None:
        return Both(None, None, unjudged="unparsable")
    return of_odds(_SAYS[left_first], -_SAYS[right_first])


def of_odds(left_first: float, right_first: float) -> Both:
    """Of two margins in favour of the left answer, one for each order."""
    if left_first * right_first < 0:
        return Both(0.5, 0.0, turned=True)
    margin = (left_first + right_first) / 2
    return Both(1.0 if margin > 0 else 0.0 if margin < 0 else 0.5, margin)
