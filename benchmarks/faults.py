"""`make faults`: kill a run at random instants until it is done; is it as if nothing had happened?

Every start of `recipes/small.yaml` is killed with SIGKILL, the whole process group, at a seeded
moment: while a stage holds the lock of its artifact. Each kind of artifact is hit at least once,
trainings included; then the run is left to finish and compared with one that no one disturbed.

    python -m benchmarks.faults [--kills 30] [--seed 0] [--minutes 15]
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from data.store.artifacts import RECORD
from data.summary import Summary, read_summary

RECIPE = "recipes/small.yaml"
POLL_SECONDS = 0.001
TRAININGS = {"policy", "student", "teacher"}  # about three seconds here; anything else below one


@dataclass
class Harness:
    folder: Path
    rng: random.Random
    environment: dict[str, str]
    kills: int = 0
    seconds_lost: float = 0.0
    hit: Counter = field(default_factory=Counter)  # kinds of artifacts in flight when killed
    doubled: list[str] = field(default_factory=list)  # artifacts that were made a second time
    made: dict[Path, int] = field(default_factory=dict)  # inode of every record seen so far

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def start(self, store: Path, run: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "cli", "align", RECIPE, "--quiet", "--run", run]
        command += ["--store", str(store), "--runs-dir", str(self.folder / "runs")]
        command += ["--set", "runtime.checkpoint_minutes=0"]
        log = (self.folder / f"{run}.log").open("ab")
        return subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, start_new_session=True
        )

    def summary(self, run: str) -> Summary:
        return read_summary(self.folder / "runs" / run / "summary.json")

    def undisturbed(self) -> float:
        """Seconds of a run that no one kills."""
        began = time.monotonic()
        code = self.start(self.folder / "calm", "calm").wait()
        if code:
            raise SystemExit((self.folder / "calm.log").read_text()[-2000:])
        return time.monotonic() - began

    def in_flight(self) -> dict[str, float]:
        """Locks held now, with the time they were taken. Their names begin with the kind."""
        found = {}
        for path in (self.store / "locks").glob("*-*"):
            try:
                found[path.name] = path.stat().st_mtime
            except FileNotFoundError:  # released meanwhile
                continue
        return found

    def disturb(self) -> bool:
        """Start once and kill; True if the run had finished before its moment came."""
        stale = set(self.in_flight())
        process = self.start(self.store, "stormy")
        passed: set[str] = set(stale)
        # How many stages to let pass: few, so that a kill is not far from the last one.
        patience = self.rng.randint(0, 2)
        while process.poll() is None:
            for name in set(self.in_flight()) - passed:
                passed.add(name)
                kind = name.split("-")[0]
                patience -= 1
                if self.hit[kind] == 0 or patience < 0:
                    self._kill(process, kind)
                    return False
            time.sleep(POLL_SECONDS)
        if process.returncode:
            raise SystemExit((self.folder / "stormy.log").read_text()[-2000:])
        return True

    def _kill(self, process: subprocess.Popen, kind: str) -> None:
        delays = (0.3, 1.0, 2.0, 3.0) if kind in TRAININGS else (0.0, 0.0, 0.02, 0.3)
        time.sleep(self.rng.choice(delays) if self.hit[kind] or kind in TRAININGS else 0.0)
        flying = self.in_flight()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.kills += 1
        self.seconds_lost += sum(time.time() - taken for taken in flying.values())
        self.hit.update({name.split("-")[0] for name in flying})
        self.look()

    def look(self) -> None:
        """Note every artifact there is; one with another inode than before was made twice."""
        for path in self.store.glob(f"*/??/*/{RECORD}"):
            inode = path.stat().st_ino
            if self.made.setdefault(path, inode) != inode:
                self.doubled.append(str(path))


def differences(calm: Summary, stormy: Summary) -> list[str]:
    """What an interrupted run has otherwise than an undisturbed one."""
    pairs = zip(calm.stages(), stormy.stages(), strict=True)
    found = [f"stage {a.stage}: other content" for a, b in pairs if a.artifact != b.artifact]
    for a, b in zip(calm.rounds, stormy.rounds, strict=True):
        if a.ledger != b.ledger:
            found.append(f"round {a.round}: other ledger")
        if a.policy != b.policy or a.student != b.student:
            found.append(f"round {a.round}: other results")
    return found + (["another final result"] if calm.final != stormy.final else [])


def litter(store: Path) -> list[str]:
    """Temporary files, checkpoints and locks that are left."""
    left = [path for name in ("tmp", "work") for path in (store / name).glob("*")]
    left += (store / "locks").glob("*-*")
    return [str(path.relative_to(store)) for path in left]


@contextmanager
def prefect_server(folder: Path) -> Any:
    """One server for all starts; a run would else spend most of its time on its own."""
    folder.mkdir(parents=True, exist_ok=True)  # Prefect makes its home, not what it stands in
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        api = f"http://127.0.0.1:{port}/api"
        for _ in range(600):  # on a machine that is busy with other things
            with suppress(OSError), urlopen(f"{api}/health", timeout=5):
                break
            if server.poll() is not None:
                raise SystemExit("Prefect's server did not start; try again on a quieter machine")
            time.sleep(1)
        yield environment | {"PREFECT_API_URL": api}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def report(harness: Harness, calm_seconds: float, failures: list[str]) -> None:
    records = [json.loads(path.read_text())["artifact"] for path in harness.made]
    resumed = sum(record["meta"].get("resumed_from_step", 0) > 0 for record in records)
    result = {
        "kills_survived": harness.kills,
        "artifacts_in_flight_when_killed": dict(sorted(harness.hit.items())),
        "redone": sum(harness.hit.values()),
        "seconds_lost": round(harness.seconds_lost, 1),
        "seconds_undisturbed": round(calm_seconds, 1),
        "trainings_resumed": resumed,
        "artifacts": len(harness.made),
        "made_twice": len(harness.doubled),
        "failures": failures,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def storm(harness: Harness, kills: int, minutes: float) -> list[str]:
    """Kill until there were enough, then let it finish. Returns what is not as it should be."""
    deadline = time.monotonic() + 60 * minutes
    done = False
    while not done and harness.kills < kills and time.monotonic() < deadline:
        done = harness.disturb()
        sys.stderr.write(f"{harness.kills} kills, {dict(harness.hit)}\n")
    if not done and harness.start(harness.store, "stormy").wait():
        raise SystemExit((harness.folder / "stormy.log").read_text()[-2000:])
    harness.look()
    failures = differences(harness.summary("calm"), harness.summary("stormy"))
    failures += [f"made twice: {path}" for path in harness.doubled]
    failures += [f"left behind: {path}" for path in litter(harness.store)]
    if harness.kills < kills:
        failures.append(f"only {harness.kills} of {kills} kills")
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--folder", type=Path, help="keep everything there, for a look")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = args.folder or Path(temporary)
        with prefect_server(folder) as environment:
            harness = Harness(folder, random.Random(args.seed), environment)
            calm_seconds = harness.undisturbed()
            failures = storm(harness, args.kills, args.minutes)
        report(harness, calm_seconds, failures)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
