"""What Prefect costs per stage: the same work as tasks of a flow and straight into the store.

    python -m benchmarks.prefect_overhead [--stages 100] [--turns 5] [--against CHECKOUT]

Medians and ranges of turns in one process, by the clock and in core time of its threads, with the
settings of Prefect that a run has and a server of its own as a run starts one, on a database of its
own. The start of the flow is part of the time by the clock, the server's work is not of the core's.
With another checkout of this project its own benchmark is run first, so that both see the same
machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from data.recipes.recipe import RuntimeConfig
from data.store.store import Store
from flows.server import prefect_ready, set_defaults

HOME = tempfile.TemporaryDirectory()  # of Prefect: no server and no database of the user's
os.environ["PREFECT_HOME"] = HOME.name
os.environ.pop("PREFECT_API_URL", None)
set_defaults()  # before Prefect is imported

from prefect import flow  # noqa: E402

from tasks.running.loaded import LoadedModels  # noqa: E402
from tasks.running.progress import Progress  # noqa: E402
from tasks.stage import Context, Run, stage  # noqa: E402

CLOCKS = ("by the clock", "of a core")


@stage("nothing", version="1")
def nothing(ctx: Context, *, number: int) -> dict[str, Any]:
    """A stage that does as good as nothing."""
    (ctx.out / "number.txt").write_text(str(number))
    return {}


@flow(persist_result=False)
def calls(n: int) -> None:
    for number in range(n):
        nothing(number=number)


def stages(run: Run, n: int) -> None:
    with run.active():
        calls(n)


def straight(run: Run, n: int) -> None:
    store = run.context.store
    for number in range(n):
        inputs = {"number": number}
        key = nothing.key(run.context, inputs)
        store.put("nothing", key, partial(nothing.execute, context=run.context, inputs=inputs))


def timed(work: Callable[[Run, int], None], run: Run, n: int) -> tuple[float, float]:
    """Milliseconds of a stage: by the clock, and of a core."""
    began, busy = time.perf_counter(), time.process_time()
    work(run, n)
    spent = time.perf_counter() - began, time.process_time() - busy
    return 1000 * spent[0] / n, 1000 * spent[1] / n


def measured(checkout: Path, n: int) -> None:
    """What another checkout says of itself."""
    sys.stdout.write(f"{checkout}\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "benchmarks.prefect_overhead", "--stages", str(n)]
    subprocess.run(
        command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}, check=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stages", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, measured first")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    n = arguments.stages
    if arguments.against:
        measured(arguments.against, n)
        sys.stdout.write(f"{Path.cwd()}\n")
    figures: dict[str, dict[str, list[float]]] = {}
    with prefect_ready(Path(HOME.name), meanwhile=lambda: None) as answers:
        if not answers:
            parser.exit(1, "Prefect's server has not started\n")
        for _ in range(arguments.turns):
            for name, work in (("as a task", stages), ("straight", straight)):
                with tempfile.TemporaryDirectory() as folder:
                    config = RuntimeConfig(device="cpu")
                    context = Context(Store(folder), config, LoadedModels("none", config))
                    run = Run(context, Progress(quiet=True), "none")
                    for state in ("computed", "cached"):
                        for how, spent in zip(CLOCKS, timed(work, run, n), strict=True):
                            of = figures.setdefault(f"{state}, {name}", {})
                            of.setdefault(how, []).append(spent)
    for name, of in sorted(figures.items()):
        said = (
            f"{statistics.median(values):6.1f} ms per stage {how} "
            f"({min(values):.1f} to {max(values):.1f})"
            for how, values in of.items()
        )
        sys.stdout.write(f"{name:22} {', '.join(said)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"milliseconds of a stage": figures}, indent=1))


if __name__ == "__main__":
    main()
