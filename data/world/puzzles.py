"""Three families of puzzles with exact answers, each explained in four styles: the world of ARTE.

    chain    a digit and operations on it, modulo 10: start 7 add 5 take 3
    sorting  digits to put in order:                  sort 7 2 9
    cups     a ball under one of four cups:           ball 2 swap 1 2 swap 3 1

A puzzle of level 1 to 4 has as many steps more. Every style computes the same steps; they differ
in what is written of them, and so in how hard they are for a small model to carry out.
"""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

MARKER = "answer"  # stands before the answer of every rationale
NAIVE = "Let us think step by step."
STYLES = {  # what a teacher is told, by style
    "steps": "Write every step in full.",
    "short": "Write the results alone.",
    "recall": "Write the question first.",
    "words": "Write the results in words.",
}
LEVELS = (1, 2, 3, 4)
# Which puzzles a model may learn from, and which are asked: by a digest of the puzzle.
SPLITS = {"train": 0.6, "seeds": 0.65, "validation": 0.8, "test": 1.0}
_DIGITS = "zero one two three four five six seven eight nine".split()
_CUPS = 4
_MAX_DRAWS = 20_000


@dataclass(frozen=True)
class Puzzle:
    """A question with the steps to its answer."""

    family: str
    text: str
    steps: tuple[str, ...]  # in full
    results: tuple[str, ...]  # of each step, a digit
    answer: str

    def rationale(self, style: str) -> str:
        """The steps in one of STYLES, and the answer behind the marker."""
        end = f"{MARKER} {self.answer}"
        if style == "steps":
            return f"{' then '.join(self.steps)} {end}"
        if style == "words":
            return f"{' then '.join(_DIGITS[int(one)] for one in self.results)} {end}"
        results = f"{' '.join(self.results)} {end}"
        return f"we have {self.text} so {results}" if style == "recall" else results


def chain(start: int, operations: list[tuple[str, int]]) -> Puzzle:
    """Adds and takes, modulo 10."""
    steps, results, value = [], [], start
    for verb, number in operations:
        before, value = value, (value + (number if verb == "add" else -number)) % 10
        steps.append(f"{before} {verb} {number} makes {value}")
        results.append(str(value))
    text = " ".join([f"start {start}", *(f"{verb} {number}" for verb, number in operations)])
    return Puzzle("chain", text, tuple(steps), tuple(results), str(value))


def sorting(given: list[int]) -> Puzzle:
    """Different digits, the least first."""
    left, steps, results = list(given), [], []
    while left:
        least = min(left)
        left.remove(least)
        steps.append(" ".join(map(str, ["take", least, *(["left", *left] if left else [])])))
        results.append(str(least))
    text = " ".join(["sort", *map(str, given)])
    return Puzzle("sorting", text, tuple(steps), tuple(results), " ".join(results))


def cups(ball: int, swaps: list[tuple[int, int]]) -> Puzzle:
    """A ball under one of four cups, of which two change places in every step."""
    steps, results, place = [], [], ball
    for first, second in swaps:
        before, place = place, {first: second, second: first}.get(place, place)
        steps.append(f"ball {before} swap {first} {second} makes {place}")
        results.append(str(place))
    text = " ".join([f"ball {ball}", *(f"swap {first} {second}" for first, second in swaps)])
    return Puzzle("cups", text, tuple(steps), tuple(results), str(place))


def _draw_chain(level: int, rng: random.Random) -> Puzzle:
    operations = [(rng.choice(("add", "take")), rng.randint(1, 9)) for _ in range(level + 1)]
    return chain(rng.randint(0, 9), operations)


def _draw_sorting(level: int, rng: random.Random) -> Puzzle:
    return sorting(rng.sample(range(10), level + 2))


def _draw_cups(level: int, rng: random.Random) -> Puzzle:
    places = range(1, _CUPS + 1)
    swaps = [tuple(rng.sample(places, 2)) for _ in range(level + 1)]
    return cups(rng.choice(places), [(first, second) for first, second in swaps])


FAMILIES: dict[str, Callable[[int, random.Random], Puzzle]] = {
    "chain": _draw_chain,
    "sorting": _draw_sorting,
    "cups": _draw_cups,
}


def solve(text: str) -> str | None:
    """The answer to a question of any length; None where it is no question of these families."""
    if re.fullmatch(r"start \d( (add|take) \d)+", text):
        operations = re.findall(r"(add|take) (\d)", text)
        return chain(int(text[6]), [(verb, int(number)) for verb, number in operations]).answer
    if re.fullmatch(r"sort( \d)+", text):
        given = [int(one) for one in text.split()[1:]]
        return sorting(given).answer if len(set(given)) == len(given) else None
    if re.fullmatch(rf"ball [1-{_CUPS}]( swap [1-{_CUPS}] [1-{_CUPS}])+", text):
        found = re.findall(r"swap (\d) (\d)", text)
        swaps = [(int(first), int(second)) for first, second in found]
        return cups(int(text[5]), swaps).answer if all(a != b for a, b in swaps) else None
    return None


def split_of(puzzle: Puzzle) -> str:
    """Which of SPLITS a puzzle belongs to, whatever is drawn."""
    share = int(hashlib.sha256(puzzle.text.encode()).hexdigest()[:8], 16) / 0x1_0000_0000
    return next(split for split, bound in SPLITS.items() if share < bound)


def draw(family: str, level: int, split: str, rng: random.Random) -> Puzzle:
    """A puzzle of this split."""
    while True:
        puzzle = FAMILIES[family](level, rng)
        if split_of(puzzle) == split:
            return puzzle


def different(family: str, split: str, number: int, seed: int) -> list[Puzzle]:
    """So many different puzzles of a family, the levels in turn.

    Raises:
        ValueError: a level has not so many.
    """
    rng = random.Random(f"{family}-{split}-{seed}")
    found: dict[str, Puzzle] = {}
    draws = 0
    while len(found) < number:
        puzzle = draw(family, LEVELS[len(found) % len(LEVELS)], split, rng)
        found.setdefault(puzzle.text, puzzle)
        draws += 1
        if draws > _MAX_DRAWS:
            raise ValueError(f"the puzzles {family!r} run out: there are {len(found)}")
    return list(found.values())
