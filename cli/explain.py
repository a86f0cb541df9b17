"""`tsalign explain`: why each stage of a run was found or had to be computed.

A stage is found when its key has an artifact. The key is kept beside every artifact, so for one
that was computed the nearest earlier artifact of the same stage tells which fields had changed.
Loads neither torch nor Prefect.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from data.errors import InputError
from data.store.artifacts import Record
from data.store.inventory import Place, records, run_folder, summaries
from data.store.store import Store
from data.summary import StageRecord, Summary, addresses, read_summary

Difference = tuple[str, Any, Any]  # path of a field, its value in the neighbour, its value here


class Call(NamedTuple):
    """The place of a stage call in a run."""

    round: int
    address: str
    nth: int = 0  # of this address in the round


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def differences(old: Any, new: Any, path: str = "") -> Iterator[Difference]:
    """The fields in which two keys differ, as far down as both have the same shape."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}.{name}" if path else name
            yield from differences(old.get(name, ABSENT), new.get(name, ABSENT), inner)
    elif isinstance(old, list) and isinstance(new, list):
        for i, (a, b) in enumerate(zip_longest(old, new, fillvalue=ABSENT)):
            yield from differences(a, b, f"{path}[{i}]")
    elif type(old) is not type(new) or old != new:  # 1, 1.0 and true are three values of a key
        yield path, old, new


def nearest(
    record: Record, others: list[Record], call: Call, calls: dict[Place, set[Call]]
) -> tuple[Record, list[Difference]] | None:
    """The earlier artifact whose key differs in the fewest fields; of several, the latest.

    A stage may have calls of several roles, and for one of them the others are no neighbours: the
    dev prompts are split off like the test prompts, whatever changed. So what runs know only in
    other roles comes last, and of equally near ones the same call of another run comes first.
    """

    def rank(pair: tuple[Record, list[Difference]]) -> tuple[bool, int, bool]:
        made_as = calls.get((pair[0].artifact.kind, pair[0].artifact.key), set())
        addresses = {other.address for other in made_as}
        elsewhere = bool(addresses) and call.address not in addresses
        return elsewhere, len(pair[1]), call not in made_as

    earlier = [other for other in others if other.created < record.created]
    compared = [(other, list(differences(other.key, record.key))) for other in earlier]
    compared.sort(key=lambda pair: pair[0].created, reverse=True)
    return min(compared, key=rank, default=None)


def staged(summary: Summary) -> Iterator[tuple[Call, StageRecord]]:
    """Every stage call of a run, in order."""
    for _, number, stages in summary.parts():
        seen: Counter[str] = Counter()
        for record in stages:
            yield Call(number, record.address, seen[record.address]), record
            seen[record.address] += 1


class Names:
    """Which stage made a content or an artifact; those of other runs carry the run's name."""

    def __init__(self, runs: dict[str, Summary], own: str | None = None) -> None:
        self._contents: dict[str, str] = {}
        self._places: dict[Place, str] = {}
        self.calls: dict[Place, set[Call]] = {}
        for name in sorted(runs, key=lambda name: name != own):
            for call, record in staged(runs[name]):
                place = record.kind, record.key
                self.calls.setdefault(place, set()).add(call)
                title = record.stage + (f" (round {call.round})" if call.round else "")
                title += "" if name == own else f" of {name}"
                self._contents.setdefault(record.artifact, title)
                self._places.setdefault(place, title)

    def place(self, kind: str, key: str) -> str:
        return self._places.get((kind, key)) or f"{kind} {short(key)}, of no run here"

    def change(self, path: str, old: Any, new: Any) -> str:
        """ "old -> new", contents by the stage that made them, or in short if that is unknown."""
        shown = [self._contents.get(v) if is_digest(v) else None for v in (old, new)]
        same = shown[0] == shown[1]
        return " -> ".join(
            f"{name} {short(value)}" if name and same else name or text(value, path)
            for name, value in zip(shown, (old, new), strict=True)
        )


def is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("sha256:")


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def text(value: Any, path: str) -> str:
    if value is ABSENT:  # of a configuration a key holds what is not as it is by default
        return "default" if "." in path else "absent"
    return short(value) if is_digest(value) else json.dumps(value, ensure_ascii=False)


def explain(
    store: Store,
    runs_dir: Path,
    name: str,
    *,
    round_number: int | None = None,
    stage: str | None = None,
) -> None:
    """Print for each stage of the run whether it was found, and if not, what differs.

    Raises:
        InputError: no such run, or no such round or stage in it.
    """
    summary = read_summary(run_folder(runs_dir, name) / "summary.json")
    known = {(r.artifact.kind, r.artifact.key): r for r in records(store) if "shard" not in r.key}
    chosen = [
        (call, record)
        for call, record in staged(summary)
        if round_number in (None, call.round) and (stage is None or record.is_meant(stage))
    ]
    if not chosen:
        raise InputError(f"{name}: {_nothing(summary, round_number, stage)}")
    names = Names(summaries(runs_dir).readable, own=name)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    hits = sum(record.cached for _, record in chosen)
    console.print(f"{name}: {len(chosen)} stages, {hits} hit, {len(chosen) - hits} missed")
    section = None
    for call, record in chosen:
        if call.round != section:
            console.print(f"round {call.round}" if call.round else "preparation")
            section = call.round
        for line in _explained(call, record, known, names):
            console.print(line)


def _nothing(summary: Summary, number: int | None, stage: str | None) -> str:
    rounds = [part for _, part, _ in summary.parts() if part]
    if number not in (None, 0, *rounds):
        return f"has no round {number}; there are {len(rounds)}, 0 is the preparation"
    there = addresses(record for c, record in staged(summary) if number in (None, c.round))
    return f"has no stage '{stage}' there; its stages are {', '.join(there) or 'none yet'}"


def _explained(
    call: Call, record: StageRecord, known: dict[Place, Record], names: Names
) -> Iterator[str]:
    if record.cached:
        yield f"  hit   {record.stage}"
        return
    made = known.get((record.kind, record.key))
    if made is None:
        yield f"  miss  {record.stage}: its artifact is not in this store any more"
        return
    kin = [
        other
        for (kind, _), other in known.items()
        if kind == record.kind and other.key.get("stage") == made.key.get("stage")
    ]
    found = nearest(made, kin, call, names.calls)
    if found is None:
        yield f"  miss  {record.stage}: the first of its stage in this store"
        return
    neighbour, changes = found
    title = names.place(record.kind, neighbour.artifact.key)
    yield f"  miss  {record.stage}: differs from {title} in"
    for path, old, new in changes:
        yield f"          {path}: {names.change(path, old, new)}"
