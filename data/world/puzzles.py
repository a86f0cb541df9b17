"""Three families of puzzles with exact answers, each explained in four styles: the world of ARTE.

    sorting  digits, the least first:       sort 7 2 9 2
    falling  the largest first:             fall 7 2 9 2
    odd      the odd ones, the least first: odd 7 2 9 2

A puzzle of level 1 to 4 is longer by as much. Every style computes the same steps; they differ in
what is written of them, and so in how hard they are to carry out. In no family does the order of
the given digits matter: to find a place in a question is what so small a model does not learn in
minutes (docs/arte.md).
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
_MAX_DRAWS = 500  # tries for one more new puzzle


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


def sorting(given: list[int]) -> Puzzle:
    """The least first."""
    return _ordered("sorting", "sort", given, min)


def falling(given: list[int]) -> Puzzle:
    """The largest first."""
    return _ordered("falling", "fall", given, max)


def odd(given: list[int]) -> Puzzle:
    """The odd ones, of which there is one at least, the least first."""
    return _ordered("odd", "odd", given, min, [one for one in given if one % 2])


def _ordered(
    family: str,
    word: str,
    given: list[int],
    pick: Callable[[list[int]], int],
    of: list[int] | None = None,
) -> Puzzle:
    left, steps, results = list(given if of is None else of), [], []
    while left:
        one = pick(left)
        left.remove(one)
        steps.append(" ".join(map(str, ["take", one, *(["left", *left] if left else [])])))
        results.append(str(one))
    text = " ".join([word, *map(str, given)])
    return Puzzle(family, text, tuple(steps), tuple(results), " ".join(results))


_OF_WORD = {"sort": sorting, "fall": falling, "odd": odd}


def _drawn(make: Callable[[list[int]], Puzzle]) -> Callable[[int, random.Random], Puzzle]:
    def draw_one(level: int, rng: random.Random) -> Puzzle:
        while not (puzzle := make(rng.choices(range(10), k=level + 2))).answer:
            pass
        return puzzle

    return draw_one


FAMILIES: dict[str, Callable[[int, random.Random], Puzzle]] = {
    "sorting": _drawn(sorting),
    "falling": _drawn(falling),
    "odd": _drawn(odd),
}


def solve(text: str) -> str | None:
    """The answer to a question of any length; None where it is no question of these families."""
    if not re.fullmatch(rf"({'|'.join(_OF_WORD)})( \d)( \d)+", text):
        return None
    word, *digits = text.split()
    return _OF_WORD[word]([int(one) for one in digits]).answer or None


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
    in_vain = 0
    while len(found) < number:
        puzzle = draw(family, LEVELS[len(found) % len(LEVELS)], split, rng)
        in_vain = in_vain + 1 if puzzle.text in found else 0
        found.setdefault(puzzle.text, puzzle)
        if in_vain > _MAX_DRAWS:
            raise ValueError(f"the puzzles {family!r} run out: there are {len(found)}")
    return list(found.values())
