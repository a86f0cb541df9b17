"""What Prefect's temporary server costs until it answers, of the Prefects of several environments.

    python -m benchmarks.prefect_start OTHER/bin/python [--turns 3]

This environment's Prefect and those of the others in turn, each as a run starts it: its API on a
free port of loopback, without the UI (`flows.server`). Printed are its seconds of a core, which
tell more than those of a clock on a busy machine, and the memory that it holds then: with a new
database, which it makes, and with one that is there. Ranges are those of the turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from flows.server import SETTINGS
from models.interpreters import variables

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
KINDS = ("new database", "known database")
# As `flows.server.Server` has it; the other environments have no tsalign.
_SERVE = """
import json, socket
from importlib.metadata import version
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
port = listening.getsockname()[1]
found = {name: version(name) for name in ("prefect", "fastapi")}
print(json.dumps({"port": port, "versions": found}), flush=True)
import uvicorn
create = "prefect.server.api.server:create_app"
config = uvicorn.Config(create, factory=True, log_level="error", lifespan="on")
uvicorn.Server(config).run(sockets=[listening])
"""


class Start(NamedTuple):
    """A server that has answered."""

    versions: str
    core: float  # seconds
    clock: float  # seconds
    megabytes: float  # resident


def start(python: Path, home: Path) -> Start:
    """Start a server, wait for its answer, and kill it."""
    environment = {
        **variables(python),
        **SETTINGS,
        "PREFECT_HOME": str(home),
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    began = time.monotonic()
    server = subprocess.Popen(
        [python, "-c", _SERVE], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        while not _answers(f"http://127.0.0.1:{said['port']}/api/health"):
            if server.poll() is not None:
                raise SystemExit(f"{python}: the server ended with {server.returncode}")
            time.sleep(0.2)
        clock = time.monotonic() - began
        fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        core = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its children's too
        resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        versions = ", ".join(f"{name} {number}" for name, number in said["versions"].items())
        return Start(versions, core, clock, resident)
    finally:
        server.kill()
        server.communicate()


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("python", nargs="+", type=Path, help="of another environment")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    pythons = [Path(sys.executable), *(path.absolute() for path in args.python)]
    found: dict[tuple[str, str], list[Start]] = defaultdict(list)
    for python in pythons:  # byte code, and files from the disk
        with tempfile.TemporaryDirectory() as folder:
            start(python, Path(folder))
    for _ in range(args.turns):
        for python in pythons:
            with tempfile.TemporaryDirectory() as folder:
                for kind in KINDS:
                    one = start(python, Path(folder))
                    found[one.versions, kind].append(one)
                    sys.stderr.write(f"{kind}: {one}\n")
    say = sys.stdout.write
    say(f"{'':<34}{'':<16}{'core, s':>26}{'clock, s':>26}{'MB':>8}\n")
    for (versions, kind), starts in sorted(found.items()):
        core, clock = (_said([getattr(one, name) for one in starts]) for name in ("core", "clock"))
        memory = statistics.median(one.megabytes for one in starts)
        say(f"{versions:<34}{kind:<16}{core:>26}{clock:>26}{memory:>8.0f}\n")


def _said(numbers: list[float]) -> str:
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


if __name__ == "__main__":
    main()
