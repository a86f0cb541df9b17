"""What a round measured, in the trackers that a recipe names."""

import math
from collections.abc import Mapping, Set
from pathlib import Path

from data.measures import Measure, RoundValue
from data.recipes.recipe import RunRecipe
from flows.result import Result
from models.training.trackers import ROUNDS, Tracking, draw


def tracking_of(recipe: RunRecipe, folder: Path) -> Tracking | None:
    """The trackers of an invocation of a run, whose summary is kept in `folder`."""
    names = tuple(dict.fromkeys(recipe.runtime.trackers))
    if not names:
        return None
    tracking = Tracking(names, folder / "trackers", recipe.run, stage=ROUNDS)
    tracking.begin()
    return tracking


def draw_measures(tracking: Tracking | None, result: Result, numbers: Set[int]) -> None:
    """Draw what was measured in these rounds; round 0 is what the run began with."""
    if tracking is None:
        return
    points = {number: in_round(result, number) for number in sorted(numbers)}
    last = max(numbers)
    points[last] |= {f"{model}/final_loss": loss for model, loss in result.losses.items()}
    draw(tracking, {number: _finite(values) for number, values in points.items()})


def numbers(result: Result) -> set[int]:
    """The rounds that something was measured in; 1 of a flow that has none."""
    found = {one.round for measure in result.measures.values() for one in measure.rounds}
    return found or ({1} if result.measures else set())


def in_round(result: Result, number: int) -> dict[str, float]:
    """The numbers of a round by group and name; shares from 0 to 1, KL in nats per answer."""
    values: dict[str, float] = {}
    last = max(numbers(result))
    for name, measure in result.measures.items():
        whole = RoundValue(
            round=last, **measure.model_dump(include={"value", "ci95", "kept", "parts"})
        )
        for one in measure.rounds or [whole]:
            if one.round != number:
                continue
            place = f"{measure.group}/{name}" if measure.group else name
            values[place] = one.value
            if one.ci95:
                values[f"{place}_low"], values[f"{place}_high"] = one.ci95
            values |= {f"{name}/{part}": value.value for part, value in one.parts.items()}
            if name == result.headline:
                values[f"{measure.group or name}/adopted"] = float(one.kept)
    return values


def _whole(measure: Measure, number: int) -> RoundValue:
    """What a measure without rounds is drawn as."""
    known = measure.model_dump(include={"value", "ci95", "kept", "parts"})
    return RoundValue(round=number, **known)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
