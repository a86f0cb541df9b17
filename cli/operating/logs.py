"""What `tsalign operate logs` prints: the files of server and worker, or the log of a run."""

import difflib
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cli.operating.connect import client_of, connection
from cli.operating.operate import PROCESSES, Operation
from cli.operating.status import called
from data.errors import InputError
from flows.problems import INTERRUPTED

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, Log

_PAGE = 200  # log lines that Prefect gives at once
_PAUSE_SECONDS = 1.0
# Processes send their lines every two seconds, the last ones after the state.
_LAST_SECONDS, _LATE = 3.0, timedelta(seconds=30)


def show_logs(what: str, folder: Path, lines: int, follow: bool) -> int:
    """Print the last lines, and with `follow` those that come. The exit status."""
    try:
        if what in PROCESSES:
            _show_file(Operation(folder).folder / f"{what}.log", lines, follow)
        else:
            with client_of(connection(folder)) as client:
                show_run_log(client, find_run(client, what), lines, follow)
    except KeyboardInterrupt:  # the way to end -f
        return INTERRUPTED
    return 0


def _show_file(path: Path, lines: int, follow: bool) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such log; `tsalign operate start` writes it")
    with path.open(errors="replace") as file:
        for line in deque(file, maxlen=lines):
            sys.stdout.write(line)
        while follow:
            sys.stdout.write(file.read())
            sys.stdout.flush()
            time.sleep(_PAUSE_SECONDS)


def find_run(client: "SyncPrefectClient", name: str) -> "FlowRun":
    """The newest run of that name, or that id. Raises InputError."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_flow_run(UUID(name))
    except (ValueError, ObjectNotFound):
        pass
    whole = FlowRunFilter.model_validate({"parent_task_run_id": {"is_null_": True}})
    runs = client.read_flow_runs(
        flow_run_filter=whole, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_PAGE
    )
    for run in runs:
        if name in (run.name, called(run)):
            return run
    known = [called(run) for run in runs] + list(PROCESSES)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`tsalign operate status` lists them"
    raise InputError(f"{name}: no such run on that server; {hint}")


def show_run_log(client: "SyncPrefectClient", run: "FlowRun", lines: int, follow: bool) -> str:
    """The lines of a run and of the rounds in it, in order of time; the name of its last state."""
    seen: set[UUID] = set()
    shown = False
    for batch, state in _batches(client, run, follow):
        ended = state
        new = [one for one in batch if one.id not in seen and not _routine(one)]
        seen |= {one.id for one in new}
        if not shown and new:
            new, shown = new[-lines:], True
        for log in new:
            sys.stdout.write(f"{_clock(log.timestamp)} {log.message}\n")
        sys.stdout.flush()
    if not shown:
        sys.stdout.write(f"{called(run)}: nothing logged yet ({ended.lower()})\n")
    return ended


def _batches(
    client: "SyncPrefectClient", run: "FlowRun", follow: bool
) -> "Iterator[tuple[list[Log], str]]":
    """Log lines as they come, some of them again, and the run's state at that time."""
    after: datetime | None = None
    ended = False
    while True:
        state = client.read_flow_run(run.id).state
        assert state is not None
        found = _lines(client, run, after)
        after = found[-1].timestamp - _LATE if found else after
        yield found, state.name or state.type.value
        if not follow or ended:
            return
        ended = state.is_final()
        time.sleep(_LAST_SECONDS if ended else _PAUSE_SECONDS)


def _lines(client: "SyncPrefectClient", run: "FlowRun", after: datetime | None) -> "list[Log]":
    from prefect.client.schemas.filters import FlowRunFilter, LogFilter
    from prefect.client.schemas.sorting import LogSort

    within = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run.id]}})
    ids = [run.id, *(one.id for one in client.read_flow_runs(flow_run_filter=within))]
    chosen: dict[str, Any] = {"flow_run_id": {"any_": ids}}
    if after is not None:
        chosen["timestamp"] = {"after_": after}
    found: list[Log] = []
    while True:
        page = client.read_logs(
            LogFilter.model_validate(chosen),
            limit=_PAGE,
            offset=len(found),
            sort=LogSort.TIMESTAMP_ASC,
        )
        found += page
        if len(page) < _PAGE:
            return found


def _routine(log: "Log") -> bool:
    """Prefect's line that a task has ended well; the stage's own says more."""
    return log.name == "prefect.task_runs" and log.message.startswith(
        ("Finished in state Completed", "Finished in state Cached")
    )


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
