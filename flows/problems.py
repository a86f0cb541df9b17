"""How a command ends that cannot go on: in one line; what lies behind it is in a file."""

import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from data.errors import TsAlignError

INTERRUPTED = 130  # exit status after Ctrl-C and after SIGTERM


class UnexpectedError(TsAlignError):
    """Something that no one has foreseen; its traceback is in the file that the message names."""

    exit_code = 1


def unexpected(error: Exception, log: Path) -> UnexpectedError:
    """The one line of an error, whose tracebacks and notes are added to the log."""
    text = (str(error).strip().splitlines() or [""])[0][:300]
    try:
        with log.open("a", errors="backslashreplace") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n")
            file.writelines(traceback.format_exception(error))
        where = f"details in {log}"
    except OSError as problem:
        where = f"no details, as {log} cannot be written ({problem.strerror})"
    name = type(error).__name__
    return UnexpectedError(f"{name}: {text}; {where}" if text else f"{name}; {where}")


@contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """Whatever is raised within, beside a user's error, becomes one line; the rest is in the
    run's error.log."""
    try:
        yield
    except TsAlignError:
        raise
    except Exception as error:
        raise unexpected(error, folder / "error.log") from error


def log_of_a_command() -> Path:
    """A new file for an error that belongs to no run."""
    with tempfile.NamedTemporaryFile(prefix="tsalign-", suffix=".log", delete=False) as file:
        return Path(file.name)


def interrupted() -> int:
    """The line and the exit status of a command that was told to end; once is enough."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stderr.write("tsalign: interrupted; run the same command again to continue\n")
    return INTERRUPTED
