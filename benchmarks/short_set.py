"""`make bench`: the benchmarks that take minutes, one after the other.

    python -m benchmarks.short_set [FOLDER] [--only NAME,...]

Each runs in a process of its own, prints what it measures, and writes its figures into FOLDER
(build/bench) as JSON. On a machine that has other work only their ratios tell something. Those that
need a GPU, real models or hours have commands of their own: docs/performance.md.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

# Name: arguments of `python -m benchmarks.NAME`, {out}: the file for its figures.
BENCHMARKS: dict[str, str] = {
    "tables": "--json {out}",
    "prefect_overhead": "--json {out}",
    "engines": "--sizes 10 --prompts 16 --turns 2 --out {out}",
    "scale_out": "--tiny --out {out}",
    "processes": "--pairs 48 --json {out}",
    "plain_round": "recipes/tunnel.yaml --prompts 200 --repeats 2 --work {folder} --out {out}",
}


def command(name: str, folder: Path) -> list[str]:
    """What runs a benchmark."""
    said = BENCHMARKS[name].format(out=folder / f"{name}.json", folder=folder)
    return [sys.executable, "-m", f"benchmarks.{name}", *said.split()]


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.short_set",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/bench"))
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="names, with commas")
    asked = parser.parse_args()
    names = asked.only.split(",")
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"--only {unknown[0]}: must be of {', '.join(BENCHMARKS)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        sys.stdout.write(f"\n## {name}\n")
        sys.stdout.flush()
        began = time.monotonic()
        if subprocess.run(command(name, asked.folder)).returncode:
            failed.append(name)
        sys.stdout.write(f"({name}: {time.monotonic() - began:.0f} s)\n")
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}; see the lines above\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
