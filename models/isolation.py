"""Work in a child process of its own: a GPU gives all memory back only when a process ends.

The child is spawned, leads its own process group, and the whole group is killed when the parent
closes it or dies in any way, kill -9 included. The child notices by a pipe that the parent holds.
PR_SET_PDEATHSIG is not used: it fires when the *thread* that started the child ends, which for an
engine that outlives a Prefect task is too early, and it spares the child's own children.

What the child prints is kept in a file without a name; its end is a note of the error, where one
comes of it.

A child under another interpreter is started otherwise (`models.interpreters`) and lives the same
life; this module is imported there too, and imports no more than the standard library has.
"""

import atexit
import io
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, NoReturn

from models import today
from models.interpreters import GIVEN, Elsewhere

OnProgress = Callable[[int, int], None]

_CLOSE_SECONDS = 5.0
_NOTED_BYTES = 100_000


class ChildDiedError(RuntimeError):
    """A child process ended without an answer; no TsAlignError, as trying again may help."""


class Child:
    """An object that lives in a child process: `call` runs one of its methods there.

    `environment` is set before the child imports anything, for libraries that read it only once.
    Under another interpreter, `python`, the object is made of what that one has, and of `data` and
    `models`.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        *args: Any,
        environment: Mapping[str, str] | None = None,
        python: Path | None = None,
    ) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  `close` closes it
        output, environment = self._printed.fileno(), environment or {}
        self._process: Any  # what multiprocessing starts, or as that is
        with theirs:
            if python:
                self._process = Elsewhere(python, theirs, output, environment)
            else:
                arguments = theirs, _Output(output)
                # Not daemonic: then it may have no children, and engines and loaders have.
                self._process = context.Process(target=_serve_here, args=arguments, daemon=False)
                with _variables(environment):
                    self._process.start()
        atexit.register(self.close)
        try:
            self._ask((factory, args, today.current()))
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> NoReturn:
        """No copies: one that is collected would close the pipe of the other, number by number."""
        raise TypeError("a child process has one owner: its handle cannot be copied or pickled")

    @property
    def pid(self) -> int:
        number: int = self._process.pid
        return number

    @property
    def alive(self) -> bool:
        return not self._pipe.closed and bool(self._process.is_alive())

    def call(self, method: str, *args: Any, on_progress: OnProgress | None = None) -> Any:
        """Result of a method of the child's object; its exceptions are raised here.

        With `on_progress` the method is given one that reports to it across the pipe.

        Raises:
            ChildDiedError: the child ended without an answer.
        """
        return self._ask((method, args, on_progress is not None), on_progress)

    def close(self) -> None:
        """Kill the child and all it started. Idempotent."""
        atexit.unregister(self.close)
        self._pipe.close()
        self._printed.close()
        if self._process.exitcode is None:
            # Before the child is reaped: until then no one else can have its id.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()
        self._process.join(_CLOSE_SECONDS)

    def _ask(self, question: tuple, on_progress: OnProgress | None = None) -> Any:
        try:
            self._pipe.send(question)
            kind, answer = self._pipe.recv()
            while kind == "progress":
                assert on_progress is not None
                on_progress(*answer)
                kind, answer = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(_CLOSE_SECONDS)
            code = self._process.exitcode
            hint = "; the machine may be out of memory" if code == -signal.SIGKILL else ""
            died = ChildDiedError(f"the child process ended with exit code {code}{hint}")
            self._add_printed(died)
            self.close()
            raise died from error
        except BaseException:
            self.close()  # or the answer still to come would be taken for the next one
            raise
        if kind == "error":
            self._add_printed(answer)
            raise answer
        return answer

    def _add_printed(self, error: BaseException) -> None:
        """Note what the child printed last."""
        number = self._printed.fileno()  # the child writes at its position: it stays as it is
        begin = max(0, os.fstat(number).st_size - _NOTED_BYTES)
        text = os.pread(number, _NOTED_BYTES, begin).decode(errors="replace")
        if text:
            error.add_note(f"printed by the child process:\n{text}")


def run_isolated(
    fn: Callable[..., Any],
    *args: Any,
    device: str,
    on_progress: OnProgress | None = None,
    **kwargs: Any,
) -> Any:
    """`fn(*args, **kwargs)`, on "cuda" in a child process that ends with the call.

    On a CPU it runs here: starting a process and importing torch costs more than the work.
    """
    if device != "cuda":
        if on_progress:
            kwargs["on_progress"] = on_progress
        return fn(*args, **kwargs)
    child = Child(partial, partial(fn, **kwargs))
    try:
        return child.call("__call__", *args, on_progress=on_progress)
    finally:
        child.close()


class _Output:
    """An open file on its way to a child that is being started, where it is a descriptor."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (DupFd(self._number),)


def _arrived(descriptor: Any) -> int:
    number: int = descriptor.detach()
    return number


def _serve_here(pipe: connection.Connection, output: int) -> None:
    """The life of a child that multiprocessing has started."""
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    parent = parent_process()
    assert parent is not None
    _serve(pipe, parent.sentinel, portable)


def serve_elsewhere(pipe: int, parent: int, links: str) -> None:
    """The life of a child under another interpreter, by the descriptors that it was started with;
    `links`, the folder of its PYTHONPATH, goes with it."""
    remove = partial(shutil.rmtree, links, ignore_errors=True)
    _serve(connection.Connection(pipe), parent, partial(portable, common=True), remove)


def _serve(
    pipe: connection.Connection,
    parent: int,
    carried: Callable[[Exception], Exception],
    last: Callable[[], None] = lambda: None,
) -> None:
    """Answer calls until the pipe closes or the parent ends, and leave nothing of the group."""

    def end() -> None:
        last()
        os.killpg(0, signal.SIGKILL)

    def watch() -> None:
        connection.wait([parent])
        end()

    os.setpgid(0, 0)
    threading.Thread(target=watch, daemon=True).start()
    try:
        _answer(pipe, carried)
    finally:
        end()  # the watching thread may not come to it any more: it ends with the process


def _answer(pipe: connection.Connection, carried: Callable[[Exception], Exception]) -> None:
    """Make the object, then call its methods as asked; errors are sent as they are `carried`."""
    served = None
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # what came cannot be unpickled here
            pipe.send(("error", carried(error)))
            continue
        try:
            if served is None:
                factory, args, day = question
                today.pin(day)
                served, answer = factory(*args), None
            else:
                method, args, reports = question
                extra = {"on_progress": partial(_report, pipe)} if reports else {}
                answer = getattr(served, method)(*args, **extra)
            pipe.send(("result", answer))
        except Exception as error:
            pipe.send(("error", carried(error)))


def _report(pipe: connection.Connection, done: int, total: int) -> None:
    pipe.send(("progress", (done, total)))


def portable(error: Exception, common: bool = False) -> Exception:
    """The exception with the child's traceback as a note, or its text if it has no pickle.

    `common`: its text also where it is made of what another interpreter may not have.
    """
    error.add_note("in the child process:\n" + "".join(traceback.format_exception(error)))
    try:
        (_Common if common else pickle.Unpickler)(io.BytesIO(pickle.dumps(error))).load()
        return error
    except Exception:
        text = RuntimeError(f"{type(error).__name__}: {error}")
        text.__notes__ = error.__notes__
        return text


class _Common(pickle.Unpickler):
    """Knows what every interpreter has: the standard library, and what it is given of ours."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] not in sys.stdlib_module_names.union(GIVEN):
            raise pickle.UnpicklingError(f"{module} may be missing there")
        return super().find_class(module, name)


@contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time a process takes to start."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
