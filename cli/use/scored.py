"""What `tsalign score-model` prints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tasks.running.waiting import SILENCE, enough, say, waiting

OnProgress = Callable[[int, int], None]


@contextmanager
def watching(console: Console) -> Iterator[OnProgress]:
    """A bar on a terminal, in a pipe a line every half minute; before the first, that it loads."""
    bars = Progress(
        TextColumn("  scoring"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or console.quiet,
    )
    bar, said = bars.add_task("scoring", total=None), monotonic()

    def update(done: int, total: int) -> None:
        nonlocal said
        enough()
        bars.start()
        bars.update(bar, completed=done, total=total)
        if not console.is_terminal and monotonic() - said >= SILENCE:
            said = monotonic()
            say(console, f"scored {done:,} of {total:,}")

    try:
        with waiting("loading the model, reading the first pairs", console):
            yield update
    finally:
        bars.stop()


def present(summary: dict[str, Any], console: Console) -> None:
    """Tables by data set and by margin, and what they mean in sentences."""
    console.print(f"{summary['model']}, a {summary['judge']}", soft_wrap=True)
    console.print()
    console.print(_datasets(summary))
    console.print()
    if summary["quantiles"]:
        console.print(_margins(summary))
        console.print()
    for line in sentences(summary):
        say(console, line)


def _datasets(summary: dict[str, Any]) -> Table:
    table = _table("data set", "pairs", "right", "95 %", "if longer", "if shorter")
    rows = dict(summary["by_dataset"])
    if len(rows) > 1:
        rows["all"] = summary
    for name, found in rows.items():
        accuracy = found["accuracy"]
        table.add_row(
            Text(name, overflow="fold"),
            f"{accuracy['n']:,}",
            _percent(accuracy["share"]),
            _interval(accuracy["ci95"]),
            _percent(found["accuracy_longer_better"]["share"]),
            _percent(found["accuracy_shorter_better"]["share"]),
        )
    return table


def _margins(summary: dict[str, Any]) -> Table:
    table = _table("margin", "pairs", "right", "95 %", "promised")
    for group in summary["quantiles"]:
        low, high = group["margin"]
        table.add_row(
            f"{low:.2g} to {high:.2g}",
            f"{group['accuracy']['n']:,}",
            _percent(group["accuracy"]["share"]),
            _interval(group["accuracy"]["ci95"]),
            _percent(group["promised"]),
        )
    return table


def sentences(summary: dict[str, Any]) -> list[str]:
    """What the numbers say, a sentence each."""
    accuracy, length = summary["accuracy"], summary["length"]
    lines = []
    if summary["label_ties"] or summary["among_annotators"]:
        agreement, among = summary["agreement"], summary["among_annotators"]
        lines.append(
            f"Says the same as the labels, one answer, the other or a tie, on "
            f"{_percent(agreement['share'])} of {agreement['n']:,} pairs "
            f"({_interval(agreement['ci95'])})"
            + (f"; two annotators do on {_percent(among['share'])}." if among else ".")
        )
    readings = summary["agreement_by_reading"] or {}
    if any(found["share"] != summary["agreement"]["share"] for found in readings.values()):
        lines.append(
            f"Read otherwise it is {_percent(readings['as_written']['share'])}, if only a verdict "
            "in the labels' spelling counts, or "
            f"{_percent(readings['unread_is_tie']['share'])}, if what is no verdict is a tie."
        )
    if accuracy["n"]:
        lines.append(
            f"Puts {_percent(accuracy['share'])} of {accuracy['n']:,} pairs in the labels' order "
            f"({_interval(accuracy['ci95'])}); {_verdict(accuracy['ci95'])}."
        )
    if (by_label := length["label_prefers_longer"])["n"]:
        lines.append(
            f"The better answer is the longer one in {_percent(by_label['share'])}, so often would "
            "the rule 'longer is better' be right; the model prefers the longer one in "
            f"{_percent(length['judge_prefers_longer']['share'])}."
        )
    if length["margin_and_difference"] is not None:
        lines.append(
            f"Rank correlation of its margins with the difference in length: "
            f"{length['margin_and_difference']:+.2f}"
            + (
                f"; of rewards with length: {length['reward_and_length']:+.2f}."
                if length["reward_and_length"] is not None
                else "."
            )
        )
    if summary["calibration_error"] is not None:
        lines.append(
            f"Calibration error of its margins: {_percent(summary['calibration_error'])} "
            "(how far 'promised' is from 'right', over ten groups)."
        )
    return lines + _left_out(summary)


def _verdict(ci95: tuple[float, float]) -> str:
    low, high = ci95
    if low <= 0.5 <= high:
        return "that cannot be told from a coin"
    return "better than a coin" if low > 0.5 else "worse than a coin: it prefers the other answer"


def _left_out(summary: dict[str, Any]) -> list[str]:
    """Pairs that the accuracy does not count, and why."""
    rows = summary["rows"]
    unread = {
        "recorded judge": "without a verdict",
        "reward function": "without a reward",
        "reward model": "too long for the model",
    }.get(summary["judge"], "too long for the model, or without a verdict")
    reasons = {
        "tied by the label": summary["label_ties"],
        unread: summary["unread"],
        "of two equal answers": rows["same"],
        "with an empty answer": rows["empty"],
        "of different talks": rows["other"],
    }
    counted = [f"{count:,} {reason}" for reason, count in reasons.items() if count]
    lines = [f"Not counted: {', '.join(counted)}."] if counted else []
    if summary["judge_ties"]:
        lines.append(f"Called a tie by the judge, each half right: {summary['judge_ties']:,}.")
    lines += _counted(summary["counts"] or {})
    if summary["turned_with_order"]:
        lines.append(
            f"Verdicts that turn with the order of the answers: {summary['turned_with_order']:,}."
        )
    return lines


def _counted(counts: dict[str, Any]) -> list[str]:
    """What an endpoint was asked, and where reward functions have failed."""
    lines = [
        f"{key.partition(':')[2]} failed on {count:,} answers."
        for key, count in counts.items()
        if key.startswith("failed:") and count
    ]
    if "judge_calls" in counts:
        lines.append(
            f"Asked {counts['judge_calls']:,} times: {counts['judge_prompt_tokens']:,} tokens "
            f"read, {counts['judge_completion_tokens']:,} written. Pairs without a verdict that "
            f"can be read: {counts['unparsable']:,}; too long: {counts['too_long']:,}; kept out by "
            f"the server: {counts['refused']:,}."
        )
    return lines


def _table(first: str, *names: str) -> Table:
    table = Table(box=None, show_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.1%} to {ends[1]:.1%}"
