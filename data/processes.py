"""Processes by identity: a pid alone may be another's tomorrow."""

import os
import re
import socket
from pathlib import Path


def owner(pid: int) -> str:
    """Name of a process that neither another host nor a later process with its pid shares."""
    host = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
    return f"{host}-{pid}-{_stat(pid)[1]}"


def alive(pid: int, name: str) -> bool:
    """Whether the process of this `owner` name, or of a name that begins with it, still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    # A zombie has ended; its parent has only not asked yet.
    return _stat(pid)[0] != "Z" and f"{name}-".startswith(f"{owner(pid)}-")


def _stat(pid: int) -> tuple[str, str]:
    """State letter and start time of a process, "" and "0" where the system does not tell."""
    try:
        # Counted behind the command name, which may itself hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", "0"
