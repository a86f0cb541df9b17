"""What a student of the world of puzzles can do after one example, by family and style.

    python -m benchmarks.puzzles [--lessons 48000] [--width 96] [--layers 3] [--world 0]

Trains the student of `recipe: arte` in a temporary folder, as the recipe does, and has it answer
validation puzzles greedily after one example in each style. For choosing sizes: no test puzzle is
asked.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from data.final_answer import is_right
from data.recipes.recipe import RuntimeConfig
from data.world import CONTEXT
from data.world.puzzle_lessons import student_lessons, teacher_lessons
from data.world.puzzles import FAMILIES, LEVELS, MARKER, STYLES, Puzzle, different, draw
from models.chat import load_tokenizer, render_prompts
from models.engines import open_engine
from models.engines.base import Sampling
from models.world.models import train_puzzle_model, train_tokenizer

Talk = list[dict[str, str]]
RUNTIME = RuntimeConfig(device="cpu")
_WORDS = 3_000  # lessons that hold every word


def one_shot(puzzle: Puzzle, style: str, rng: random.Random) -> Talk:
    """A puzzle after another one of its family, explained in this style."""
    example = draw(puzzle.family, rng.choice(LEVELS), "seeds", rng)
    return [
        {"role": "user", "content": example.text},
        {"role": "assistant", "content": example.rationale(style)},
        {"role": "user", "content": puzzle.text},
    ]


def shares(model: Path, puzzles: int, world: int) -> dict[str, dict[str, float]]:
    """Share of right answers by family and style."""
    rng = random.Random(world)
    asked = [
        (puzzle, style)
        for family in FAMILIES
        for puzzle in different(family, "validation", puzzles, world)
        for style in STYLES
    ]
    talks = [one_shot(puzzle, style, rng) for puzzle, style in asked]
    engine = open_engine("transformers", model, RUNTIME, CONTEXT, seed=0)
    try:
        greedy = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=64)
        prompts = render_prompts(load_tokenizer(model), talks)
        said = engine.generate(prompts, [0] * len(prompts), greedy)
    finally:
        engine.close()
    right: dict[str, dict[str, list[bool]]] = {name: defaultdict(list) for name in FAMILIES}
    for (puzzle, style), (output,) in zip(asked, said, strict=True):
        right[puzzle.family][style].append(is_right(output.text, MARKER, puzzle.answer))
    return {
        family: {style: sum(found) / len(found) for style, found in styles.items()}
        for family, styles in right.items()
    }


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.puzzles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lessons", type=int, default=48_000)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--world", type=int, default=0, help="seed of the world")
    parser.add_argument("--puzzles", type=int, default=24, help="of each family")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, model = Path(folder) / "tokenizer", Path(folder) / "model"
        words = teacher_lessons(_WORDS, 0) + student_lessons(_WORDS, 0)
        train_tokenizer(tokenizer, conversations=words)
        began, busy = time.monotonic(), time.process_time()
        meta = train_puzzle_model(
            model,
            tokenizer=tokenizer,
            conversations=student_lessons(asked.lessons, asked.world),
            runtime=RUNTIME,
            seed=asked.world,
            width=asked.width,
            layers=asked.layers,
        )
        seconds, core = time.monotonic() - began, time.process_time() - busy
        found = shares(model, asked.puzzles, asked.world)
    lines = [
        f"{meta['parameters']:,} parameters, {meta['steps']:,} steps, {core:.0f} core-seconds "
        f"({seconds:.0f} s)",
        f"| family | {' | '.join(STYLES)} |",
        "|---" * (1 + len(STYLES)) + "|",
    ]
    for family, styles in found.items():
        cells = " | ".join(f"{100 * styles[style]:.0f} %" for style in STYLES)
        lines.append(f"| {family} | {cells} |")
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
