"""From the arguments to a command and its exit status.

Loads neither torch nor Prefect; the commands are in `cli/commands`, one file each.
"""

import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from typer import Abort, TyperException

from cli import commands, spelling
from cli.app import app
from data.errors import InputError, TsAlignError
from data.interrupts import interruptible
from flows.problems import INTERRUPTED, interrupted, log_of_a_command, unexpected

_LAST_SECONDS = 5.0  # after an interruption, for libraries that still want to say something


def process() -> NoReturn:
    """The command as a process of its own: one that was interrupted ends soon, whatever a library
    that is left waits for."""
    status = main()
    if status == INTERRUPTED:
        end = threading.Timer(_LAST_SECONDS, os._exit, [INTERRUPTED])
        end.daemon = True
        end.start()
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. An error is one line on stderr: exit status 2 for a user's, 1 for any other,
    130 after Ctrl-C or SIGTERM, 141 where nobody reads what is printed."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a sign of what a finished run prints must not make it fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=spelling.ERRORS)
    with interruptible():
        try:
            call = parsed(argv)
            status = call if isinstance(call, int) else call() or 0
            sys.stdout.flush()
            return status
        except (KeyboardInterrupt, Abort):
            return interrupted()
        except Exception as error:
            return failed(error)


def parsed(argv: Sequence[str] | None) -> "int | commands.Call":
    """The call that the arguments ask for; an exit status where the answer is printed already.

    Raises InputError.
    """
    for name in commands.NAMES:
        importlib.import_module(f"{commands.__name__}.{name}")
    try:
        arguments = None if argv is None else [str(part) for part in argv]
        made: int | commands.Call = app(arguments, prog_name="tsalign", standalone_mode=False)
        return made
    except TyperException as error:
        context = getattr(error, "ctx", None)
        words = [word for word in (sys.argv[1:] if argv is None else argv)[:1] if word in _words()]
        command = context.command_path if context else " ".join(["tsalign", *words])
        message = " ".join(error.format_message().split()).rstrip(".")
        if not message:  # a group without its command: its help has been printed
            return 2
        message = message.replace("Value error, ", "")
        message = message[:1].lower() + message[1:]
        raise InputError(f"{message}; see `{command} --help`") from error


def _words() -> set[str]:
    """The first words of commands."""
    return {name.replace("_", "-") for name in commands.NAMES}


def failed(error: Exception) -> int:
    """Say what is wrong, in one line for each problem; the exit status."""
    if isinstance(error, BrokenPipeError):
        # Python would complain once more when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        error = InputError(f"{error.filename}: {error.strerror}; check the path")
    if not isinstance(error, TsAlignError):
        error = unexpected(error, log_of_a_command())
    sys.stderr.writelines(f"tsalign: error: {problem}\n" for problem in error.problems)
    return error.exit_code
