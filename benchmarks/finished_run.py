"""How long a finished run takes to say so: `python -m benchmarks.finished_run RECIPE`.

Aligns by the recipe where that is not done (`--store`, `--runs-dir`), then starts `tsalign align`
again several times over and prints seconds from the start of the process to its end, and seconds of
a core, which tell more beside other work: the median and range. `--modules` names what the process
has loaded of torch, transformers, Prefect and vLLM, of which it needs nothing.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from data.places import runs_folder, store_url

HEAVY = ("torch", "transformers", "prefect", "vllm", "trl", "pandas")
_WITH_MODULES = """
import sys
from cli.main import main
status = main(sys.argv[1:])
print("loaded:", *[name for name in {names} if name in sys.modules])
sys.exit(status)
"""


def once(command: list[str]) -> tuple[float, float, str]:
    """Seconds on the clock and of a core that a command takes, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, said


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--store", default=store_url())
    parser.add_argument("--runs-dir", default=str(runs_folder()))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--modules", action="store_true")
    parser.add_argument("--out", type=Path, help="a file for the figures (JSON)")
    asked = parser.parse_args()
    arguments = ["align", asked.recipe, "--store", asked.store, "--runs-dir", asked.runs_dir]
    command = [sys.executable, "-m", "cli", *arguments]
    subprocess.run([*command, "--quiet"], check=True)
    figures = []
    for _ in range(asked.repeats):
        seconds, used, said = once(command)
        if "nothing to do" not in said:
            sys.exit(f"not finished: {said.splitlines()[:1]}")
        figures.append((seconds, used))
    for name, values in zip(("seconds", "of a core"), zip(*figures, strict=True), strict=True):
        middle = statistics.median(values)
        sys.stdout.write(f"{name:<10}{middle:>6.2f}  {min(values):.2f} to {max(values):.2f}\n")
    if asked.modules:
        code = _WITH_MODULES.format(names=HEAVY)
        said = once([sys.executable, "-c", code, *arguments])[2]
        sys.stdout.write(said.splitlines()[-1] + "\n")
    if asked.out:
        found = {"recipe": asked.recipe, "cores": os.cpu_count(), "seconds_and_core": figures}
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
