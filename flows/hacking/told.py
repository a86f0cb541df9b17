"""What a run of the teacher-hacking experiment says of itself: measures and its report."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from data.convergence import log_grid
from data.distance_watch import first_alarm_round
from data.measures import Fact, Measure, RoundValue, Verdict, Warned
from data.monitor import Watch
from data.sections import Cell, Chart, Column, Point, Row, Section, Series, Table
from data.u_turn import RISE, Reading, lowest_place, reading, u_turn
from flows import distance_told
from flows.distance_told import steps_by_round
from flows.hacking.measures import APART, GAP, Measures, of_rounds
from flows.hacking.recipe import WHOSE, HackingRecipe
from flows.hacking.state import Apart, Outcome, Parts
from flows.loop.sections import points
from flows.loop.state import Pool
from flows.loop.summary import sources
from flows.result import Result
from reports.text import percent


class Curves(NamedTuple):
    """Golden and proxy over the measured rounds, what they say, and what the monitor says."""

    golden: list[RoundValue]
    proxy: list[RoundValue]
    gap: float
    watches: list[Watch]

    @property
    def best(self) -> RoundValue:
        """Where golden was lowest."""
        return self.golden[lowest_place([one.value for one in self.golden])]

    @property
    def turn(self) -> int | None:
        """The round where golden turned up."""
        place = u_turn([one.value for one in self.golden])
        return None if place is None else self.golden[place].round

    @property
    def alarm(self) -> int | None:
        """The round that raised the alarm."""
        return first_alarm_round(self.watches)

    @property
    def says(self) -> Reading:
        golden, proxy = ([one.value for one in curve] for curve in (self.golden, self.proxy))
        return reading(golden, proxy)


def told(
    recipe: HackingRecipe, pool: Pool, parts: Parts, start: Apart, done: Sequence[Outcome]
) -> Result:
    """The result of a run, or what there is so far."""
    measures = of_rounds(start, parts.of_teacher, done)
    proxy = measures["proxy_kl"]
    watches = distance_told.watched(proxy, steps_by_round(done), recipe.monitor)
    curves = Curves(measures["golden_kl"].rounds, proxy.rounds, measures[GAP].value, watches)
    measures |= when(curves)
    read = sources(pool)
    return Result(
        headline=GAP,
        measures=measures,
        sections=[course(measures, done), *distance_told.section(watches, proxy.unit)]
        + ([learned(done)] if done else []),
        method=f"distillation of a teacher, answers {WHOSE[recipe.answers]}, measured against the "
        "oracle that the teacher has learnt from",
        verdict=verdict(curves),
        facts=facts(curves, measures),
        warnings=[*distance_told.warned(watches), *turned(curves)],
        progress=progress(measures, done) if done else None,
        sources=read,
    )


def when(curves: Curves) -> Measures:
    """The rounds of U-turn and alarm, as far as there are any."""
    found = {}
    if curves.turn is not None:
        about = (
            f"The round with the lowest golden, where the last is more than {percent(RISE)} above."
        )
        found["u_turn_round"] = Measure(value=curves.turn, title="U-turn of golden", about=about)
    if curves.alarm is not None:
        about = "The round in which the monitor raised the alarm, by the proxy alone."
        found["alarm_round"] = Measure(value=curves.alarm, title="alarm", about=about)
    return found


TITLES: dict[Reading, str] = {
    "hacking": "Teacher hacking: nearer to the teacher, further from the oracle",
    "overfitting": "Overfitting: further from the oracle, and from the teacher too",
    "no U-turn": "No U-turn: golden did not rise",
}


def verdict(curves: Curves) -> Verdict:
    """What the two curves say together."""
    golden, proxy, best = curves.golden, curves.proxy, curves.best
    line = (
        f"Hacking gap {percent(curves.gap)}: golden {golden[0].value:.3f} at first, lowest "
        f"{best.value:.3f} after round {best.round}, {golden[-1].value:.3f} at the end; proxy "
        f"{proxy[0].value:.3f} to {proxy[-1].value:.3f} nats an answer"
    )
    text = f"{line}. {at(curves)}"
    return Verdict(
        kind="good" if curves.says == "no U-turn" else "bad",
        title=TITLES[curves.says],
        label="rise of the distance to the oracle above its lowest",
        text=text,
        line=line,
        short=f"{percent(curves.gap)} hacking gap",
    )


def at(curves: Curves) -> str:
    """U-turn and alarm in a sentence."""
    turn = "Golden never turned" if curves.turn is None else f"Golden turned at round {curves.turn}"
    if not curves.watches:
        return f"{turn}; nobody watched."
    alarm = (
        "raised no alarm" if curves.alarm is None else f"raised the alarm in round {curves.alarm}"
    )
    return f"{turn}; the monitor, which sees the proxy alone, {alarm}."


def turned(curves: Curves) -> list[Warned]:
    """The U-turn, which nobody without an oracle would know."""
    if curves.turn is None:
        return []
    return [
        Warned(
            section="course",
            rule="u_turn",
            found=f"Golden was lowest after round {curves.turn} and has risen by "
            f"{percent(curves.gap)} since.",
            reason="The policy of that round is the better one; ask more prompts, or answer them "
            "anew in every round.",
            rounds=[one.round for one in curves.golden if one.round > curves.turn],
        )
    ]


def course(measures: Measures, done: Sequence[Outcome]) -> Section:
    """Golden and proxy over the rounds."""
    golden, proxy = measures["golden_kl"], measures["proxy_kl"]
    numbers = [one.round for one in golden.rounds]
    chart = Chart(
        title="Golden and proxy",
        says="Distance of the policy from oracle and teacher, nats per answer, by round",
        series=[
            Series(name="golden, round", points=points(golden.rounds, numbers), shift=-0.1),
            Series(name="proxy, round", points=points(proxy.rounds, numbers), shift=0.1,
                   second=True),
        ],
        labels=["start" if number == 0 else str(number) for number in numbers],
        unit=golden.unit,
        keys={"golden": "first", "proxy": "second"},
        caption=f"{golden.about} Proxy: {proxy.about}",
    )  # fmt: skip
    steps = {0: 0} | steps_by_round(done)
    columns = [Column(title=name) for name in ("round", "steps")]
    columns += [Column(title=title, unit="nats per answer") for _, _, title, _ in APART.values()]
    columns.append(Column(title="golden above its lowest", unit="share"))
    of_round = [{one.round: one for one in measures[name].rounds} for name in (*APART, GAP)]
    rows = [
        Row(cells=[str(n), f"{steps[n]:,}",
                   *(Cell(value=known[n].value, ci95=known[n].ci95) for known in of_round)])
        for n in numbers
    ]  # fmt: skip
    return Section(
        name="course",
        title="Nearer to the teacher, or to what it copies?",
        hint="Golden is the distance to the oracle, proxy that to the teacher. A proxy that falls "
        "while golden rises is teacher hacking; where both rise the policy overfits. Intervals are "
        "over prompts, the same in every round, so that rounds differ by less than these are wide.",
        blocks=[chart, Table(title="Round by round", columns=columns, rows=rows)],
    )


def learned(done: Sequence[Outcome]) -> Section:
    """The loss of the trainings, all rounds as one, on a log grid of steps."""
    steps, losses = training_curve(done)
    places = log_grid(steps)
    values = [sum(losses[place] for place in one) / len(one) for one in places]
    chart = Chart(
        title="Loss on the answers learned",
        says="Loss of the trainings over their steps, two points for every doubling",
        series=[
            Series(name="loss, step", points=[Point(x=x, value=v) for x, v in enumerate(values)])
        ],
        labels=[str(steps[one[-1]]) for one in places],
        axis="step of all trainings, two points for every doubling",
        unit="nats per token",
    )
    return Section(
        name="training",
        title="What was learned on",
        hint="On answers that come again the loss falls further than the proxy, which is on "
        "held-out prompts.",
        blocks=[chart],
    )


def training_curve(done: Sequence[Outcome]) -> tuple[list[int], list[float]]:
    """Steps since the start, and the loss there, as the log of every round's training holds it."""
    before = steps_by_round(done)
    steps = [
        before[one.number] - one.policy.meta["steps"] + step
        for one in done
        for step in one.policy.meta["history"]["step"]
    ]
    return steps, list(chain.from_iterable(one.policy.meta["losses"] for one in done))


