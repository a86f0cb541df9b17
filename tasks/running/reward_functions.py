"""Reward functions in TRL's form, called on batches of rows; a row that fails is counted.

A function gets what TRL's trainers give for chats: `prompts` and `completions` are lists of message
lists (a completion is one message of the assistant), each column of the prompt file that it takes
is a list as long, None where a prompt lacks it. It gives a number for each row; None where it does
not apply.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from inspect import isawaitable
from math import isfinite
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from data.errors import InputError, TsAlignError
from data.function_parameters import Columns, columns_of
from data.reward_functions import SHIPPED
from tasks.running.outside import External, Shipped
from tasks.running.own_code import load_code

Messages = list[dict[str, str]]
OnProgress = Callable[[int, int], None]
BATCH = 256  # rows of one call


class Row(NamedTuple):
    """An answer to judge, with the columns of its prompt."""

    messages: Messages
    completion: str
    columns: dict[str, Any] = {}  # noqa: RUF012


class FailedError(Exception):
    """A function gave nothing that can be used for a row."""


class CountError(FailedError):
    """A function gave no list of rewards, or not one for each row."""


def name_of(function: External) -> str:
    """What counts and messages call it."""
    return function.path if isinstance(function, Shipped) else function.name


def columns_read(function: External) -> Columns:
    """The columns of the prompt file that it takes. Raises InputError."""
    if isinstance(function, Shipped):
        shipped = SHIPPED[function.path]
        return Columns(shipped.needs, shipped.uses)
    return columns_of(Path(function.path), function.name, function.field)


@dataclass
class Called:
    """A reward function at work, and what came of its calls."""

    function: External
    present: frozenset[str]  # columns that any prompt has
    failed: int = 0
    without: int = 0  # rows that it does not apply to
    total: float = 0.0
    why: str = ""  # the first failure
    values: list[float | None] = field(default_factory=list)  # NaN: failed

    @cached_property
    def body(self) -> Callable[..., Any]:
        """The function itself. Raises InputError."""
        one = self.function
        if isinstance(one, Shipped):
            known = SHIPPED[one.path]
            found = getattr(import_module(known.module), known.function)
        else:
            found = getattr(load_code(Path(one.path), one.field), one.name, None)
        if not callable(found):
            raise InputError(f"{one.field}: {one.path} has no function {one.name!r}; check both")
        return found  # type: ignore[no-any-return]

    @cached_property
    def columns(self) -> list[str]:
        read = columns_read(self.function)
        return [*read.needs, *(one for one in read.uses if one in self.present)]

    def judge(self, rows: Sequence[Row]) -> None:
        """Add the values of these rows: of all at once, or one by one where that raises.

        Rewards in another number than the rows are of nobody knows which: all rows have failed.
        """
        _ = self.body  # what is wrong with the file is no failure of a row
        try:
            found = self._call(rows)
        except TsAlignError:  # a shipped function lacks what it needs
            raise
        except CountError as error:
            self.why = self.why or str(error)
            found = [float("nan")] * len(rows)
        except (Exception, SystemExit) as error:  # whatever a user's code raises
            self.why = self.why or _said(error)
            if len(rows) > 1:
                for row in rows:
                    self.judge([row])
                return
            found = [float("nan")]
        for value in found:
            if value is None:
                self.without += 1
            elif isfinite(value):
                self.total += value
            else:
                self.failed += 1
                self.why = self.why or f"gave {value}"
        self.values += found

    def _call(self, rows: Sequence[Row]) -> list[float | None]:
        given: dict[str, Any] = {
            "prompts": [[dict(turn) for turn in row.messages] for row in rows],
            "completions": [[{"role": "assistant", "content": row.completion}] for row in rows],
        }
        given |= {name: [row.columns.get(name) for row in rows] for name in self.columns}
        found = self.body(**given)
        if isawaitable(found):
            found = _awaited(found)
        if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
            raise CountError(f"gave {type(found).__name__}, which is no list of rewards")
        values = list(found)
        if len(values) != len(rows):
            raise CountError(f"gave {len(values)} rewards for {len(rows)} answers")
        return [None if value is None else _number(value) for value in values]


def _number(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise FailedError(f"gave {value!r}, which is no number")
    return float(value)


def _said(error: BaseException) -> str:
    kind = "" if isinstance(error, FailedError) else f"{type(error).__name__}: "
    return f"{kind}{error}".splitlines()[0][:200]


def _awaited(waiting: Any) -> Any:
    """What an `async def` gives, in a thread of its own: Prefect may have a loop in this one."""
    found: list[Any] = []
    failed: list[BaseException] = []

    async def whole() -> Any:
        return await waiting

    def run() -> None:
        try:
            found.append(asyncio.run(whole()))
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


class Rewarded(NamedTuple):
    """The rewards of rows, in order; counts and a reason that add up over shards."""

    rewards: list[float | None]
    counts: dict[str, Any]


def rewarded(
    functions: Sequence[External],
    weights: Sequence[float],
    rows: Sequence[Row],
    present: frozenset[str] = frozenset(),
    *,
    few: bool = False,
    on_progress: OnProgress | None = None,
) -> Rewarded:
    """The weighted sum of the functions' rewards of each row.

    A function that does not apply to a row (None) is left out of its sum, as in TRL. A row that a
    function fails on (an exception, NaN, no number) has no reward, and neither has one that no
    function applies to.

    Args:
        present: Columns that any prompt of the run has.
        few: These are a few rows of many, so that all may fail.

    Raises:
        InputError: a function fails on every row.
    """
    called = [Called(one, present) for one in functions]
    for start in range(0, len(rows), BATCH):
        for one in called:
            one.judge(rows[start : start + BATCH])
        if on_progress:
            on_progress(min(start + BATCH, len(rows)), len(rows))
    if not few:
        _check(called, len(rows))
    rewards = [
        _sum(values, weights) for values in zip(*(one.values for one in called), strict=True)
    ]
    counts: dict[str, Any] = {}
    for one, name in zip(called, names_of(functions), strict=True):
        counts |= {
            f"failed:{name}": one.failed,
            f"without:{name}": one.without,
            f"judged:{name}": len(one.values) - one.failed - one.without,
            f"total:{name}": one.total,
            f"why:{name}": one.why,
        }
    return Rewarded(rewards, counts)


def names_of(functions: Sequence[External]) -> list[str]:
    """A name for each; two of one name get their number."""
    names = [name_of(one) for one in functions]
    return [
        f"{name} {number}" if names.count(name) > 1 else name
        for number, name in enumerate(names, start=1)
    ]


def _sum(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    pairs = zip(values, weights, strict=True)
    known = [weight * value for value, weight in pairs if value is not None]
    total = sum(known)
    return total if known and isfinite(total) else None


def _check(called: Sequence[Called], rows: int) -> None:
    for one in called:
        where = f"{one.function.field}: {name_of(one.function)}"
        if rows and one.failed == rows:
            hint = "completion[0]['content'] is the text of a completion"
            listed = one.why.startswith(("AttributeError", "TypeError", "KeyError"))
            raise InputError(
                f"{where} fails on every answer ({one.why}); correct it"
                + (f" ({hint})" if listed else "")
            )
    if rows and all(one.without == rows for one in called):
        names = ", ".join(name_of(one.function) for one in called)
        raise InputError(
            f"{called[0].function.field}: {names} gave None for every answer; it applies to none "
            "of these prompts, so name another judge"
        )
