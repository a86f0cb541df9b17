"""What `tsalign check --time` predicts, beside what a run then takes, at sizes far apart.

    python -m benchmarks.predicted recipes/embedded.yaml --sizes 80 1600 --work .tsalign/predicted

Each part is a command of its own, as a user would give it. First a run of one round with few
prompts makes the models of the embedded world, if the recipe has any, and what it has measured is
thrown away. Then the rounds of all sizes are predicted from the pilot alone, each run is made in a
copy of the store that has the models, and predicted and measured are set side by side: by stage,
the whole, by the clock and by seconds of a core. Last, the largest size is predicted again from the
records of the smallest run. On a machine with other work compare the seconds of a core; the whole
by the clock is for an idle one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from data.rates import FOLDER
from tasks.running.measuring import BETWEEN, ENGINE, START

Sums = dict[str, dict[str, float]]  # seconds and cores, by stage
BESIDE = "beside the stages"
_CORES = ("user", "system", "children_user", "children_system")


class Place:
    """A store, the runs beside it, and commands on them."""

    def __init__(self, folder: Path, recipe: str, changes: list[str]) -> None:
        self.folder, self._recipe, self._changes = folder, recipe, changes

    def command(self, name: str, prompts: int, *more: str) -> tuple[str, float, float]:
        """What a command prints, its seconds, and seconds of a core."""
        changes = ["rounds=1", f"prompts.per_round={prompts}", *self._changes]
        sets = [part for change in changes for part in ("--set", change)]
        where = ["--store", str(self.folder / "store"), "--runs-dir", str(self.folder / "runs")]
        began, before = time.monotonic(), os.times()
        done = subprocess.run(
            [sys.executable, "-m", "cli", name, self._recipe, *sets, *where, *more],
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds, after = time.monotonic() - began, os.times()
        if done.returncode:
            sys.exit(f"tsalign {name} failed")
        return done.stdout, seconds, sum(getattr(after, n) - getattr(before, n) for n in _CORES)

    def copy(self, name: str) -> "Place":
        """The same store in another folder, without what was measured there."""
        found = Place(self.folder.parent / name, self._recipe, self._changes)
        shutil.rmtree(found.folder, ignore_errors=True)
        left_out = shutil.ignore_patterns("locks", "tmp", FOLDER)
        shutil.copytree(self.folder / "store", found.folder / "store", ignore=left_out)
        return found

    def predict(self, prompts: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("check", prompts, "--time", "--json")[0])
        return dict(found["time"])

    def measured(self) -> Sums:
        """What bodies of stages have taken in the runs of this store."""
        sums: Sums = defaultdict(lambda: {"seconds": 0.0, "cores": 0.0})
        (path,) = (self.folder / "store" / FOLDER).glob("*.jsonl")
        for text in path.read_text().splitlines():
            one = json.loads(text)
            if "stage" in one and not one["pilot"]:
                for name in ("seconds", "cores"):
                    sums[one["stage"]][name] += one[name]
        return sums


def side_by_side(title: str, expected: dict[str, Any], taken: Sums, whole: list[float]) -> Any:
    """Print predicted over measured, by stage from the longest, and the whole."""
    sums: Sums = defaultdict(lambda: {"seconds": 0.0, "cores": 0.0})
    for step in expected["steps"]:
        for name in ("seconds", "cores"):
            started = step["starting" if name == "seconds" else "starting_cores"]
            sums[step["stage"]][name] += (step[name] or 0.0) - started
            sums[ENGINE][name] += started
    beside = {"seconds": expected["start"] + expected["between_stages"]}
    sums[BESIDE] = beside | {"cores": expected["core_seconds_beside"]}
    for name in (START, BETWEEN):
        for what, value in taken.pop(name, {}).items():
            taken[BESIDE][what] += value
    stages = sorted({*sums, *taken}, key=lambda stage: -taken[stage]["seconds"])
    rows = {
        stage: [one[stage][name] for name in ("seconds", "cores") for one in (sums, taken)]
        for stage in stages
    }
    rows["whole command"] = [expected["seconds"], whole[0], expected["core_seconds"], whole[1]]
    head = ("predicted", "measured", "ratio", "by a core", "measured", "ratio")
    _say(f"\n{title}\n  {'stage':<22}" + "".join(f"{name:>11}" for name in head))
    for name, (a, b, c, d) in rows.items():
        if max(a, b, c, d) >= 0.05:
            cells = (f"{a:.2f}", f"{b:.2f}", _over(a, b), f"{c:.2f}", f"{d:.2f}", _over(c, d))
            _say(f"  {name:<22}" + "".join(f"{cell:>11}" for cell in cells))
    return rows


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _over(one: float, other: float) -> str:
    return f"{one / other:.2f}" if other else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--sizes", type=int, nargs="+", default=[80, 1600])
    parser.add_argument("--work", type=Path, default=Path(".tsalign/predicted"))
    parser.add_argument("--set", action="append", default=[], help="a change, as of tsalign")
    parser.add_argument("--out", type=Path, help="a file for the figures, JSON")
    given = parser.parse_args()
    first = Place(given.work / "first", given.recipe, given.set)
    first.command("align", 16, "--quiet")
    pilot = first.copy("pilot")
    began = time.monotonic()
    expected = {size: pilot.predict(size) for size in given.sizes}
    _say(f"the pilot and all predictions: {time.monotonic() - began:.0f} s")
    found, places = {}, {}
    for size in given.sizes:
        places[size] = place = first.copy(str(size))
        _, *whole = place.command("align", size, "--quiet")
        title = f"{size} prompts, by the pilot"
        found[title] = side_by_side(title, expected[size], place.measured(), whole)
    small, large = min(given.sizes), max(given.sizes)
    if small != large:
        records = first.copy("records")
        shutil.copytree(places[small].folder / "store" / FOLDER, records.folder / "store" / FOLDER)
        title = f"{large} prompts, by the records of the run with {small}"
        taken = places[large].measured()
        found[title] = side_by_side(title, records.predict(large), taken, whole)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
