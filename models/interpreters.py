"""A child process under another interpreter, whose packages are its own.

multiprocessing's spawn would hand it this process's `sys.path`, and with it the packages that it is
to do without. So it is started as any program is, with two open pipes; of this project it finds
`data` and `models` alone, by links on its PYTHONPATH, however the project is installed here. What
it is asked to make must import no more than it has.

Only the standard library is imported: this module is imported there too.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

GIVEN = ("data", "models")  # packages of this project that are found there
# What says where this process's packages are.
_OURS = frozenset({"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV"})
_SERVE = "from models.isolation import serve_elsewhere; serve_elsewhere({}, {}, {!r})"


def variables(python: Path) -> dict[str, str]:
    """The environment variables of a process under that interpreter: as if its environment had been
    activated, and with nothing of the folder that it works in on its path."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    return kept | {"PATH": path, "PYTHONSAFEPATH": "1"}


class Elsewhere:
    """Such a process, with what is asked of a `multiprocessing.Process` here."""

    def __init__(
        self, python: Path, pipe: Connection, output: int, environment: Mapping[str, str]
    ) -> None:
        """Start it: it answers at `pipe` and prints into the descriptor `output`.

        Raises:
            OSError: there is no such program.
        """
        self._links = tempfile.TemporaryDirectory(prefix="tsalign-", ignore_cleanup_errors=True)
        for name in GIVEN:
            found = Path(__file__).resolve().parents[1] / name
            Path(self._links.name, name).symlink_to(found, target_is_directory=True)
        parent, self._alive = Pipe(duplex=False)  # at its end the child knows that we are gone
        given = pipe.fileno(), parent.fileno()
        with parent:
            try:
                self._process = subprocess.Popen(
                    [python, "-c", _SERVE.format(*given, self._links.name)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**variables(python), **environment, "PYTHONPATH": self._links.name},
                    pass_fds=given,
                    process_group=0,
                )
            except OSError:
                self._links.cleanup()
                raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self._process.kill()

    def join(self, timeout: float) -> None:
        """Wait for its end that long; what it was given goes with it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
            self._alive.close()
            self._links.cleanup()
