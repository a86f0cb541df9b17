"""The teacher-hacking monitor: what it looks at, and when it raises the alarm. No torch here.

Each signal is a proxy, known without an oracle, that falls as long as a policy gets better, and has
a law of convergence of its own (`data.convergence`). docs/monitor.md says why these and no others.

    likelihood    in a training, over its steps: negative log-likelihood of the chosen answers
    teacher       over rounds: share of comparisons on dev prompts that the base's answers win
    equal_length  the same, if both answers were equally long (`data.length_controlled`)
    student       the same, by the student that the run began with
    price         over rounds: nats between chosen and rejected answers of the pairs trained on,
                  for each unit of log-odds by which the policy's answers win on dev prompts
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from data.convergence import first_alarm, fit, limits, turned
from data.measures import Entry
from data.recipes.monitor import MonitorConfig
from data.statistics import Z_95

LIKELIHOOD, TEACHER, EQUAL_LENGTH, STUDENT, PRICE = SIGNALS = (
    "likelihood",
    "teacher",
    "equal_length",
    "student",
    "price",
)
RATERS = (TEACHER, EQUAL_LENGTH, STUDENT)


class Rated(Entry):
    """How often a policy's answers to the dev prompts win against the base's, by one rater."""

    win_rate: float
    error: float  # standard error, over prompts
    n: int  # prompts


class Signal(Entry):
    """The value of a signal, and what it may be at most."""

    name: str
    value: float
    limit: float | None = None  # None: nothing to compare with yet
    off: bool = False
    error: float = 0.0  # standard error of the value's logarithm
    step: int | None = None  # of the training; None: after it
    law: bool = False  # whether the limit is of a fitted law; else it is of the lowest so far


class Watch(Entry):
    """What the monitor saw in a round."""

    round: int
    steps: int  # of the policy's trainings from the base to here
    margin: float | None = None  # nats between chosen and rejected answers, from the base to here
    raters: dict[str, Rated] = {}
    training: list[Signal] = []  # likelihood, on a log grid of steps
    signals: list[Signal] = []  # of the round: the worst of the training, and those over rounds
    alarm: bool = False
    returned_to: int | None = None  # the round whose policy an alarm that ended the run left

    @property
    def off(self) -> list[Signal]:
        """The signals that raised the alarm."""
        return [one for one in self.signals if one.off]


def watched(
    number: int,
    measured: Mapping[str, Any],
    before: Sequence[Watch],
    config: MonitorConfig,
    from_base: bool,
) -> Watch:
    """What the proxies of a round say: an alarm if one of them has left its law.

    Args:
        measured: By the stage `tasks.watch.watch`; what it could not measure is missing or empty.
        before: Of the rounds that led to the policy this one started from, in order.
        from_base: Whether margins are measured against the base policy; else against the policy
            at the start of the round, and those of the rounds before are added.
    """
    steps, margin = measured["steps"] or 0, measured["margin"]
    if before:
        steps += before[-1].steps
        if margin is not None and not from_base:
            margin = None if before[-1].margin is None else margin + before[-1].margin
    raters = {name: Rated(**one) for name, one in (measured["raters"] or {}).items()}
    training = _training(measured["grid"] or {}, measured["steps"] or 0, config)
    signals = [_worst(training, config)] if training else []
    values = _over_rounds(raters, margin)
    earlier = [_over_rounds(one.raters, one.margin) for one in before]
    for name, (value, error) in values.items():
        known = [(x.steps, *y[name]) for x, y in zip(before, earlier, strict=True) if name in y]
        signals.append(_compared(name, value, error, steps, known, config))
    return Watch(
        round=number,
        steps=steps,
        margin=margin,
        raters=raters,
        training=training,
        signals=signals,
        alarm=any(one.off for one in signals),
    )


def _training(grid: Mapping[str, Sequence[Any]], steps: int, config: MonitorConfig) -> list[Signal]:
    """The likelihood at each point of the grid, with its limit by the law of the early ones."""
    at, values = grid.get("step", []), grid.get("value", [])
    early = sum(step <= config.early * steps for step in at)
    most = limits(at, values, early=early, z=config.z, floor=config.floor)
    return [
        Signal(
            name=LIKELIHOOD,
            value=value,
            limit=limit,
            off=limit is not None and value > limit,
            step=step,
            law=limit is not None,
        )
        for step, value, limit in zip(at, values, most, strict=True)
    ]


def _worst(training: Sequence[Signal], config: MonitorConfig) -> Signal:
    """The point that raised the alarm; without one the last point, which is not off."""
    values, most = [one.value for one in training], [one.limit for one in training]
    place = first_alarm(values, most, config.in_row)
    found = training[-1 if place is None else place]
    return found.model_copy(update={"off": place is not None})


def _over_rounds(
    raters: Mapping[str, Rated], margin: float | None
) -> dict[str, tuple[float, float]]:
    """Signals over rounds: value, and the standard error of its logarithm."""
    found = {}
    for name in RATERS:
        if one := raters.get(name):
            lost = max(1 - one.win_rate, 0.5 / one.n)
            found[name] = (lost, one.error / lost)
    teacher = raters.get(TEACHER)
    if teacher and margin is not None and margin > 0:
        rate = min(teacher.win_rate, 1 - 0.5 / teacher.n)
        if rate - Z_95 * teacher.error > 0.5:  # of a gain that may be none there is no price
            gain = math.log(rate / (1 - rate))
            error = teacher.error / (rate * (1 - rate)) / gain
            found[PRICE] = (margin / gain, error)
    return found


def _compared(
    name: str,
    value: float,
    error: float,
    steps: int,
    known: Sequence[tuple[int, float, float]],
    config: MonitorConfig,
) -> Signal:
    """A signal against its law over earlier rounds, or the lowest so far; a base wins half.

    The price has no lowest: a training on the same pairs again raises margins, and a little more
    of a gain costs more of them, in a healthy run too.
    """
    early = known[: config.early_rounds]
    law = None
    if len(early) == config.early_rounds and steps > 0:
        law = fit([one[0] for one in early], [one[1] for one in early])
    if law:
        limit: float | None = law.limit(steps, config.z, error, config.floor)
    elif name in RATERS:
        limit = turned([(0.5, 0.0), *(one[1:] for one in known)], error, config.z, config.floor)
    else:
        limit = None
    return Signal(
        name=name,
        value=value,
        limit=limit,
        off=limit is not None and value > limit,
        error=error,
        law=law is not None,
    )


def best_round(before: Sequence[Watch]) -> int:
    """Where a run goes back to: the round that the teacher is surest is better than the base.

    The one with the highest lower end of the 95 % interval of its win rate over the base on dev
    prompts; 0, the base, where none is above a half. Where the teacher gave no rewards, the last.

    Args:
        before: Of the adopted rounds that raised no alarm, in order.
    """
    if not any(TEACHER in one.raters for one in before):
        return before[-1].round if before else 0
    best, highest = 0, 0.5
    for one in before:
        if rated := one.raters.get(TEACHER):
            low = rated.win_rate - Z_95 * rated.error
            if low > highest:
                best, highest = one.round, low
    return best
