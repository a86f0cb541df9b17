"""The date that chat templates print (Llama 3's and others do): that of the run, not of the day.

A template that prints today's date makes another prompt of the same messages every day. It is set
for all that runs within a stage, child processes included; outside of a run it is today's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time

ASKS = "strftime_now"  # the function by which a template asks for the date

_date: ContextVar[str | None] = ContextVar("date", default=None)


def current() -> str | None:
    """The date that is set, YYYY-MM-DD."""
    return _date.get()


def pin(day: str | None) -> None:
    """Set the date for the rest of this process or context."""
    _date.set(day)


@contextmanager
def pinned(day: str | None) -> Iterator[None]:
    """Set the date meanwhile."""
    token = _date.set(day)
    try:
        yield
    finally:
        _date.reset(token)


def strftime_now(form: str) -> str:
    """What templates call: the date's midnight, or this moment where no date is set."""
    day = current()
    now = datetime.combine(date.fromisoformat(day), time()) if day else datetime.now()
    return now.strftime(form)
