"""Memory and time of preflight on many prompts: `python -m benchmarks.preflight_size RECIPE`.

Writes files of prompts, runs the checks of `tsalign align` on each in a process of its own and
prints the largest resident memory of that process and its time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.preflight.inputs import check_inputs
from flows.recipe_files import load_recipe

WORDS = "What is the plan for a small house with two rooms and a garden in the hills ?".split()


def write_prompts(path: Path, number: int, words: int) -> None:
    """Prompts of so many words, every one another."""
    rows = (
        {"prompt": f"{i} " + " ".join(WORDS[(i + j) % len(WORDS)] for j in range(words))}
        for i in range(number)
    )
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        with path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def measure(recipe: Path, prompts: Path) -> None:
    """Check the recipe on these prompts and print what that took."""
    loaded = load_recipe(recipe, [f"prompts.path={prompts}", "prompts.max_tokens=240"])
    began = time.monotonic()
    check_inputs(loaded)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{prompts.name}: {largest:.0f} MiB, {time.monotonic() - began:.0f} s\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="one with models and prompts of your own")
    parser.add_argument("--number", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--prompts", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prompts:
        measure(args.recipe, args.prompts)
        return
    with tempfile.TemporaryDirectory() as folder:
        for number, suffix in ((100, "jsonl"), (args.number, "jsonl"), (args.number, "parquet")):
            path = Path(folder) / f"{number}.{suffix}"
            write_prompts(path, number, args.words)
            own = [sys.executable, "-m", "benchmarks.preflight_size", str(args.recipe)]
            subprocess.run([*own, "--prompts", str(path)], check=True)


if __name__ == "__main__":
    main()
