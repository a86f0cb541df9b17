"""How base and policy follow instructions: the stage that is called in a round.

What it finds is told by `flows.instructions_told`, which loads no Prefect.
"""

from collections.abc import Sequence

from data.recipes.recipe import RunRecipe
from data.store.artifacts import Artifact
from flows.instructions_told import JUDGE
from flows.judging import columns_of_prompts
from tasks.follow import COLUMNS, follow
from tasks.stage import Run


def followed_by(
    run: Run,
    recipe: RunRecipe,
    judges: Sequence[str],
    prompts: Artifact,
    base: Artifact,
    policy: Artifact,
) -> Artifact | None:
    """FOLLOWED of the answers of both; None where instructions are no judge of the run."""
    if JUDGE not in judges:
        return None
    return follow.as_("", title="follow instructions", measures=True)(
        prompts=prompts,
        base=base,
        policy=policy,
        columns=columns_of_prompts(run, recipe, COLUMNS),
    )
