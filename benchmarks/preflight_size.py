"""Memory and time of preflight on many prompts: `python -m benchmarks.preflight_size RECIPE`.

Writes files of prompts, runs the checks of `tsalign align` on each in a process of its own and
prints the largest resident memory of that process and its time, and that of the reading alone. Of
the prompts some are held out, and the others are searched for eight words in a row of these
(`prompts.decontaminate: 8gram`). With `--columns` the prompts are random words, with an answer
each that the reward function `exact-answer` reads, and in one of fifty they share eight words with
another.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.readers.prompts import read_prompt_file
from flows.preflight.inputs import check_inputs
from flows.recipe_files import load_recipe

WORDS = "What is the plan for a small house with two rooms and a garden in the hills ?".split()
VOCABULARY = 20_000  # random words
COLUMNS = ("teacher.model=exact-answer", "prompts.decontaminate=8gram")


def alike(number: int, words: int) -> Iterator[dict[str, str]]:
    """Prompts of so many words, every one another."""
    for i in range(number):
        yield {"prompt": f"{i} " + " ".join(WORDS[(i + j) % len(WORDS)] for j in range(words))}


def with_columns(number: int, words: int) -> Iterator[dict[str, str]]:
    """The same of random words, with the column `answer`; in every fiftieth eight words of the one
    before it come again."""
    draw = random.Random(0)
    text: list[str] = []
    for i in range(number):
        shared = text[:8] if i % 50 == 49 else []
        text = [*shared, *(f"w{draw.randrange(VOCABULARY)}" for _ in range(words - len(shared)))]
        yield {"prompt": " ".join(text), "answer": f"Because of this, it is #### {i}"}


def write_prompts(path: Path, rows: Iterator[dict[str, str]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        with path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def measure(recipe: Path, prompts: Path, columns: bool) -> None:
    """Check the recipe on these prompts and print what that took."""
    changes = [f"prompts.path={prompts}", "prompts.max_tokens=240", *COLUMNS[: 2 * columns]]
    loaded = load_recipe(recipe, changes)
    began = time.monotonic()
    check_inputs(loaded)
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = time.process_time()
    read_prompt_file(prompts)
    sys.stdout.write(
        f"{prompts.name}: {used.ru_maxrss / 1024:.0f} MiB, {took:.0f} s, of them "
        f"{used.ru_utime + used.ru_stime:.0f} s of a core with the start; the reading alone "
        f"{time.process_time() - began:.0f} s of a core\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="one with models and prompts of your own")
    parser.add_argument("--number", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--columns", action="store_true", help="a reward function's, see above")
    parser.add_argument("--prompts", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prompts:
        measure(args.recipe, args.prompts, args.columns)
        return
    rows = with_columns if args.columns else alike
    cases = [(args.number, "jsonl")]
    if not args.columns:
        cases = [(100, "jsonl"), *cases, (args.number, "parquet")]
    with tempfile.TemporaryDirectory() as folder:
        for number, suffix in cases:
            path = Path(folder) / f"{number}.{suffix}"
            write_prompts(path, rows(number, args.words))
            own = [sys.executable, "-m", "benchmarks.preflight_size", str(args.recipe)]
            own += ["--columns"] * args.columns
            subprocess.run([*own, "--prompts", str(path)], check=True)


if __name__ == "__main__":
    main()
