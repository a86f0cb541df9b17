"""What `tsalign check` prints: on a terminal of 80 columns, in a pipe, or as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli import time_view
from data.durations import duration
from data.readers.seen import LOST
from flows.planning.check import Check, ModelFacts, Tried
from flows.planning.foreseen import Foreseen
from flows.planning.plan import STATES, Step
from flows.planning.preview import SHARES, Example, Lengths, Piece, Preview, Reading
from models.checkpoints import parameter_words

_HEAD = _TAIL = 240  # characters shown of a long prompt
_EXPLAINED = {
    "again": "Repeated: the same work as an earlier stage of this run, found when its turn comes.",
    "later": "Known later: the store has the like; whether this one is found depends on what the "
    "stages before it give.",
}
_DROPPED = {
    "duplicate": "repeated, dropped",
    "answer_dropped": "ended with an answer, which is left out",
    "empty_system": "had an empty system turn, which is left out",
}


def show(check: Check, source: str, command: str) -> None:
    """Print all that was found; `command` is what runs the recipe."""
    console = Console(highlight=False)
    recipe, machine = check.recipe, check.machine
    rounds = "1 round" if recipe.round_count == 1 else f"{recipe.round_count} rounds"
    labels = getattr(recipe, "labels", None)
    by = f", labels {labels}" if labels else ""
    _line(console, f"{source}: run {recipe.run}, {recipe.recipe}, {rounds}{by}")
    _line(console, "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()))
    if recipe.sampling and recipe.sampling.engine == "auto":
        _line(console, f"Engine: {machine['engine']} by itself, as {check.engine_why}")
    for note in check.notes:
        _line(console, f"Note: {note}")
    if check.chosen:
        _title(console, "Not in the recipe, so chosen by its models and prompts")
        _columns(console, [(name, f"{value:g}") for name, value in check.chosen.items()])
    if check.models:
        _title(console, "Models")
        for facts in check.models:
            _model(console, facts)
    _title(console, "Prompts")
    _prompts(console, check.prompts)
    for number, example in enumerate(check.prompts.examples, start=1):
        _example(console, number, example)
    if not check.prompts.examples and check.recipe.counts_work:
        _line(console, "No model that reads them is there before the run.", 2)
    _plan(console, check)
    _foreseen(console, check)
    if check.tried:
        _title(console, "Tried")
        for tried in check.tried:
            _tried(console, tried)
    imported = any(facts.imported for facts in check.models)
    written = "nothing but the imported model was written" if imported else "or written"
    said = f"Nothing was computed{', ' if imported else ' '}{written}."
    _title(console, "Nothing but measurements was kept." if check.time else said)
    if check.models and not check.tried:
        _line(console, "No weights were loaded; --deep loads each model and uses it once.")
    if not (check.plan and check.plan.fails):
        _line(console, f"Next: {command}")


def as_json(check: Check) -> str:
    """Everything as JSON: `problems` is empty where the recipe can run."""
    found = asdict(check) | {"recipe": check.recipe.model_dump(mode="json")}
    for name, foreseen in (("time", check.time), ("paper", check.paper)):
        found[name] = time_view.as_json(foreseen) if foreseen else None
    if check.plan:
        found["plan"]["work"] = work(check.plan.steps)
    return json.dumps(found, indent=2, ensure_ascii=True)


def work(steps: Iterable[Step]) -> dict[str, int]:
    """What the steps that are not found take at most."""
    left = [step for step in steps if step.state in ("compute", "later")]
    readers = {f"{who} reads": 0 for who in ("teacher", "student")}
    for step in left:
        for what in ("reads", "calls"):
            if n := getattr(step, what):
                readers[f"{step.reader} {what}"] = readers.get(f"{step.reader} {what}", 0) + n
    trained = {
        f"{rows} for the {who}, each epoch": sum(
            getattr(step, rows) for step in left if step.makes == who
        )
        for who in ("student", "teacher", "policy")
        for rows in ("pairs", "answers")
    }
    sampled = {
        "completions": sum(step.sampled for step in left),
        "tokens sampled": sum(step.tokens for step in left),
    }
    return sampled | readers | trained


def size(number: float) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}" if unit in ("bytes", "kB") else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _model(console: Console, facts: ModelFacts) -> None:
    large = parameter_words(facts.parameters)
    reads = f"reads {facts.context:,} tokens" if facts.context else "sets no limit of tokens"
    how = "prompt and answer as a pair"
    if facts.reads == "chat template":
        how = f"by the template {facts.template}" if facts.template else "by its chat template"
    _line(console, f"{facts.field.removesuffix('.model')}: {facts.imported or facts.path}", 2)
    text = f"{facts.architecture}, {large} parameters in {facts.dtype}, {reads}, {how}"
    _line(console, text, 4)


def _prompts(console: Console, seen: Preview) -> None:
    for file in seen.files:
        lost = "; ".join(f"{n:,} {_DROPPED.get(k, k)}" for k, n in file.counts.items())
        rows = f"{file.field}: {file.read:,} rows, {file.kept:,} prompts"
        _line(console, rows + (f" ({lost})" if lost else ""), 2)
        found = ", ".join(f"{name} {n:,}" for name, n in file.layouts.items())
        weight = f", weight {file.weight:g}" if file.weight else ""
        if weight or set(file.layouts) - {"prompt", "messages"}:
            _line(console, f"{file.name}{weight}, read as {found}", 4)
    for why, n in seen.lost.items():
        if n:
            _line(console, f"{n:,} prompts of the pool {LOST[why]}, and leave it", 2)
    if seen.parts:
        _line(console, ", ".join(f"{part} {n:,}" for part, n in seen.parts.items()), 2)
    if seen.lengths:
        _lengths(console, seen.lengths)


def _lengths(console: Console, lengths: list[Lengths]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("tokens of a prompt")
    for name in (*(f"{share} %" for share in SHARES), "at most"):
        table.add_column(name, justify="right")
    for one in lengths:
        limit = f"{one.limit:,}" if one.limit else "any"
        shares = (f"{n:,}" for n in one.shares.values())
        table.add_row(f"  {one.field.removesuffix('.model')}", *shares, limit)
    _block(console, table, 2)
    for one in lengths:
        if one.too_long:
            what = "1 prompt is" if one.too_long == 1 else f"{one.too_long:,} prompts are"
            who = one.field.removesuffix(".model")
            text = f"{what} too long for the {who}: no answer to such a one can be scored."
            _line(console, text, 2)


def _example(console: Console, number: int, example: Example) -> None:
    console.print()
    _line(console, f"{number}. {example.place}", 2)
    shown: dict[tuple[tuple[str, bool], ...], list[Reading]] = {}
    for reading in example.readings:  # models with one template read the same
        key = tuple((piece.text, piece.special) for piece in reading.pieces)
        shown.setdefault(key, []).append(reading)
    for readings in shown.values():
        who = " and ".join(one.field.removesuffix(".model") for one in readings)
        what = "reads" if len(readings) == 1 else "read"
        answered = "" if readings[0].writes else ", with an answer"
        _line(console, f"{who} {what} {readings[0].tokens:,} tokens{answered}", 4)
        _block(console, rendered(readings[0].pieces), 6)


def rendered(pieces: list[Piece]) -> Text:
    """What a model reads, special tokens set apart, the middle of a long text left out."""
    text = Text()
    for piece in pieces:
        style = "bold cyan" if piece.special else ""
        for line in printable(piece.text).splitlines(keepends=True):
            text.append(line.removesuffix("\n"), style=style)
            if line.endswith("\n"):
                text.append("\\n", style="dim")  # seen, as white space counts for a model
                text.append("\n")
    text.rstrip()
    if len(text) <= _HEAD + _TAIL:
        return text
    left_out = f"\n[... {len(text) - _HEAD - _TAIL:,} characters ...]\n"
    return Text.assemble(text[:_HEAD], (left_out, "dim"), text[-_TAIL:])


def printable(text: str) -> str:
    """The text without signs that would move a terminal's cursor or change its colours."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text
    )


