"""Fresh head: a student of the user's that comes without a head is given one."""

from pathlib import Path
from typing import Any

from tasks.stage import SCORING, Context, Model, stage


@stage("student", version="1", libraries=SCORING)
def fresh_head(out: Path, context: Context, *, model: Model, seed: int) -> dict[str, Any]:
    """Out: a reward model, the given one below a new head that has learnt nothing."""
    from models.training.fresh_head import add_head

    return add_head(out, model=context.path(model), runtime=context.runtime, seed=seed)
