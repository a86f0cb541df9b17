"""What the terminal shows of a run: a table of its rounds, the result, and what it means."""

from typing import TYPE_CHECKING, NamedTuple

from data.summary import Round, Summary
from reports.text import (
    NOT_FINISHED,
    headline,
    interval,
    is_logged,
    judge_name,
    pairs_only,
    percent,
    stopped,
)
from reports.text import result as result_of

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

COLUMNS = ("round", "pairs", "swapped", "student agrees", "labels right")


class Rate(NamedTuple):
    """The win rate that stands for a run."""

    value: float
    ci95: tuple[float, float]
    judge: str
    round: int
    adopted: bool  # False: of the last policy, which was refused

    def __str__(self) -> str:
        """ "67.0 % (64.7 to 69.2 %)", "49.3 % (42.9 to 56.4 %), not adopted"."""
        shown = f"{percent(self.value)} ({interval(self.ci95)})"
        return shown if self.adopted else f"{shown}, not adopted"


def win_rate(summary: Summary) -> Rate | None:
    """Of the result; where no policy was adopted, of the last one that was evaluated."""
    final = result_of(summary)
    if final:
        return Rate(final.win_rate, final.ci95, final.judge, final.round, True)
    for entry in reversed(summary.rounds):
        if entry.policy:
            policy = entry.policy
            return Rate(policy.win_rate, policy.ci95, policy.judge, entry.round, False)
    return None


def format_status(summary: Summary) -> "Group":
    """A compact table of the rounds and, below it, the result; for rich's console."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    logged = is_logged(summary)
    table = Table(title=Text(summary.run), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.collapse_padding = True  # at 80 columns no cell breaks
    last = ("longer answer",) if logged else ("win rate", "adopted")
    for column in (*COLUMNS, *last):
        table.add_column(column, justify="right")
    for entry in summary.rounds:
        table.add_row(*_cells(entry, logged))
    parts: list[RenderableType] = [table] if summary.rounds else []
    return Group(*parts, Text(result_line(summary)))


def result_line(summary: Summary) -> str:
    """The result of a run in one line."""
    rate = None if is_logged(summary) else win_rate(summary)
    if rate:
        line = f"Win rate over the base: {percent(rate.value)} ({interval(rate.ci95)})"
        line += f", judged by the {rate.judge}, round {rate.round}"
        if not rate.adopted:
            line += ": not adopted, the base policy stays"
        done = summary.final or (summary.finished and not rate.adopted)
        return line if done else f"{line}. {stopped(summary) or NOT_FINISHED}"
    result = headline(summary)
    if is_logged(summary) and not pairs_only(summary):
        student = summary.rounds[-1].student
        return (
            f"Student agrees with {judge_name(summary)}: {percent(student.agreement_before)} → "
            f"{result['number']} ({result['interval']}); the longer answer: "
            f"{percent(student.longer_baseline)}"
        )
    return result["text"]


def short_result(summary: Summary) -> str:
    """For a table of runs."""
    if is_logged(summary):
        result = headline(summary)
        if pairs_only(summary):
            return f"{result['number']} pairs"
        return f"student agrees {result['number']} ({result['interval']})"
    rate = win_rate(summary)
    return str(rate) if rate else "none yet"


def verdict(summary: Summary) -> list[str]:
    """What the result means, a sentence each; empty where nothing was measured."""
    if is_logged(summary):
        return [] if pairs_only(summary) else _of_student(summary)
    rate = win_rate(summary)
    if rate is None:
        return []
    low, high = rate.ci95
    better, worse = low > 0.5, high < 0.5
    said = "No result: the interval includes 50 %, so the policies cannot be told apart."
    if better or worse:
        side, where = ("better", "above") if better else ("worse", "below")
        said = f"The policy is {side} than the base: the whole interval lies {where} 50 %."
    sentences = [said]
    if rate.judge == "teacher":
        sentences.append(
            "The teacher is both label and judge: this says how well the policy pleases the "
            "teacher; ask an independent judge too."
        )
    elif rate.judge == "oracle":
        sentences.append("The judge is the world's exact oracle, which the training never saw.")
    return sentences


def _of_student(summary: Summary) -> list[str]:
    student = summary.rounds[-1].student
    ends, longer = student.ci95_after, student.longer_baseline
    if ends is None or longer is None:
        return []
    rule = f"the rule 'the longer answer is better' ({percent(longer)})"
    if ends[0] > longer:
        return [f"The student is better than {rule}."]
    if ends[1] < longer:
        return [f"The student is worse than {rule}."]
    return [f"No result: the interval includes {rule}."]


def _cells(entry: Round, logged: bool) -> list[str]:
    student, policy = entry.student, entry.policy
    cells = [
        str(entry.round),
        f"{entry.ledger.trained:,}",
        f"{entry.swap_rate:.0%}",
        f"{_share(student.agreement_before)} to {_share(student.agreement_after)}",
        _share(entry.label_precision),
    ]
    if logged:
        return [*cells, _share(student.longer_baseline)]
    rate = "–"
    if policy:
        low, high = policy.ci95
        half = max(policy.win_rate - low, high - policy.win_rate)
        rate = f"{policy.win_rate:.1%} ±{half * 100:.1f}"
    return [*cells, rate, "yes" if entry.adopted else "no"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