def _plan(console: Console, check: Check) -> None:
    if check.plan is None:
        return
    _title(console, "Stages")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("all", "found", "repeated", "to compute", "known later"):
        table.add_column(name, justify="right")
    sections = check.plan.sections()
    for title, steps in sections.items():
        table.add_row(title, str(len(steps)), *_counts(steps))
    if len(sections) > 1:
        table.add_row("in all", str(len(check.plan.steps)), *_counts(check.plan.steps))
    _block(console, table, 2)
    steps = check.plan.steps
    for step in steps:
        if step.shards_found:
            text = f"{step.title}: {step.shards_found} of {step.shards} shards are found"
            _line(console, text, 2)
    for state, text in _EXPLAINED.items():
        if any(step.state == state for step in steps):
            _line(console, text, 2)
    if check.plan.ends:
        what = "The run ends there" if check.plan.fails else "Known no further"
        _line(console, f"{what}: {check.plan.ends}", 2)
    if not check.plan.ends and all(step.state in ("found", "again") for step in steps):
        _line(console, "Every stage is found: the run has nothing to compute.", 2)
        return
    _title(console, "Left to do, at most")
    left = {name: n for name, n in work(steps).items() if n}
    _columns(console, [(name, f"{n:,}") for name, n in left.items()])
    if not check.recipe.counts_work:
        _line(console, "What its models read and learn is not counted.", 2)
    elif not left:
        _line(console, "Tables only: no model samples, reads or learns.", 2)
    if (disk := check.disk) and (disk.needed or disk.own_models):
        needed = round(check.time.disk) if check.time else disk.needed
        parts = [f"about {size(needed)}"] if needed else []
        if disk.own_models and not check.time:
            parts.append("the models that the run makes")
        taken = " and ".join(parts)
        more = f", and {size(disk.meanwhile)} during a training" if disk.meanwhile else ""
        _line(console, f"Disk: {taken}{more}; {size(disk.free)} are free in", 2)
        _line(console, disk.store, 4)


