"""Many requests to a server on their way at once, and an end that need not wait for them."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TypeVar

Q = TypeVar("Q")
R = TypeVar("R")

GRACE = 5.0  # seconds that requests on their way are waited for after an interrupt


def ask_all(
    ask: Callable[[Q], R], questions: Sequence[Q], at_once: int, came: Callable[[int, R], None]
) -> None:
    """Call `ask` for each question in `at_once` threads, and `came`, here, with place and answer.

    After an error no further question is asked; what is on its way is paid for, so it is waited
    for and given to `came` before the error is raised. An interrupt waits for GRACE seconds at
    most: the threads are daemons, which a server that says nothing cannot have hold the process.
    """
    todo = deque(enumerate(questions))
    answers: SimpleQueue[tuple[int, R | None, Exception | None]] = SimpleQueue()

    def work() -> None:
        with suppress(IndexError):
            while True:
                place, question = todo.popleft()
                try:
                    found = ask(question)
                except Exception as error:
                    answers.put((place, None, error))
                else:
                    answers.put((place, found, None))

    left, failed = len(todo), None
    for _ in range(min(at_once, left)):
        Thread(target=work, daemon=True).start()
    try:
        while left:
            place, found, error = answers.get()
            left -= 1
            if error is None:
                came(place, found)  # type: ignore[arg-type]
            elif failed is None:
                failed = error
                left -= _dropped(todo)
    except BaseException:
        left -= _dropped(todo)
        end = monotonic() + GRACE
        with suppress(Empty):
            for _ in range(left):
                place, found, error = answers.get(timeout=max(0.0, end - monotonic()))
                if error is None:
                    came(place, found)  # type: ignore[arg-type]
        raise
    if failed is not None:
        raise failed


def _dropped(todo: deque[tuple[int, Q]]) -> int:
    """How many questions are taken from the threads; those they have already are not among them."""
    number = 0
    with suppress(IndexError):
        while True:
            todo.pop()
            number += 1
    return number
