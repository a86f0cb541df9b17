"""What work takes of this machine: seconds, seconds of its cores, memory at the peak.

Of this process and of those it has started, such as an engine's. What the server that keeps
Prefect's books takes is no part of a stage's. Where there is no /proc, cores are those of this
process and memory is 0.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_NO_WORK = b"prefect"  # in the command line of a process that does none of it


@dataclass
class Effort:
    """Seconds and bytes between `begin` and `end`."""

    seconds: float = 0.0
    cores: float = 0.0
    memory: int = 0

    @classmethod
    def begin(cls) -> "Effort":
        """Start measuring; peaks of memory are counted from here."""
        found = family()  # once: it is a walk through all processes of the machine
        for pid in found:
            with suppress(OSError):  # another's process, or gone
                (_PROC / str(pid) / "clear_refs").write_text("5")
        return cls(-time.monotonic(), -_core_seconds(_without_books(found)))

    def end(self) -> "Effort":
        """What it took; the memory is the sum of the peaks of all processes."""
        self.seconds += time.monotonic()
        found = _without_books(family())
        self.cores = max(0.0, self.cores + _core_seconds(found))
        self.memory = sum(map(_peak, found))
        return self


def core_seconds(books: bool = True) -> float:
    """Of this process, its living descendants, and whom these have outlived; without `books` but
    those that keep Prefect's."""
    return _core_seconds(family() if books else _without_books(family()))


def _core_seconds(processes: list[int]) -> float:
    ticks = 0
    for pid in processes:
        with suppress(OSError, IndexError):
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICKS if ticks else time.process_time()


def family() -> list[int]:
    """This process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found


def _without_books(processes: list[int]) -> list[int]:
    """Those that do not keep Prefect's books."""
    return [pid for pid in processes if not _keeps_books(pid)]


def age() -> float:
    """Seconds since this process began; 0 where the system does not tell."""
    try:
        up = float((_PROC / "uptime").read_text().split()[0])
        return up - int(_stat(os.getpid())[19]) / _TICKS
    except (OSError, IndexError):
        return 0.0


def _parents() -> Iterator[tuple[int, int]]:
    names = os.listdir(_PROC) if _PROC.is_dir() else []
    for pid in (int(name) for name in names if name.isdecimal()):
        with suppress(OSError, IndexError):
            yield pid, int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the command's name, which may hold spaces: state, parent,
    ..., ticks of the process in user and system mode, ticks of its ended children, ..."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _peak(pid: int) -> int:
    with suppress(OSError):
        for text in (_PROC / str(pid) / "status").read_text().splitlines():
            if text.startswith("VmHWM:"):
                return int(text.split()[1]) * 1024
    return 0


def _keeps_books(pid: int) -> bool:
    with suppress(OSError):
        return pid != os.getpid() and _NO_WORK in (_PROC / str(pid) / "cmdline").read_bytes()
    return False
