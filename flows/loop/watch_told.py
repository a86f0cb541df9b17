"""What the monitor saw, in words: a rule's finding, a line for the terminal, a section."""

from collections.abc import Sequence

from data.monitor import EQUAL_LENGTH, LIKELIHOOD, PRICE, STUDENT, TEACHER, Signal, Watch
from data.sections import Block, Chart, Column, Point, Row, Section, Series, Table
from data.statistics import Z_95
from data.summary import Round
from reports.plots import number

TITLES = {
    LIKELIHOOD: "negative log-likelihood of the chosen answers, in training",
    TEACHER: "base's answers win, by the teacher",
    EQUAL_LENGTH: "the same at equal length",
    STUDENT: "the same, by the first student",
    PRICE: "nats of margin for a unit of log-odds of winning",
}
_FOUND = {
    LIKELIHOOD: "the chosen answers became less likely in training than its early steps promised",
    TEACHER: "by the teacher, the policy wins less often over the base on dev prompts",
    EQUAL_LENGTH: "by the teacher, the policy wins less often over the base at equal length",
    STUDENT: "by the student that the run began with, the policy wins less often over the base",
    PRICE: "the margins of the training pairs rise without as much of a gain on dev prompts",
}
_HINT = (
    "Proxies that are known without an oracle, each compared with the law by which it had been "
    "falling, or with the lowest so far while there are too few rounds for a law. One that is off "
    "raises the alarm: the policy may be learning what the teacher likes rather than better "
    "answers. What each says, and how sure it is, is in docs/monitor.md."
)


def found(entry: Round) -> str:
    """What raised the alarm in a round; empty where nothing has."""
    if entry.watch is None or not entry.watch.alarm:
        return ""
    said = [f"{_FOUND[one.name]} ({_numbers(one)})" for one in entry.watch.off]
    if entry.watch.returned_to is not None:
        said.append(f"the run ended here and went back to {_policy(entry.watch.returned_to)}")
    return "; ".join(said)


def _numbers(one: Signal) -> str:
    limit = 0.0 if one.limit is None else one.limit
    at = f" at step {one.step}" if one.step else ""
    return f"{number(one.value, False)}{at}, limit {number(limit, False)}"


def _policy(number: int) -> str:
    return f"round {number}" if number else "the base policy"


def sentences(rounds: Sequence[Round]) -> list[str]:
    """How a watched run stands, for the terminal."""
    watched = [entry for entry in rounds if entry.watch]
    if not watched:
        return []
    alarms = [entry.round for entry in watched if entry.watch and entry.watch.alarm]
    if alarms:
        return [f"Monitor: alarm in round {', '.join(map(str, alarms))}; see the warning."]
    return [f"Monitor: no alarm in {len(watched)} round{'s' * (len(watched) != 1)}."]


def section(rounds: Sequence[Round]) -> Section | None:
    """Signals by round, the training that raised the alarm or the last, wins by two raters."""
    watched = [(entry, entry.watch) for entry in rounds if entry.watch and entry.watch.signals]
    if not watched:
        return None
    drawn = [watch for _, watch in watched if watch.training]
    alarming = [x for x in drawn if any(one.name == LIKELIHOOD for one in x.off)]
    blocks: list[Block] = [_table(watched)]
    if drawn:
        blocks.append(_training((alarming or drawn[-1:])[0]))
    if any(TEACHER in watch.raters for _, watch in watched):
        blocks.append(_raters(watched))
    return Section(name="monitor", title="Monitor", hint=_HINT, blocks=blocks)


def _table(watched: Sequence[tuple[Round, Watch]]) -> Table:
    columns = [Column(title=title) for title in ("round", "signal")]
    columns += [Column(title=title) for title in ("value", "limit", "compared with", "")]
    rows = [
        Row(cells=[str(entry.round), TITLES[one.name], one.value, one.limit, _with(one),
                   "off" if one.off else ""])
        for entry, watch in watched
        for one in watch.signals
    ]  # fmt: skip
    return Table(title="Signals", columns=columns, rows=rows)


def _with(one: Signal) -> str:
    if one.limit is None:
        return "nothing yet"
    return "its law" if one.law else "the lowest so far"


def _training(watch: Watch) -> Chart:
    """The likelihood of one training over its steps, with its limit."""
    points = [Point(x=x, value=one.value, hollow=one.off) for x, one in enumerate(watch.training)]
    most = [
        Point(x=x, value=one.limit) for x, one in enumerate(watch.training) if one.limit is not None
    ]
    title = f"Likelihood of the chosen answers, round {watch.round}"
    return Chart(
        title=title,
        says=f"{title}: negative log-likelihood over the steps of the training, and its limit",
        series=[
            Series(name="measured, step", points=points),
            Series(name="limit, step", points=most, second=True),
        ],
        labels=[str(one.step) for one in watch.training],
        axis="step of the training, two points for every doubling",
        unit="nats per answer",
        keys={"measured": "first", "limit": "second"}
        | ({"above the limit": "hollow"} if any(point.hollow for point in points) else {}),
    )


def _raters(watched: Sequence[tuple[Round, Watch]]) -> Chart:
    """Wins over the base on dev prompts, by the teacher and by the first student."""
    numbers = [0, *(entry.round for entry, _ in watched)]

    def curve(name: str, title: str, second: bool) -> Series:
        points = [Point(x=0, value=0.5)]
        for x, (entry, watch) in enumerate(watched, start=1):
            if one := watch.raters.get(name):
                half = Z_95 * one.error
                ends = (max(0.0, one.win_rate - half), min(1.0, one.win_rate + half))
                points.append(Point(x=x, value=one.win_rate, ci95=ends, hollow=not entry.adopted))
        shift = 0.1 if second else -0.1
        return Series(name=f"{title}, round", points=points, second=second, shift=shift)

    series = [curve(TEACHER, "by the teacher", False)]
    if any(STUDENT in watch.raters for _, watch in watched):
        series.append(curve(STUDENT, "by the first student", True))
    return Chart(
        title="Wins over the base on dev prompts",
        says="Win rate over the base on dev prompts, by the teacher and by the first student",
        series=series,
        labels=["base" if one == 0 else str(one) for one in numbers],
        unit="win rate",
        share=True,
        even=0.5,
        keys={"by the teacher": "first"}
        | ({"by the first student": "second"} if len(series) > 1 else {}),
    )
