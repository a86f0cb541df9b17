"""What a round measured, in the trackers that a recipe names."""

import math
from collections.abc import Mapping
from pathlib import Path

from data.recipes.recipe import RunRecipe
from data.summary import Round, Summary
from models.training.trackers import ROUNDS, Tracking, draw


def tracking_of(recipe: RunRecipe, folder: Path) -> Tracking | None:
    """The trackers of an invocation of a run, whose summary is kept in `folder`."""
    names = tuple(dict.fromkeys(recipe.runtime.trackers))
    if not names:
        return None
    tracking = Tracking(names, folder / "trackers", recipe.run, stage=ROUNDS)
    tracking.begin()
    return tracking


def draw_round(
    tracking: Tracking | None, summary: Summary, entry: Round, losses: Mapping[str, float]
) -> None:
    """Draw a finished round, and the base policy as round 0 where it was measured.

    Args:
        losses: The last of each training's loss history, by "policy" and "student".
    """
    if tracking is None:
        return
    of_base = {f"policy/{name}": value for name, value in summary.base.items()}
    trained = {f"{model}/final_loss": loss for model, loss in losses.items()}
    points = {entry.round: _finite(measures(entry) | trained)}
    if of_base:
        points[0] = _finite(of_base)
    draw(tracking, points)


def measures(entry: Round) -> dict[str, float | None]:
    """The numbers of a round by name; shares from 0 to 1, KL in nats per answer."""
    counts, student = entry.ledger, entry.student
    values: dict[str, float | None] = {
        "pairs/mined": counts.mined,
        "pairs/labelled": counts.labelled,
        "pairs/trained": counts.trained,
        "pairs/reused": counts.reused,
        "pairs/swap_rate": entry.swap_rate,
        "pairs/label_precision": entry.label_precision,
        "student/agreement_before": student.agreement_before,
        "student/agreement": student.agreement_after,
        "cost/teacher_calls": entry.teacher_calls,
        "cost/tokens": entry.tokens,
        "policy/adopted": float(entry.adopted),
    }
    if entry.policy:
        low, high = entry.policy.ci95
        values |= {
            "policy/win_rate": entry.policy.win_rate,
            "policy/win_rate_low": low,
            "policy/win_rate_high": high,
        }
        values |= {
            f"win_rate/{name}": part.win_rate for name, part in entry.policy.by_dataset.items()
        }
    if entry.drift:
        values |= {f"policy/{name}": value for name, value in entry.drift}
    if entry.gate:
        values["policy/gate_win_rate"] = entry.gate.win_rate
    return values


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }
