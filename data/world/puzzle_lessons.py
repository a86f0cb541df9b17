"""What the models of the world of puzzles learn from: conversations, deterministic by seed.

The student reads other puzzles with their rationales before it is asked one, and answers in their
style: so it learns to take a style from what it is shown. The teacher learns to write questions
like others, rationales in the style that it is told, and in any style where it is told none.
"""

import random

from data.elicitation import ASK, asking, asking_for_question
from data.world.puzzles import FAMILIES, LEVELS, NAIVE, STYLES, Puzzle, draw

Conversation = list[dict[str, str]]

_SHOTS, _SHOT_WEIGHTS = (0, 1, 2), (2, 2, 1)  # examples before a student's question
_EASY = (4, 3, 2, 1)  # weights of the levels that a student learns: few of the hardest
_WRITES = 0.2  # share of a teacher's lessons that are questions
_FREE = 0.25  # share of the others in which it is told no style
_EXAMPLES = 3


def student_lessons(number: int, seed: int) -> list[Conversation]:
    """Puzzles after none, one or two others of their family, explained in one style."""
    rng = random.Random(f"puzzle-student-{seed}")
    families, styles = list(FAMILIES), list(STYLES)
    found = []
    for i in range(number):
        family, style = families[i % len(families)], rng.choice(styles)
        shots = rng.choices(_SHOTS, _SHOT_WEIGHTS)[0]
        levels = rng.choices(LEVELS, _EASY, k=shots + 1)
        talk: Conversation = []
        for level in levels:
            puzzle = draw(family, level, "train", rng)
            talk += _said(puzzle.text, puzzle.rationale(style))
        found.append(talk)
    return found


def teacher_lessons(number: int, seed: int) -> list[Conversation]:
    """Questions to write and to explain, all levels alike."""
    rng = random.Random(f"puzzle-teacher-{seed}")
    families = list(FAMILIES)
    return [_teacher_lesson(families[i % len(families)], rng) for i in range(number)]


def _teacher_lesson(family: str, rng: random.Random) -> Conversation:
    def drawn() -> Puzzle:
        return draw(family, rng.choice(LEVELS), "train", rng)

    puzzle = drawn()
    if rng.random() < _WRITES:
        examples = [drawn().text for _ in range(_EXAMPLES)]
        return _said(asking_for_question(ASK, family, examples), puzzle.text)
    style = rng.choice(list(STYLES))
    told = NAIVE if rng.random() < _FREE else STYLES[style]
    return _said(asking(told, puzzle.text), puzzle.rationale(style))


def _said(question: str, answer: str) -> Conversation:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
