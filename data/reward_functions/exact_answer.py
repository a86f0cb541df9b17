"""Whether a completion ends at the right answer, as GSM8K's problems have it.

The expected answer is what stands after "####" in the column `answer`, else its last number, else
its text. The completion's is what stands in its last \\boxed{...}, else after its last "####", else
its last number. Numbers are compared by value: 1,000.50, $1000.5 and 1000.5 dollars are one.
"""

import re
from fractions import Fraction
from typing import Any

MARK = "####"
_BOX = "\\boxed{"
_FRACTION = re.compile(r"\\d?frac\{\s*([-+]?\d+)\s*\}\{\s*(\d+)\s*\}")
_TEX = {"\\$": "$", "{,}": ",", "\\,": "", "\\!": ""}  # signs and spaces within its numbers
_MINUS = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"})
# A sign counts where no number stands before it: "5-3" has the numbers 5 and 3. Digits within a
# word (H2O) are none; a unit may follow (5km).
_NUMBER = re.compile(
    r"""(?<!\w)
        (?P<sign>(?<![\d)}])(?<![\d)}]\s)[-+])?
        [$€£¥]?(?P<inner>[-+](?=[\d.]))?
        (?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
        (?P<over>/\d+(?![\d/.]))?""",
    re.VERBOSE,
)


def exact_answer(
    prompts: list[Any], completions: list[Any], answer: list[Any], **columns: Any
) -> list[float | None]:
    """1.0 where a completion gives the expected answer, 0.0 where it does not.

    None for a prompt without an answer. A list of answers takes any of them.
    """
    return [
        None if expected is None else float(gives(completion[-1]["content"], expected))
        for completion, expected in zip(completions, answer, strict=True)
    ]


def gives(text: str, expected: Any) -> bool:
    """Whether the text ends at this answer, or at one of these."""
    if isinstance(expected, list):
        return any(gives(text, one) for one in expected)
    wanted = str(expected)
    right = first_number(after_mark(wanted)) if MARK in wanted else last_number(wanted)
    marked = boxed(text) or after_mark(text)
    if right is None:  # an answer in words
        lines = (marked or text).strip().splitlines() or [""]
        return _plain(lines[-1]) == _plain(after_mark(wanted) or wanted)
    return right == (first_number(marked) if marked else last_number(text))


def after_mark(text: str) -> str:
    """What stands after the last "####"; empty where there is none."""
    return text.rpartition(MARK)[2].strip() if MARK in text else ""


def boxed(text: str) -> str:
    """What stands in the last \\boxed{...} that is closed; empty where there is none."""
    start = text.rfind(_BOX)
    depth = 1
    for place in range(start + len(_BOX), len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + len(_BOX) : place].strip()
    return ""


def first_number(text: str) -> Fraction | None:
    """The value of the first number of a text, if there is one."""
    return next(iter(numbers(text)), None)


def last_number(text: str) -> Fraction | None:
    found = numbers(text)
    return found[-1] if found else None


def numbers(text: str) -> list[Fraction]:
    """The values of all numbers of a text, in order."""
    plain = _FRACTION.sub(r"\1/\2", text.translate(_MINUS))
    for tex, sign in _TEX.items():
        plain = plain.replace(tex, sign)
    return [_value(one) for one in _NUMBER.finditer(plain)]


def _value(found: re.Match[str]) -> Fraction:
    value = Fraction(found["digits"].replace(",", ""))
    if found["over"] and (over := int(found["over"][1:])):
        value /= over
    return -value if "-" in (found["sign"] or "", found["inner"] or "") else value


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!*\"'")
