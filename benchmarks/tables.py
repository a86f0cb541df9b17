"""Time and memory of the stages that only work on tables: `python -m benchmarks.tables`.

    python -m benchmarks.tables [--prompts 10000] [--stages mine,relabel] [--shards 20]

Tables of synthetic prompts, of K answers of each and of two rewards of every answer are written,
once a tenth as large and once of the size asked for. Every stage is called on them in a process of
its own, without Prefect; printed are its seconds of a core (which tell more than those of a clock
where a machine has other work; both are in the JSON), with the look at its inputs' digests and the
writing of its result, the largest resident memory of that process, and by how much the seconds grow
where the tables grow tenfold. `score` is that of a reward function, length-band, in so many
shards.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.synthetic_tables import made
from data.recipes.fine_tuning import PickConfig
from data.recipes.methods import Matrix, Place, RefreshConfig
from data.recipes.recipe import GateConfig, MineConfig, RuntimeConfig, TeacherConfig
from data.reward_functions import SHIPPED
from data.store.artifacts import Artifact
from data.store.store import Store
from tasks import evaluate, gate, matrix, mine, pair_answers, pick, refresh, relabel, reward, select
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.outside import Shipped
from tasks.running.progress import Progress
from tasks.stage import Context, Run

# Two models that answered the same prompts.
PLACES = [
    Place(name="new", family="f", version=2, scale=1),
    Place(name="old", family="f", version=1, scale=1),
]


class Size(NamedTuple):
    prompts: int
    k: int
    seed: int
    shards: int


class Tables:
    """The synthetic tables of a store, and the stages that are called on them."""

    def __init__(self, folder: Path, size: Size) -> None:
        runtime = RuntimeConfig(shard_prompts=size.prompts // size.shards)
        context = Context(Store(folder), runtime, LoadedModels("none", runtime))
        self.run = Run(context, Progress(quiet=True), "engine", books=Books(kept=False))
        self.size = size

    def input(self, name: str) -> Artifact:
        return made(self.run.context.store, name, *self.size[:3])

    def select(self) -> Artifact:
        half = self.size.prompts // 2
        return select.select(pool=self.input("prompts"), size=half, round_number=1, seed=0)

    def mine(self) -> Artifact:
        return mine.mine(
            completions=self.input("completions"),
            scores=self.input("scores"),
            config=MineConfig(),
            seed=0,
        )

    def pick(self) -> Artifact:
        return pick.pick(
            prompts=self.input("prompts"),
            completions=self.input("completions"),
            scores=self.input("scores"),
            config=PickConfig(),
        )

    def relabel(self) -> Artifact:
        return relabel.take_order(
            mined=self.mine(),
            prompts=self.input("prompts"),
            config=TeacherConfig(),
            round_number=1,
            teacher_calls=0,
        )

    def refresh(self) -> Artifact:
        return refresh.choose(
            prompts=self.input("prompts"),
            scores=self.input("scores"),
            preferences=self.relabel(),
            initial=self.input("first scores"),
            config=RefreshConfig(share=0.3, reward="chosen", baseline="initial"),
            round_number=2,
            seed=0,
        )

    def renew(self) -> Artifact:
        again = self.refresh()
        new = self.input("first scores")
        return refresh.renew_scores(old=self.input("scores"), new=new, again=again)

    def matrix(self) -> Artifact:
        return matrix.pair_up(
            prompts=self.input("prompts"),
            completions=[self.input("completions"), self.input("older completions")],
            places=PLACES,
            own=["new"],
            config=Matrix(),
            drop_truncated=True,
            seed=0,
        )

    def keep_order(self) -> Artifact:
        asked = self.input("prompts")
        return matrix.keep_order(mined=self.matrix(), prompts=asked, round_number=1)

    def evaluate(self) -> Artifact:
        return evaluate.evaluate(
            prompts=self.input("prompts"),
            base=self.input("first answers"),
            policy=self.input("second answers"),
            base_rewards=self.input("first answers' scores"),
            policy_rewards=self.input("second answers' scores"),
            judge="teacher",
        )

    def gate(self) -> Artifact:
        scores = [self.input(name) for name in ("first scores", "scores")]
        return gate.gate(before=scores[0], after=scores[1], config=GateConfig())

    def pair_mined(self) -> Artifact:
        return pair_answers.pair_mined(mined=self.mine())

    def score(self) -> Artifact:
        return reward.reward(
            functions=[Shipped(path="length-band", digest=SHIPPED["length-band"].version)],
            weights=[1.0],
            prompts=self.input("prompts"),
            completions=self.input("completions"),
            columns=[],
        )


class Case(NamedTuple):
    call: Callable[[Tables], Artifact]
    reads: tuple[str, ...]  # synthetic tables
    after: tuple[str, ...] = ()  # stages whose results it reads


_ANSWERS, _RATED = ("completions", "scores"), ("first scores", "scores")
_HELD_OUT = (
    *("first answers", "first answers' scores"),
    *("second answers", "second answers' scores"),
)
STAGES = {
    "select": Case(Tables.select, ("prompts",)),
    "mine": Case(Tables.mine, _ANSWERS),
    "pick": Case(Tables.pick, ("prompts", *_ANSWERS)),
    "relabel": Case(Tables.relabel, ("prompts",), ("mine",)),
    "refresh": Case(Tables.refresh, ("prompts", *_RATED), ("relabel",)),
    "renew": Case(Tables.renew, _RATED, ("refresh",)),
    "matrix": Case(Tables.matrix, ("prompts", "completions", "older completions")),
    "keep_order": Case(Tables.keep_order, ("prompts",), ("matrix",)),
    "evaluate": Case(Tables.evaluate, ("prompts", *_HELD_OUT)),
    "gate": Case(Tables.gate, _RATED),
    "pair_mined": Case(Tables.pair_mined, (), ("mine",)),
    "score": Case(Tables.score, ("prompts", "completions")),
}


def measure(folder: Path, size: Size, name: str) -> dict[str, Any]:
    """Call a stage on what is in the store."""
    tables = Tables(folder, size)
    began, clock = time.process_time(), time.perf_counter()
    with tables.run.active():
        artifact = STAGES[name].call(tables)
    return {
        "seconds": round(time.process_time() - began, 2),
        "clock": round(time.perf_counter() - clock, 2),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": artifact.rows,
        "computed": tables.run.computed,
        "digest": artifact.digest,
    }


def in_child(folder: Path, size: Size, name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.tables", "--store", str(folder), "--stages", name]
    numbers = zip(("--prompts", "--k", "--seed", "--shards"), map(str, size), strict=True)
    said = subprocess.run(
        command + [text for pair in numbers for text in pair],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def measured(folder: Path, size: Size, names: list[str]) -> dict[str, dict[str, Any]]:
    """The figures of stages, and of those whose results they read; each in a child."""
    tables, found = Tables(folder, size), dict[str, dict[str, Any]]()

    def one(name: str) -> None:
        for needed in STAGES[name].reads:
            tables.input(needed)
        for before in STAGES[name].after:
            one(before)
        if name not in found:
            found[name] = in_child(folder, size, name)

    for name in names:
        one(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = Size(args.prompts, args.k, args.seed, args.shards)
    names: list[str] = args.stages.split(",")
    if args.store:
        sys.stdout.write(json.dumps(measure(args.store, size, names[0])))
        return
    sizes = [size._replace(prompts=size.prompts // 10), size]
    with tempfile.TemporaryDirectory() as folder:
        figures = [measured(Path(folder) / str(one.prompts), one, names) for one in sizes]
    sys.stdout.write(f"{sizes[0].prompts:,} and {size.prompts:,} prompts x {size.k}\n")
    for name in figures[0]:
        small, large = (one[name] for one in figures)
        ratio = large["seconds"] / small["seconds"] if small["seconds"] else float("nan")
        sys.stdout.write(
            f"{name:<12}{small['seconds']:>9.2f} s{large['seconds']:>9.2f} s{ratio:>7.1f}x"
            f"{large['mib']:>8} MiB  {large['digest'][7:23]}\n"
        )
    if args.json:
        args.json.write_text(json.dumps({"size": size._asdict(), "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
