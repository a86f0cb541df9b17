"""How long stages take on this machine: what was measured, kept in the store, and lines through it.

<store>/rates/<machine>.jsonl has a line for every body of a stage that ran: of runs, and of the
small pilot that `tsalign check --time` makes. Nothing of it is in a key or in a result, so lines
may be lost: a store that cannot be written keeps none.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from data.store.digests import digest_of
from data.store.groups import group_writes

FOLDER = "rates"  # of a store
_MOST_BYTES = 4_000_000  # of a file, which then keeps its newer half
_NEWEST = 64  # measurements of a call that count
_LEAST = 1e-3  # seconds: what took less is not told apart
_APART = 2.0  # times: sizes that are nearer count as one
_TELLS = 0.5  # seconds: of what takes less it does not matter whether it grows


@dataclass(frozen=True)
class Measured:
    """One body of a stage that ran.

    call: digest of what decides its speed: stage, shapes of its models, settings, libraries.
    like: the same without the settings. units: what its work grows with, such as pairs times
    epochs. most: rows that it could give at most, of which it gave `rows`. seconds: on the clock,
    less those in which an engine started; cores: of all processor cores, of its child processes
    too. memory: bytes at the peak, 0 where the system does not tell. shape: of the model it made.
    """

    call: str
    like: str
    stage: str
    units: int
    seconds: float
    cores: float
    rows: int = 0
    most: int = 0
    tokens: int = 0  # sampled
    memory: int = 0
    size: int = 0  # bytes in the store
    shape: str = ""
    pilot: bool = False


class Line(NamedTuple):
    """fixed + each * units."""

    fixed: float
    each: float

    def at(self, units: float, bodies: int = 1) -> float:
        """Of so many units in all, divided among so many bodies."""
        return self.fixed * bodies + self.each * units


def line(points: Iterable[tuple[float, float]]) -> Line:
    """The line through (units, value), neither part below 0, by least squares of relative errors.

    Minimises sum(w * ((fixed + each * u) / v - 1)^2), in which a point counts by w, the root of its
    units' share of the largest: it is large sizes that are extrapolated from. Where all have one
    size the value is taken to grow with the units.

    Raises:
        ValueError: there is no point.
    """
    known = [(max(u, 1.0), max(v, _LEAST)) for u, v in points]
    if not known:
        raise ValueError("a line needs a point")
    largest = max(u for u, _ in known)
    weights = [(u / largest) ** 0.5 for u, _ in known]
    x, y = [1 / v for _, v in known], [u / v for u, v in known]
    xx, xy, yy = (_sum(weights, a, b) for a, b in ((x, x), (x, y), (y, y)))
    sx, sy = (sum(w * a for w, a in zip(weights, one, strict=True)) for one in (x, y))
    proportional = Line(0.0, sy / yy)
    if len({u for u, _ in known}) == 1:
        return proportional
    determinant = xx * yy - xy * xy
    fixed, each = (sx * yy - sy * xy) / determinant, (sy * xx - sx * xy) / determinant
    if fixed < 0:
        return proportional
    return Line(fixed, each) if each >= 0 else Line(sx / xx, 0.0)


def constant(points: Iterable[tuple[float, float]]) -> Line:
    """The largest value, whatever the units."""
    return Line(float(max(value for _, value in points)), 0.0)


def _sum(weights: Sequence[float], one: Sequence[float], other: Sequence[float]) -> float:
    return sum(w * a * b for w, a, b in zip(weights, one, other, strict=True))


@dataclass(frozen=True)
class Rate:
    """What is known of a call: of itself, or (`exact` is false) of one like it."""

    points: tuple[Measured, ...]
    exact: bool

    @property
    def source(self) -> str:
        """ "run", "pilot" or "like"."""
        if not self.exact:
            return "like"
        return "pilot" if all(one.pilot for one in self.points) else "run"

    def is_far(self, units: float) -> bool:
        """Whether this is less than half of all sizes known, or more than twice."""
        known = [max(1, one.units) for one in self.points]
        return not 0.5 * min(known) <= units <= 2 * max(known)

    @property
    def is_thin(self) -> bool:
        """Whether the sizes known are too near each other to tell what is fixed from what grows."""
        known = [max(1, one.units) for one in self.points]
        return max(known) < _APART * min(known)

    @property
    def is_level(self) -> bool:
        """Whether what was larger took no longer: of a small size that is chance."""
        return self.seconds.each == 0 and self.seconds.fixed > _TELLS

    @cached_property
    def seconds(self) -> Line:
        return line((one.units, one.seconds) for one in self.points)

    @cached_property
    def cores(self) -> Line:
        return line((one.units, one.cores) for one in self.points)

    @cached_property
    def size(self) -> Line:
        """Bytes that stay; a model that is made is as large whatever it learnt from."""
        known = [(one.units, one.size) for one in self.points]
        return constant(known) if self.points[-1].shape else line(known)

    @cached_property
    def memory(self) -> Line | None:
        """Bytes at the peak; None where the system does not tell.

        Most of them are the process and its models, whatever the units: of one size alone no more
        is known than that. Nor of a pilot's, whose passes share a process that grows with what each
        loads, and not with the rows.
        """
        known = [(one.units, one.memory) for one in self.points if one.memory]
        runs = [(one.units, one.memory) for one in self.points if one.memory and not one.pilot]
        if len({units for units, _ in runs}) > 1:
            return line(runs)
        return constant(known) if known else None

    @property
    def kept(self) -> float:
        """Share of the rows at most that come of it."""
        most = sum(one.most for one in self.points)
        return sum(one.rows for one in self.points) / most if most else 1.0

    @property
    def tokens(self) -> float:
        """Tokens sampled for each row."""
        rows = sum(one.rows for one in self.points)
        return sum(one.tokens for one in self.points) / rows if rows else 0.0


class Keeps(Protocol):
    """What takes measurements."""

    def add(self, measured: Measured) -> None: ...


class Rates:
    """The measurements of one machine in a store.

    Args:
        root: The store's folder on this machine.
        machine: What tells machines apart that take different times.
    """

    def __init__(self, root: Path, machine: Mapping[str, str]) -> None:
        self._root, self.machine = root, dict(machine)
        name = digest_of(self.machine).removeprefix("sha256:")[:16]
        self.path = root / FOLDER / f"{name}.jsonl"

    def add(self, measured: Measured) -> None:
        """Keep a measurement; nothing where the store cannot be written."""
        with suppress(OSError), group_writes(self._root):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            self._shorten()
            with self.path.open("a", encoding="utf-8") as file:
                if new:
                    file.write(json.dumps({"machine": self.machine}) + "\n")
                file.write(json.dumps(asdict(measured)) + "\n")

    def _shorten(self) -> None:
        if self.path.exists() and self.path.stat().st_size > _MOST_BYTES:
            head, *lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            aside.write_text("".join([head, *lines[len(lines) // 2 :]]), encoding="utf-8")
            aside.replace(self.path)

    def known(self) -> "Known":
        """All that was measured so far."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            lines = []
        return Known(found for text in lines if (found := _read(text)))


def _read(text: str) -> Measured | None:
    """The measurement in a line; None for any other line, also of a later version."""
    try:
        values: dict[str, Any] = json.loads(text)
        known = {one.name: values[one.name] for one in fields(Measured) if one.name in values}
        return Measured(**known)
    except (ValueError, TypeError):
        return None


class Known:
    """Measurements by call and by what they are like, the newest of each."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._calls: dict[str, list[Measured]] = {}
        self._like: dict[str, list[Measured]] = {}
        for one in measured:
            self._calls.setdefault(one.call, []).append(one)
            self._like.setdefault(one.like, []).append(one)

    def __len__(self) -> int:
        return sum(map(len, self._calls.values()))

    def rate(self, call: str, like: str) -> Rate | None:
        """What is known of a call, else of calls like it; None: nothing.

        Runs count; the pilot only where they have not had two sizes.
        """
        for found, exact in ((self._calls.get(call), True), (self._like.get(like), False)):
            if found:
                return Rate(tuple(_preferred(found[-_NEWEST:])), exact)
        return None


def _preferred(found: list[Measured]) -> list[Measured]:
    runs = [one for one in found if not one.pilot]
    return runs if len({one.units for one in runs}) > 1 else found
