"""What `tsalign check --time` and `--device` print: a table of stages for each part of the run."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table

from data.durations import duration
from flows.planning.foreseen import Foreseen
from flows.planning.on_paper import Paper
from flows.planning.predict import Prediction

_SMALL = 0.01  # of a section's seconds: what takes less is added up in one row
_SOURCES = {"run": "runs", "pilot": "the pilot", "like": "the like", "": "not known"}

Size = Callable[[float], str]


def tables(steps: Iterable[Foreseen], size: Size) -> list[tuple[str, Table]]:
    """A table of each section that has work."""
    sections: dict[str, list[Foreseen]] = {}
    for step in steps:
        if step.is_work:
            sections.setdefault(step.section, []).append(step)
    return [(title, _table(found, size)) for title, found in sections.items()]


def _table(steps: list[Foreseen], size: Size) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for name in ("calls", "tokens", "time", "memory", "disk"):
        table.add_column(name, justify="right")
    table.add_column("by")
    least = _SMALL * sum(step.seconds or 0.0 for step in steps)
    large = [step for step in steps if step.seconds is None or step.seconds >= least]
    small = [step for step in steps if step not in large]
    for step in large:
        table.add_row(step.title, *_cells([step], size), _SOURCES.get(step.source, step.source))
    if small:
        table.add_row(f"{len(small)} others", *_cells(small, size), "")
    if len(steps) > 1:
        table.add_row("in all", *_cells(steps, size), "")
    return table


def _cells(steps: list[Foreseen], size: Size) -> list[str]:
    calls, tokens = (sum(getattr(one, name) for one in steps) for name in ("calls", "tokens"))
    seconds = [one.seconds for one in steps if one.seconds is not None]
    memory = max((one.memory or 0 for one in steps), default=0)
    disk = sum(one.disk or 0 for one in steps)
    return [
        f"{calls:,}" if calls else "",
        f"{tokens:,}" if tokens else "",
        duration(sum(seconds)) if seconds else "?",
        size(memory) if memory else "",
        size(disk) if disk else "",
    ]


def summed(found: Prediction, size: Size) -> list[str]:
    """The whole in sentences."""
    if not found.work:
        return ["Nothing is left to compute."]
    whole = f"In all about {duration(found.seconds)}"
    rest = f"{duration(found.start)} around the run, {duration(found.between)} between its stages"
    lines = [f"{whole}, of which {rest}; {duration(found.cores)} of a core."]
    if found.memory:
        lines.append(f"Memory about {size(found.memory)}, disk {size(found.disk)}.")
    how = ", ".join(
        f"{name} {value}" for name, value in found.machine.items() if name != "instructions"
    )
    return [*lines, f"By what was measured on this machine ({how})."]


def as_json(found: Prediction | Paper) -> dict[str, Any]:
    """Totals and every stage that is work."""
    return found.told() | {"steps": [asdict(step) for step in found.steps if step.is_work]}
