"""Prompts: a task and one to three instructions that go together, drawn by a seed."""

import json
from collections.abc import Mapping, Sequence
from itertools import count, cycle
from pathlib import Path
from random import Random
from typing import Any

from data.instructed.drawn import Drawn
from data.instructed.everyday import tasks
from data.instructed.kinds import HELD_OUT, KINDS, TRAINED, go_together

EVERYDAY, UNSEEN = "everyday", "held-out kinds"
SIZES = {"train": 4000, "dev": 200, "test": 600}
HOW_MANY = (1, 2, 3)  # instructions of a prompt, as often as IFEval's 541 prompts have them:
SHARES = (305, 179, 57)

Row = dict[str, Any]


def draw_kinds(rng: Random, among: Sequence[str]) -> list[str]:
    """One to three kinds of which each goes with the others; fewer where none is left."""
    wanted, kinds = rng.choices(HOW_MANY, SHARES)[0], [rng.choice(among)]
    while len(kinds) < wanted:
        free = [kind for kind in among if all(go_together(kind, one) for one in kinds)]
        if not free:
            break
        kinds.append(rng.choice(free))
    return kinds


def draw_row(rng: Random, task: str, dataset: str) -> Row:
    """A prompt of the data set, as a row of its file in IFEval's form."""
    kinds = draw_kinds(rng, TRAINED if dataset == EVERYDAY else HELD_OUT)
    drawn = draw_instructions(rng, task, kinds)
    return {
        "prompt": _joined(rng, task, [one.text for one in drawn]),
        "dataset": dataset,
        "instruction_id_list": kinds,
        "kwargs": [one.kwargs for one in drawn],
    }


def draw_instructions(rng: Random, task: str, kinds: Sequence[str]) -> list[Drawn]:
    """An instruction of each kind, so that all can be followed at once."""
    taken = frozenset(task.lower().strip(".?").split())
    drawn: list[Drawn] = []
    for kind in kinds:
        one = KINDS[kind](rng, taken, task)
        taken |= _words_of(one.kwargs)
        drawn.append(one)
    return drawn


def _words_of(kwargs: Mapping[str, Any]) -> frozenset[str]:
    """Words that an instruction wants or forbids, those of a phrase one by one."""
    named = [*kwargs.get("keywords", ()), *kwargs.get("forbidden_words", ())]
    for name in ("keyword", "first_word", "end_phrase"):
        named += kwargs.get(name, "").lower().strip(".?!").split()
    return frozenset(named)


def _joined(rng: Random, task: str, said: Sequence[str]) -> str:
    """Task and instructions in one of three layouts."""
    layout = rng.randrange(3)
    if layout == 0:
        return " ".join((task, *said))
    if layout == 1:
        return "\n".join((task, *said))
    return "\n".join((task, "", *(f"- {one}" for one in said)))


def draw(seed: int, part: str, size: int) -> list[Row]:
    """That many prompts of a part, no two alike.

    "train" and "dev" share topics but no task; "test" has topics and families of its own, and every
    third of its prompts has kinds of instruction that are never trained on. Tasks come again, with
    other instructions, once all of a family have come.
    """
    rng, families = Random(f"{seed} {part}"), _families(seed, part)
    # Families of two slots have far more tasks than others: their square root, so that letters
    # and stories are not most of it.
    weights = [len(family) ** 0.5 for family in families]
    turns = [cycle(family) for family in families]
    rows: dict[str, Row] = {}
    for number in count():
        if len(rows) >= size:
            break
        task = next(rng.choices(turns, weights)[0])
        row = draw_row(rng, task, UNSEEN if part == "test" and number % 3 == 2 else EVERYDAY)
        rows.setdefault(row["prompt"], row)
    return list(rows.values())


def _families(seed: int, part: str) -> list[list[str]]:
    """The tasks of a part by family, shuffled; one in ten of those to train on is for "dev"."""
    found = tasks(test=part == "test")
    for family in found:
        Random(f"{seed} tasks").shuffle(family)
    if part == "test":
        return found
    return [[one for n, one in enumerate(x) if (n % 10 == 0) == (part == "dev")] for x in found]


def write(folder: Path, seed: int, sizes: Mapping[str, int]) -> dict[Path, int]:
    """Write a JSON Lines file for each part; rows by file."""
    rows = {part: draw(seed, part, size) for part, size in sizes.items()}
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for part, drawn in rows.items():
        path = folder / f"{part}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in drawn))
        written[path] = len(drawn)
    return written
