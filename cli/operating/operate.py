"""Operate on one machine: Prefect's server, work pool, crash automation, a worker, the reports.

Everything is kept in one folder and listens on loopback. Whoever has not read the key there is
refused, other pages of the user's browser included. Starting again finds what runs already.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from rich.console import Console

from cli.operating.steps import step
from data.errors import InputError
from data.places import REPORTS, RUNS, STORE, absolute_places
from data.processes import alive, owner
from flows.server import SETTINGS

POOL = "tsalign"
KEY = "api.key"
PORT = 4200
PROCESSES = ("worker", "reports", "server")  # in the order in which they are ended
CRASHED = "tsalign: a run without a heartbeat has crashed"
HEARTBEAT_SECONDS = 30  # the least that Prefect allows
SILENT_SECONDS = 90  # without a heartbeat, until a run counts as crashed
PROJECT = Path(__file__).parents[2]
_START_SECONDS, _STOP_SECONDS = 120.0, 20.0


class Operation:
    """The processes of one folder, found again by the files they left there."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """Without a port: that of the server which runs there, else 4200."""
        self.folder = folder.absolute()
        self._asked = port
        self.port = port or PORT
        if self.running("server"):
            self.port = self.started.get("port", self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.reports_port = self.port + 1
        self.reports_url = f"http://127.0.0.1:{self.reports_port}"

    @property
    def started(self) -> dict[str, Any]:
        """How it was started: `port` of the server, `store` and `runs` of the worker."""
        try:
            return dict(json.loads((self.folder / "started.json").read_text()))
        except (OSError, ValueError):
            return {}

    @property
    def places(self) -> tuple[str, str]:
        """Store and runs' folder of the worker; before its first start, those of this folder."""
        here = absolute_places()
        return self.started.get("store", here[STORE]), self.started.get("runs", here[RUNS])

    def _remember(self, **values: Any) -> None:
        text = json.dumps(self.started | values, indent=2)
        (self.folder / "started.json").write_text(text + "\n")

    @property
    def environment(self) -> dict[str, str]:
        """Of everything started here; what the user has set wins, but for address and heartbeat.

        Runs of the worker use the store and the runs of the folder that this is called in.
        """
        defaults = SETTINGS | {
            "PREFECT_HOME": str(self.folder / "prefect"),
            REPORTS: self.reports_url,
            "PREFECT_LOGGING_LEVEL": "INFO",  # the UI shows a line per stage
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{self.url},http://localhost:{self.port}",
        }
        return {
            **defaults,
            **os.environ,
            **absolute_places(),
            "PREFECT_SERVER_API_AUTH_STRING": self.key,
            "PREFECT_API_AUTH_STRING": self.key,
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        }

    @property
    def key(self) -> str:
        """What the server asks of every client, as USER:PASSWORD: the user's, or one made here."""
        given = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
        if given:
            return given
        file = self.folder / KEY
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(f"tsalign:{secrets.token_urlsafe(24)}")
        return file.read_text()

    def start(self, console: Console) -> None:
        """Start what does not run yet, and deploy. Raises InputError where that fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_port()
        if self.healthy():
            console.print(f"Prefect's server on {self.url} runs already")
        else:
            with step(console, f"Prefect's server on {self.url}"):
                self._remember(port=self.port)
                address = ("--host", "127.0.0.1", "--port", str(self.port))
                self._spawn("server", "prefect", "server", "start", *address)
                self._await_server()
        os.environ.update(self.environment)
        with step(console, "work pool, crash automation"):
            prepare_server()
        with step(console, "deployments"):
            self._deploy()
        if not self.running("worker"):
            with step(console, "worker"):
                places = absolute_places()
                self._remember(store=places[STORE], runs=places[RUNS])
                options = ("--pool", POOL, "--name", "local")
                self._spawn("worker", "prefect", "worker", "start", *options)
        if not self.running("reports"):
            port = str(self.reports_port)
            self._spawn("reports", "cli", "open", "--no-browser", "--port", port)

    def _check_port(self) -> None:
        if self.running("server"):
            if self._asked not in (None, self.port):
                raise InputError(
                    f"--port {self._asked}: the server of {self.folder} runs on {self.port}; "
                    "stop it first, or name another --folder"
                )
        elif self.healthy():
            raise InputError(
                f"{urlsplit(self.url).netloc}: a server that was not started from {self.folder} "
                "answers there; stop it, or choose another --port"
            )

    def stop(self, console: Console) -> None:
        """End the worker, with the run it is at, and then the server."""
        if not any(map(self.running, PROCESSES)):
            console.print(f"nothing runs that was started from {self.folder}", soft_wrap=True)
        for name in PROCESSES:
            if self.running(name):
                self._end(name)
                console.print(f"{name} stopped")
            (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def healthy(self) -> bool:
        with suppress(OSError), urlopen(f"{self.url}/api/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def running(self, name: str) -> bool:
        """Whether the process started here under that name still runs."""
        process = self._process(name)
        return process is not None and alive(*process)

    def since(self, name: str) -> str | None:
        """When it was started, ISO in UTC; None where it does not run."""
        if not self.running(name):
            return None
        begun = (self.folder / f"{name}.pid").stat().st_mtime
        return datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds")

    def _process(self, name: str) -> tuple[int, str] | None:
        try:
            pid, identity = (self.folder / f"{name}.pid").read_text().split()
            return int(pid), identity
        except (OSError, ValueError):
            return None

    def _spawn(self, name: str, module: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", module, *command],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        (self.folder / f"{name}.pid").write_text(f"{process.pid} {owner(process.pid)}")

    def _await_server(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.healthy():
            if not self.running("server") or time.monotonic() > deadline:
                raise InputError(
                    f"the Prefect server did not start on {urlsplit(self.url).netloc}; "
                    f"see {self.folder / 'server.log'}, or choose another --port"
                )
            time.sleep(0.2)

    def _deploy(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise InputError(f"prefect deploy --all failed: {' '.join(last)}")

    def _end(self, name: str) -> None:
        process = self._process(name)
        assert process is not None
        pid, identity = process
        # A worker that is told once waits for its run; told twice it ends.
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            deadline = time.monotonic() + _STOP_SECONDS / 2
            while alive(pid, identity) and time.monotonic() < deadline:
                time.sleep(0.1)
            if not alive(pid, identity):
                return


def prepare_server() -> None:
    """The work pool, one run at a time, and the automation that notices dead runs."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=POOL,
        type="process",
        base_job_template=ProcessWorker.get_default_base_job_template(),
        concurrency_limit=1,  # two runs never share a GPU
    )
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(pool)
        if not client.read_automations_by_name(CRASHED):
            client.create_automation(crash_automation())


def crash_automation() -> Any:
    """Mark a run as crashed that has stopped to send heartbeats: its process was killed."""
    from datetime import timedelta

    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.states import StateType

    ended = [f"prefect.flow-run.{s}" for s in ("Completed", "Failed", "Cancelled", "Crashed")]
    return AutomationCore(
        name=CRASHED,
        description="The worker or the machine died; Retry continues from the artifacts.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ended},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {SILENT_SECONDS} s: its process was killed. Retry it: "
                "finished stages are found in the store.",
            )
        ],
    )
