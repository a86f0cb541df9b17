"""Fresh head: a student of the user's that comes without a head is given one."""

from typing import Any

from tasks.stage import Context, Model, stage


@stage("student", version="1", model=True)
def fresh_head(ctx: Context, *, model: Model, seed: int) -> dict[str, Any]:
    """Out: a reward model, the given one below a new head that has learnt nothing."""
    from models.training.fresh_head import add_head

    return add_head(ctx.out, model=ctx.path(model), runtime=ctx.runtime, seed=seed)