def _foreseen(console: Console, check: Check) -> None:
    """The stages' seconds, memory and disk, where they were asked for."""
    if here := check.time:
        _expected(console, "here", here.steps, time_view.summed(here, size), here.notes)
    if paper := check.paper:
        whole = [f"In all about {duration(paper.seconds)}."]
        _expected(console, f"on {paper.gpus}", paper.steps, whole, paper.notes)


def _expected(
    console: Console, where: str, steps: list[Foreseen], whole: list[str], notes: list[str]
) -> None:
    for title, table in time_view.tables(steps, size):
        _title(console, f"Expected {where}: {title}")
        _block(console, table, 2)
    console.print()
    for text in [*whole, *map("Note: {}.".format, notes)]:
        _line(console, text, 2)


def _counts(steps: list[Step]) -> tuple[str, ...]:
    states = [step.state for step in steps]
    return tuple(str(states.count(state)) for state in STATES)


def _tried(console: Console, tried: Tried) -> None:
    who = tried.field.removesuffix(".model")
    if tried.answer is not None:
        _line(console, f"{who} answers the first prompt ({tried.seconds:g} s):", 2)
        text = Text(printable(tried.answer[:_HEAD]) or "(nothing)")
        _block(console, text, 6)
    else:
        score = "cannot read it, it is too long" if tried.score is None else f"{tried.score:g}"
        _line(console, f"{who} scores that answer: {score} ({tried.seconds:g} s)", 2)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _line(console: Console, text: str, indent: int = 0) -> None:
    """A line that wraps at words."""
    _block(console, Text(printable(text), overflow="fold"), indent)


def _block(console: Console, content: Text | Table, indent: int) -> None:
    console.print(Padding(content, (0, 0, 0, indent), expand=False))


def _columns(console: Console, rows: list[tuple[str, Any]]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    _block(console, table, 2)
