"""The monitor of a distillation, told: what the distance to the teacher says, round by round."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from data.distance_watch import Seen, distances_watched, first_alarm_round
from data.measures import Measure, Warned
from data.monitor import Watch
from data.recipes.monitor import DistanceMonitor
from data.sections import Chart, Column, Point, Row, Section, Series, Table
from data.store.artifacts import Artifact

_LEAST = 1e-9  # nats: what rounding leaves of no distance
_HINT = (
    "The distance to the teacher on held-out prompts, compared with the law by which it fell in "
    "the first measured rounds. Above its limit it is off: the policy goes on learning the answers "
    "that it is shown, and less and less of what the teacher would say elsewhere. No oracle and no "
    "judge is asked. docs/monitor.md has law, limit and what an alarm is worth."
)


class Trained(Protocol):
    """A round that has left a policy."""

    @property
    def number(self) -> int: ...
    @property
    def policy(self) -> Artifact: ...


def steps_by_round(done: Sequence[Trained]) -> dict[int, int]:
    """Optimizer steps from the start to the end of every round."""
    steps = accumulate(one.policy.meta["steps"] for one in done)
    return dict(zip((one.number for one in done), steps, strict=True))


def watched(
    distance: Measure | None, steps: Mapping[int, int], config: DistanceMonitor
) -> list[Watch]:
    """What the monitor says of every measured round; nothing where it is off.

    Args:
        distance: To the teacher, with a curve; round 0, before any step, is left out.
        steps: Optimizer steps up to the end of each round.
    """
    if distance is None or not config.enabled:
        return []
    measured = [one for one in distance.rounds if one.round]
    seen = [Seen(one.round, steps[one.round], max(one.value, _LEAST)) for one in measured]
    return distances_watched(seen, config)


def warned(watches: Sequence[Watch]) -> list[Warned]:
    """The alarm, if there is one."""
    alarm = first_alarm_round(watches)
    if alarm is None:
        return []
    (signal,) = next(one for one in watches if one.round == alarm).signals
    return [
        Warned(
            section="monitor",
            rule="distance",
            found=f"By round {alarm} the distance to the teacher on held-out prompts had left the "
            f"law of its fall ({signal.value:.3g}, limit {signal.limit or 0.0:.3g}).",
            reason="The policy may be learning its answers by heart: ask more prompts, answer them "
            "anew in every round, or stop earlier.",
            rounds=[one.round for one in watches if one.alarm],
        )
    ]


def section(watches: Sequence[Watch], unit: str) -> list[Section]:
    """Distances and their limits by round; nothing where nobody watched."""
    if not watches:
        return []
    signals = [(one.round, one.signals[0]) for one in watches]
    columns = [Column(title=title) for title in ("round", "distance", "limit", "")]
    rows = [
        Row(cells=[str(number), one.value, one.limit, "off" if one.off else ""])
        for number, one in signals
    ]
    off = any(one.off for _, one in signals)
    title = "Distance to the teacher and its limit"
    chart = Chart(
        title=title,
        says=f"{title}, {unit}, by round",
        series=[
            Series(name="measured, round", points=[
                Point(x=x, value=one.value, hollow=one.off) for x, (_, one) in enumerate(signals)
            ]),
            Series(name="limit, round", second=True, points=[
                Point(x=x, value=one.limit) for x, (_, one) in enumerate(signals)
                if one.limit is not None
            ]),
        ],
        labels=[str(number) for number, _ in signals],
        unit=unit,
        keys={"measured": "first", "limit": "second"}
        | ({"above the limit": "hollow"} if off else {}),
    )  # fmt: skip
    table = Table(title="Signals", columns=columns, rows=rows)
    return [Section(name="monitor", title="Monitor", hint=_HINT, blocks=[chart, table])]
