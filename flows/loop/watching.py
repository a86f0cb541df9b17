"""The teacher-hacking monitor in the loop: what is measured, and what becomes of an alarm."""

from collections.abc import Sequence
from dataclasses import replace

from data.monitor import Watch, best_round, watched
from data.recipes.config import WORLD
from data.store.artifacts import Artifact
from data.summary import Round
from flows.loop.recipe import AlignRecipe
from flows.loop.state import Judged, Parts, State
from tasks.score import score
from tasks.stage import Model
from tasks.watch import watch


def watch_round(
    recipe: AlignRecipe,
    parts: Parts,
    state: State,
    policy: Artifact,
    judged: Judged | None,
    number: int,
) -> Watch | None:
    """What the proxies of a round say; None where nobody watches. Never asks the oracle.

    Args:
        policy: That the round has trained.
        judged: With base's and policy's answers to the dev prompts; None between evaluations.
    """
    if not recipe.monitor.enabled:
        return None
    measures = recipe.stop_when == "never"  # else the run depends on it
    dev = judged.dev if judged else ()
    student = first_student(recipe, parts)
    measured = watch.as_("", title="watch", measures=measures)(
        policy=policy,
        beta=recipe.policy.beta,
        prompts=parts.dev,
        completions=[one.completions for one in dev],
        teacher=[one.rewards for one in dev if one.rewards],
        student=[
            score.as_(f"watch {whose}", title=f"first student scores {whose}'s dev answers",
                      measures=measures)(
                model=student,
                prompts=parts.dev,
                completions=one.completions,
                max_length=recipe.max_length,
            )
            for whose, one in zip(("base", "policy"), dev, strict=False)
        ]
        if student
        else [],
    )  # fmt: skip
    return watched(
        number,
        measured.meta,
        state.watched,
        recipe.monitor,
        from_base=recipe.policy.reference == "initial",
    )


def first_student(recipe: AlignRecipe, parts: Parts) -> Model | None:
    """The student the run begins with: a second opinion that no round has taught the teacher's.

    None where there is none, and where it has a new head that has learnt nothing.
    """
    headed_here = isinstance(parts.student, Artifact) and recipe.student.model != WORLD
    return None if headed_here and parts.replay is None else parts.student


def returned(state: State, done: Sequence[Round]) -> State:
    """After an alarm: the state with the best policy before it; later rounds are not adopted."""
    judged = {entry.round for entry in done if entry.policy}
    best = best_round([one for one in state.watched if one.round in judged])
    numbers = [0, *(one.round for one in state.watched)]
    policies = [state.policy, *state.older][::-1]
    for entry in done:
        entry.adopted = entry.adopted and entry.round <= best
    if done and done[-1].watch:  # of a plan none is
        done[-1].watch.returned_to = best
    return replace(state, policy=policies[numbers.index(best)], adopted=best)
