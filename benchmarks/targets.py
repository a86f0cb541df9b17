"""What a teacher's targets cost: time to read answers, bytes on disk, time and memory to load them.

    python -m benchmarks.targets MODEL [--tokens N] [--k K ...] [--shard N]

The teacher MODEL reads answers of the embedded world, shard by shard as the stage `targets` does,
until they have N tokens; the table is written as an artifact's is, and read as a training reads it.
A line of a table for each K; seconds are of a core (user and system).
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import pyarrow as pa

from data.recipes.recipe import RuntimeConfig
from data.schemas import TARGETS
from data.table_file import TableFile
from data.tables import write_tables
from data.world import generate
from models.teacher import Teacher
from models.training.kept_targets import KeptTargets
from tasks.targets import columns

HEAD = ("k", "tokens", "read", "write", "bytes", "bytes a token", "load", "in memory")


def measured(asked: argparse.Namespace, k: int) -> list[str]:
    teacher = Teacher(asked.model, RuntimeConfig(device="cpu"))
    spent = {"read": 0.0, "tokens": 0.0}

    def shards() -> Iterator[pa.Table]:
        number = 0
        while spent["tokens"] < asked.tokens:
            talks = generate.lessons(asked.shard, number)
            items = [(talk[:-1], talk[-1]["content"]) for talk in talks]
            began = process_time()
            found = teacher.targets(items, k, 1.0)
            ids = pa.array([f"{number}-{i}" for i in range(len(talks))])
            table = pa.table([ids, ids, *columns(found)], schema=TARGETS)
            spent["read"] += process_time() - began
            spent["tokens"] += sum(len(one.token_ids) for one in found if one)
            number += 1
            yield table

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.parquet"
        began = process_time()
        write_tables(path, shards(), TARGETS)
        write = process_time() - began - spent["read"]
        size, tokens = path.stat().st_size, int(spent["tokens"])
        began = process_time()
        kept = KeptTargets([TableFile(path, TARGETS)])
        load = process_time() - began
        memory = sum(array.nbytes for array in kept.digest_parts())
    seconds = [f"{spent['read']:.0f} s", f"{write:.1f} s", f"{load:.1f} s"]
    sizes = f"{size / 1e6:.0f} MB", f"{size / tokens:.0f}", f"{memory / 1e6:.0f} MB"
    return [str(k), f"{tokens:,}", *seconds[:2], *sizes[:2], seconds[2], sizes[2]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--k", type=int, nargs="+", default=[20])
    parser.add_argument("--shard", type=int, default=2_000, help="answers")
    asked = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")  # noqa: T201
    for k in asked.k:
        print(f"| {' | '.join(measured(asked, k))} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
