"""What another number of threads or other kernels change: one small run, made under each.

    python -m benchmarks.other_machine [RECIPE] [--set KEY=VALUE ...] [--only NAME ...] [--work DIR]

Runs the recipe (recipes/small.yaml) once for every setting of `SETTINGS`, each in a process and a
store of its own, and sets all against the first: how many stage calls gave another content, which
of them was the first in the order of the run, by how much, and what became of the figures. The
settings stand for other machines: fewer or more cores, a processor without AVX-512. A library takes
what its variable allows and the processor has, so that a setting that the machine cannot follow
changes nothing; `kernels` in each run's summary says what ATen took.

Stages before the first that differs are the same bytes; whatever follows from one that differs is
made of other inputs. DIR keeps the runs; a setting that is there already is not run again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.golden_compare import rows_that_differ
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord, Summary, read_summary
from models.host import LIMITS
from reports.text import column, written

ROOT = Path(__file__).parents[1]
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
# By name, the environment of a run beside one thread and no limits; all are set against the first.
SETTINGS: dict[str, dict[str, str]] = {
    "one thread": {},
    "again": {},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "ATen up to AVX2": {"ATEN_CPU_CAPABILITY": AVX2["ATEN_CPU_CAPABILITY"]},
    "oneDNN up to AVX2": {"ONEDNN_MAX_CPU_ISA": AVX2["ONEDNN_MAX_CPU_ISA"]},
    "MKL up to AVX2": {"MKL_ENABLE_INSTRUCTIONS": AVX2["MKL_ENABLE_INSTRUCTIONS"]},
    "all up to AVX2": AVX2,
}
FIGURES = ("label_precision", "agreement", "kl_to_base", "mean_tokens")  # beside the headline


def folder_name(name: str) -> str:
    return name.replace(" ", "-")


def make(name: str, recipe: str, changes: Sequence[str], work: Path) -> tuple[Summary, Store]:
    """The run under a setting, as far as it is not there; its summary and store."""
    folder = work / folder_name(name)
    summary, store = folder / "runs" / "run" / "summary.json", folder / "store"
    if not (summary.is_file() and read_summary(summary).finished):
        sets = [part for change in changes for part in ("--set", change)]
        places = ["--store", str(store), "--runs-dir", str(folder / "runs")]
        plain = {key: value for key, value in os.environ.items() if key not in LIMITS}
        environment = plain | {"OMP_NUM_THREADS": "1"} | SETTINGS[name]
        command = [sys.executable, "-m", "cli", "align", recipe, "--run", "run", "--quiet"]
        subprocess.run([*command, *sets, *places], check=True, cwd=ROOT, env=environment)
    return read_summary(summary), Store(str(store))


def changed(one: Summary, other: Summary) -> list[tuple[StageRecord, StageRecord]]:
    """The stage calls of two runs that gave another content, in the order of the run.

    Calls belong together by round, title and which of these it is.
    """
    theirs = numbered(other)
    pairs = [(x, theirs.get(place)) for place, x in numbered(one).items()]
    return [(x, y) for x, y in pairs if y is not None and x.artifact != y.artifact]


def numbered(summary: Summary) -> dict[tuple[int, str, int], StageRecord]:
    seen: Counter[tuple[int, str]] = Counter()
    found = {}
    for record in summary.stages():
        name = (record.round, record.stage)
        found[(*name, seen[name])] = record
        seen[name] += 1
    return found


def by_how_much(pair: tuple[StageRecord, StageRecord], stores: tuple[Store, Store]) -> str:
    """Of a model, how far its weights lie apart; of a table, in which columns and how many rows."""
    folders = [
        store.path(Artifact(kind=record.kind, key=record.key, digest=record.artifact))
        for record, store in zip(pair, stores, strict=True)
    ]
    weights = [folder / "model.safetensors" for folder in folders]
    if all(path.is_file() for path in weights):
        return weights_apart(*weights)
    return rows_that_differ(*(folder / "data.parquet" for folder in folders)).strip(" ()")


def weights_apart(one: Path, other: Path) -> str:
    """|a - b| / |a| over all weights, and the largest single difference."""
    from safetensors.numpy import load_file

    a, b = load_file(one), load_file(other)
    if a.keys() != b.keys():
        return "other weights"
    gaps = [np.asarray(a[name], float) - np.asarray(b[name], float) for name in a]
    norm = np.sqrt(sum(float((np.asarray(value, float) ** 2).sum()) for value in a.values()))
    apart = np.sqrt(sum(float((gap**2).sum()) for gap in gaps))
    largest = max(float(np.abs(gap).max()) for gap in gaps)
    return f"weights {apart / norm:.1e} of their norm apart, {largest:.1e} at most"


def figures(summary: Summary, names: Sequence[str]) -> list[str]:
    return [
        written(summary.measures[name].value, summary.measures[name].unit)
        if name in summary.measures
        else "–"
        for name in names
    ]


def lines(made: dict[str, tuple[Summary, Store]]) -> Iterator[str]:
    """A Markdown table of the settings."""
    (first, store), *_ = made.values()
    names = [name for name in (first.headline, *FIGURES) if name in first.measures]
    titles = [column(first.measures[name], name) for name in names]
    yield f"{len(first.stages())} stage calls, seed {first.seed}, {machine(first)}\n"
    head = ["setting", "kernels", "calls that differ", "the first", "by how much", *titles]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for name, (summary, its) in made.items():
        apart = changed(first, summary)
        what = ["–", "–"]
        if apart:
            record = apart[0][0]
            place = f", round {record.round}" if record.round else ""
            what = [f"{record.stage}{place}", by_how_much(apart[0], (store, its))]
        kernels = summary.machine.get("kernels", "–").split(",")[0]
        count = f"{len(apart)} of {len(first.stages())}"
        yield f"| {' | '.join([name, kernels, count, *what, *figures(summary, names)])} |"


def machine(summary: Summary) -> str:
    known = [summary.machine.get(name) for name in ("cpu", "instructions", "kernels")]
    return ", ".join([*(one for one in known if one), f"torch {summary.versions['torch']}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="?", default=str(ROOT / "recipes" / "small.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=[], metavar="NAME")
    parser.add_argument("--work", type=Path, help="where the runs are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        names = [
            n for n in SETTINGS if not args.only or n in args.only or n == next(iter(SETTINGS))
        ]
        recipe = str(Path(args.recipe).resolve())
        made = {name: make(name, recipe, args.changes, work) for name in names}
        sys.stdout.writelines(f"{line}\n" for line in lines(made))


if __name__ == "__main__":
    main()
