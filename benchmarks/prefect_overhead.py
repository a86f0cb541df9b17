"""What Prefect costs per stage: the same work as tasks of a flow and straight into the store.

    python -m benchmarks.prefect_overhead [--stages 200]

Medians of three rounds in one process; the server of the measurement is not part of it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from tasks.running.progress import Progress
from tasks.running.residents import Residents
from tasks.stage import Context, Run, stage


@stage("nothing", version="1")
def nothing(out: Path, context: Context, *, number: int) -> dict[str, Any]:
    """A stage that does as good as nothing."""
    (out / "number.txt").write_text(str(number))
    return {}


@flow(persist_result=False, validate_parameters=False)
def stages(run: Run, n: int) -> None:
    for number in range(n):
        nothing(run, number=number)


def straight(run: Run, n: int) -> None:
    store = run.context.store
    for number in range(n):
        key = nothing.key(run.context, {"number": number})
        store.put("nothing", key, partial(nothing.body, context=run.context, number=number))


def timed(work: Callable[[Run, int], None], run: Run, n: int) -> float:
    began = time.perf_counter()
    work(run, n)
    return 1000 * (time.perf_counter() - began) / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stages", type=int, default=200)
    n = parser.parse_args().stages
    figures: dict[str, list[float]] = {}
    with prefect_test_harness(server_startup_timeout=120):
        for _ in range(3):
            for name, work in (("as a task", stages), ("straight", straight)):
                with tempfile.TemporaryDirectory() as folder:
                    config = RuntimeConfig(device="cpu")
                    context = Context(Store(folder), config, Residents("none", config))
                    run = Run(context, Progress(quiet=True), "none")
                    for state in ("computed", "cached"):
                        figures.setdefault(f"{state}, {name}", []).append(timed(work, run, n))
    for name, values in sorted(figures.items()):
        sys.stdout.write(f"{name:22} {statistics.median(values):6.1f} ms per stage\n")


if __name__ == "__main__":
    main()
