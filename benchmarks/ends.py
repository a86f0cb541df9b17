"""`make ends`: runs that are ended in every way, and three at once, beside eight busy processes.

Each run of a recipe with a Prefect server of its own is ended once, at a seeded moment: the process
alone by SIGKILL, as the OOM killer does; by SIGTERM; by memory that it does not get; or its server
alone by SIGKILL. Then: is a process left, is there more than one line, and does the same command
again, or the run itself, end with what an undisturbed one has? At last three runs share a server.

    python -m benchmarks.ends [--recipe recipes/small.yaml] [--busy 8] [--seed 0]
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import differences, litter, prefect_server
from data.summary import Summary, read_summary

ENDS = ("kill", "term", "memory", "server")
GRACE_SECONDS = 15.0  # for children to end after their parent
SPARE_BYTES = 20_000_000  # more than a process has, in "memory"


@dataclass
class Started:
    """A run at work and the processes it has started."""

    process: subprocess.Popen
    error: Path
    children: list[psutil.Process] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return self.error.read_text().splitlines()

    def server(self) -> psutil.Process | None:
        """The child that listens."""
        for child in self.children:
            with suppress(psutil.Error):
                if any(one.status == psutil.CONN_LISTEN for one in child.net_connections("inet")):
                    return child
        return None


@dataclass
class Harness:
    recipe: str
    folder: Path
    rng: random.Random

    def start(self, run: str, store: str, **environment: str) -> Started:
        """Its errors alone are kept: there is to be at most one line."""
        command = [sys.executable, "-m", "cli", "align", self.recipe, "--quiet", "--run", run]
        command += ["--store", str(self.folder / store), "--runs-dir", str(self.folder / "runs")]
        command += ["--set", "runtime.checkpoint_minutes=0"]
        home = {"PREFECT_HOME": str(self.folder / "prefect")}
        error = self.folder / f"{run}-{time.monotonic_ns()}.log"
        with error.open("wb") as file:
            process = subprocess.Popen(
                command, env=os.environ | home | environment, stderr=file, start_new_session=True
            )
        return Started(process, error)

    def summary(self, run: str) -> Summary:
        return read_summary(self.folder / "runs" / run / "summary.json")

    def at_work(self, run: Started, store: str) -> bool:
        """Let a seeded number of artifacts be made; False if the run has ended before."""
        wanted = self.rng.randint(3, 12)
        while run.process.poll() is None:
            if sum(1 for _ in (self.folder / store).glob("*/??/*/artifact.json")) >= wanted:
                run.children = psutil.Process(run.process.pid).children(recursive=True)
                return True
            time.sleep(0.02)
        return False

    def end(self, how: str) -> dict[str, Any]:
        """End a run in this way, and then have it end well. Says what was seen and what failed."""
        run = self.start(how, how)
        if not self.at_work(run, how):
            return {"failures": ["ended before its time", *run.lines[-3:]]}
        began = time.monotonic()
        if how == "server":
            server = run.server()
            assert server is not None
            server.kill()
        elif how == "memory":
            limit = psutil.Process(run.process.pid).memory_info().vms + SPARE_BYTES
            resource.prlimit(run.process.pid, resource.RLIMIT_AS, (limit, limit))
        else:
            run.process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        status = run.process.wait()
        seen: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - began, 1)}
        left = psutil.wait_procs(run.children, timeout=GRACE_SECONDS)[1]
        failures = [f"left running: {' '.join(one.cmdline()[:4])}" for one in left]
        seen["said"] = run.lines[:3]
        if len(run.lines) > (how != "kill"):
            failures.append(f"{len(run.lines)} lines: {run.error}")
        if (status == 0) != (how == "server"):
            failures.append(f"exit status {status}")
        if status:
            again = self.start(how, how)
            if again.process.wait() or again.lines:
                failures += ["does not go on", *again.lines[-3:]]
                return seen | {"failures": failures}
        failures += differences(self.summary("calm"), self.summary(how))
        failures += [f"left behind: {path}" for path in litter(self.folder / how)]
        return seen | {"failures": failures}

    def together(self, api: str) -> dict[str, Any]:
        """Three runs at once, each with a store of its own, on one server."""
        names = ("one", "two", "three")
        runs = [self.start(name, name, PREFECT_API_URL=api) for name in names]
        statuses = [run.process.wait() for run in runs]
        failures = [line for run in runs for line in run.lines[:3]]
        for name, status in zip(names, statuses, strict=True):
            if status == 0:
                failures += differences(self.summary("calm"), self.summary(name))
        return {"statuses": statuses, "failures": failures + [s for s in statuses if s]}


@contextmanager
def busy(number: int) -> Iterator[None]:
    """So many processes that only compute."""
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for load in loads:
            load.kill()
            load.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="recipes/small.yaml")
    parser.add_argument("--ends", nargs="*", choices=ENDS, default=ENDS)
    parser.add_argument("--busy", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", type=Path, help="keep everything there, for a look")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ends-") as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        harness = Harness(args.recipe, folder, random.Random(args.seed))
        calm = harness.start("calm", "calm")
        if calm.process.wait():
            raise SystemExit(calm.error.read_text()[-2000:])
        result = {}
        if args.together:  # the server first: Prefect's own command gives up where it starts slowly
            with prefect_server(folder / "server") as environment, busy(args.busy):
                result["three at once"] = harness.together(environment["PREFECT_API_URL"])
        with busy(args.busy):
            for how in args.ends:
                sys.stderr.write(f"{result}\n")
                result[how] = harness.end(how)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    sys.exit(any(one["failures"] for one in result.values()))


if __name__ == "__main__":
    main()
