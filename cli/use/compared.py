"""What `tsalign compare` prints and writes."""

from collections.abc import Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.use.talk import printable
from data.errors import InputError
from data.tables import write_table
from reports.compare_page import few, write_page
from reports.text import interval, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.use.compare import Comparison
    from cli.use.policies_of import Policy
    from data.recipes.recipe import DecodingConfig
    from data.summary import PolicySummary

SHOWN, LONGEST = 10, 300  # rows of the table, characters of a cell


@contextmanager
def writing(out: Path) -> "Iterator[None]":
    """A path that cannot be written, in one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"--out: '{out}' cannot be written ({reason}); name another") from error


def present(
    found: "Comparison",
    policies: "Sequence[Policy]",
    decoding: "DecodingConfig",
    seed: int,
    out: Path,
    *,
    quiet: bool = False,
) -> None:
    """Write the Parquet table and the page beside it; print the first rows and the result."""
    from cli.use.compare import COMPARISON

    rows = found.table.to_pylist()
    page, table = out.with_name(f"{out.name}.html"), out.with_name(f"{out.name}.parquet")
    facts = {name: str(value) for name, value in decoding.model_dump().items()}
    facts |= {"seed": str(seed), "tsalign": version("tsalign")}
    facts |= {
        name: f"{policy.run}, {policy.name}, {policy.digest}"
        for name, policy in zip(found.names, policies, strict=True)
    }
    title = f"{policies[-1].run}: {found.names[0]} and {found.names[1]}"
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, found.table, COMPARISON)
        write_page(page, title, found.names, rows, found.judged, facts)
    console = Console(quiet=quiet, highlight=False, markup=False)
    if console.is_terminal:
        console.print(_rows(found.names, rows[:SHOWN]))
        if len(rows) > SHOWN:
            console.print(f"... and {len(rows) - SHOWN:,} more, in the page.")
    else:
        for row in rows[:SHOWN]:
            _plain(console, found.names, row)
    if found.judged:
        x = found.judged
        ends = "" if few(x) else f" ({interval(x.ci95)})"
        console.print(
            f"{found.names[1]} wins {percent(x.win_rate)}{ends} over {found.names[0]}: {x.wins} "
            f"won, {x.ties} tied, {x.losses} lost, judged by the teacher that labelled its "
            f"training pairs.{_unjudged(x)}{' Too few prompts for an interval.' if few(x) else ''}",
        )
    console.print(f"Page: {page}", soft_wrap=True)
    console.print(f"Table: {table}", soft_wrap=True)


def _unjudged(x: "PolicySummary") -> str:
    return f" {x.unjudged} of the ties are answers that it did not judge." if x.unjudged else ""


def _rows(names: tuple[str, str], rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 1, 0), show_edge=False)
    for name in ("prompt", *names):
        table.add_column(Text(name, style="bold"), ratio=1, overflow="fold")
    for row in rows:
        won = {1: (False, True), 0: (True, False)}.get(row["outcome"], (False, False))
        answers = [
            Text(_short(row[f"{side}_answer"]), style="green" if better else "")
            for side, better in zip("ab", won, strict=True)
        ]
        table.add_row(Text(_short(row["messages"][-1]["content"])), *answers)
    return table


def _plain(console: Console, names: tuple[str, str], row: dict[str, Any]) -> None:
    texts = [("prompt", row["messages"][-1]["content"])]
    texts += [(name, row[f"{side}_answer"]) for name, side in zip(names, "ab", strict=True)]
    for name, text in texts:
        console.print(f"{name}: {_short(text)}", soft_wrap=True)


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