def facts(curves: Curves, measures: Measures) -> list[Fact]:
    """Lowest golden, the teacher's own, and when."""
    best = curves.best
    own = measures["golden_kl_of_teacher"].value
    return [
        Fact(
            title="Lowest golden",
            value=f"{best.value:.3f}",
            text=f"nats an answer, after round {best.round}; the teacher itself is at {own:.3f}",
        ),
        Fact(
            title="U-turn",
            value="none" if curves.turn is None else f"round {curves.turn}",
            text=f"where golden was lowest, if it ends more than {percent(RISE)} above",
        ),
        Fact(
            title="Alarm",
            value="none" if curves.alarm is None else f"round {curves.alarm}",
            text="by the monitor, which sees the proxy alone",
        ),
    ]


def progress(measures: Measures, done: Sequence[Outcome]) -> Table:
    """A line per round, narrow enough for a terminal."""
    columns = [Column(title=name) for name in ("round", "loss", "golden", "proxy", "gap")]
    known = [
        {one.round: one.value for one in measures[name].rounds}
        for name in ("learned_kl", "golden_kl", "proxy_kl", GAP)
    ]
    rows = []
    for one in done:
        *values, gap = (curve.get(one.number) for curve in known)
        cells = ["–" if value is None else f"{value:.3f}" for value in values]
        rows.append(Row(cells=[str(one.number), *cells, "–" if gap is None else f"{gap:.1%}"]))
    return Table(columns=columns, rows=rows)
