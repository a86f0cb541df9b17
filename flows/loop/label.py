"""The first half of a round: which prompts, who answers, who labels. A method is a choice here.

Every function in LABELLERS takes the round's prompts to its preferences; `labels` names one.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from data.errors import InputError
from data.recipes.methods import CellConfig
from data.recipes.recipe import NONE
from data.store.artifacts import Artifact
from flows.judging import Judge, corrected, relabelled, rewards_of
from flows.loop.inputs import round_prompts
from flows.loop.recipe import AlignRecipe
from flows.loop.state import Labelled, Parts, State, Stored
from tasks.bootstrap import people
from tasks.generate import generate
from tasks.matrix import keep_order, pair_up
from tasks.mine import mine
from tasks.recorded_cells import read_cell
from tasks.refresh import choose, renew_preferences, renew_scores
from tasks.relabel import best_pairs, take_order
from tasks.running.outside import changed
from tasks.running.own_code import load_code
from tasks.stage import Model, Run


def ask(recipe: AlignRecipe, parts: Parts, state: State, number: int) -> Artifact:
    """The prompts to answer: the next slice of the pool, or what is to be refreshed."""
    refresh, stored = recipe.prompts.refresh, state.stored
    if refresh and stored:
        return choose.as_("", title="select")(
            prompts=stored.prompts,
            scores=stored.scores,
            preferences=stored.preferences,
            initial=stored.initial,
            config=refresh,
            round_number=number,
            seed=recipe.seed,
        )
    return round_prompts(
        parts.pool, recipe.prompts.per_round, 1 if refresh else number, recipe.seed
    )


def sample(
    run: Run, recipe: AlignRecipe, policy: Model, asked: Artifact, number: int, cell: str = ""
) -> Artifact:
    """A policy's completions: K of the run's own policy, one of a cell of the matrix."""
    return generate.as_(cell)(
        policy=policy,
        prompts=asked,
        k=1 if cell else recipe.generate.k,
        decoding=recipe.generate.decoding,
        engine=run.engine,
        stream=f"round-{number}{'-' * bool(cell)}{cell}",
        seed=recipe.seed,
    )


def screened(
    run: Run, recipe: AlignRecipe, parts: Parts, state: State, number: int, scorer: Judge
) -> tuple[Artifact, Artifact, Artifact, Artifact]:
    """Prompts, the policy's completions, the scorer's rewards of all, and its pairs."""
    asked = ask(recipe, parts, state, number)
    completions = sample(run, recipe, state.policy, asked, number)
    scores = rewards_of(
        scorer,
        prompts=asked,
        completions=completions,
        max_length=recipe.max_length,
    )
    mined = mine(completions=completions, scores=scores, config=recipe.mine, seed=recipe.seed)
    return asked, completions, scores, mined


def by_student_and_teacher(
    run: Run, recipe: AlignRecipe, parts: Parts, state: State, number: int
) -> Labelled:
    """TS-Align: the student screens K completions, the teacher judges the pairs it picks."""
    assert state.student is not None
    asked, completions, scores, mined = screened(run, recipe, parts, state, number, state.student)
    preferences = relabelled(
        parts.teacher,
        mined=mined,
        prompts=asked,
        config=recipe.teacher,
        round_number=number,
        max_length=recipe.max_length,
    )
    return Labelled(asked, (completions,), mined, preferences, scores)


def by_one(run: Run, recipe: AlignRecipe, parts: Parts, state: State, number: int) -> Labelled:
    """The student alone, or the teacher alone on all K: the pairs keep the order of the scores."""
    teacher = recipe.labels == "teacher"
    scorer = parts.teacher if teacher else state.student
    assert scorer is not None
    asked, completions, scores, mined = screened(run, recipe, parts, state, number, scorer)
    preferences = take_order.as_("", title="relabel")(
        mined=mined,
        prompts=asked,
        config=recipe.teacher,
        round_number=number,
        teacher_calls=(completions.rows or 0) if teacher else 0,
    )
    return Labelled(asked, (completions,), mined, preferences, scores)


def standing(recipe: AlignRecipe, state: State) -> tuple[CellConfig, ...]:
    """The cells there are: an older version of the policy only once it has been replaced."""
    return tuple(
        cell for cell in recipe.cells if cell.model != "policy" or -cell.version <= len(state.older)
    )


def cell_answers(
    run: Run, recipe: AlignRecipe, parts: Parts, state: State, asked: Artifact, number: int
) -> list[Artifact]:
    """One completion of every standing cell to every prompt, sampled, recorded or written."""
    versions = (state.policy, *state.older)
    answers = []
    for cell in standing(recipe, state):
        if cell.path:
            source = run.outside[cell.called]
            answers.append(
                read_cell.as_(cell.name, title=f"answers of {cell.name}")(
                    prompts=asked, source=source, name=cell.name
                )
            )
        elif cell.human:
            assert recipe.world is not None
            size, seed = recipe.world.prompts, recipe.world.seed
            answers.append(
                people.as_(cell.name, title=f"answers of {cell.name}")(
                    prompts=asked,
                    cell=cell.name,
                    size=size,
                    seed=seed,
                )
            )
        else:
            model = parts.samplers.get(cell.name) or versions[-int(cell.version)]
            answers.append(sample(run, recipe, model, asked, number, cell.name))
    return answers


def by_matrix(run: Run, recipe: AlignRecipe, parts: Parts, state: State, number: int) -> Labelled:
    """TSO: the order of two answers is that of their cells, unless a judge corrects it."""
    assert recipe.matrix is not None
    asked = ask(recipe, parts, state, number)
    completions = cell_answers(run, recipe, parts, state, asked, number)
    mined = pair_up.as_("", title="mine")(
        prompts=asked,
        completions=completions,
        places=list(standing(recipe, state)),
        own=[cell.name for cell in standing(recipe, state) if cell.model == "policy"],
        config=recipe.matrix,
        drop_truncated=recipe.mine.drop_truncated,
        seed=recipe.seed,
    )
    config = recipe.matrix.correction
    if config.judge == NONE:
        preferences = keep_order.as_("", title="relabel")(
            mined=mined, prompts=asked, round_number=number
        )
    else:
        preferences = corrected(
            parts.judge or parts.teacher,
            mined=mined,
            prompts=asked,
            config=config,
            min_margin=recipe.teacher.min_margin,
            round_number=number,
            max_length=recipe.max_length,
        )
    return Labelled(asked, tuple(completions), mined, preferences)


Labeller = Callable[[Run, AlignRecipe, Parts, State, int], Labelled]
LABELLERS: dict[str, Labeller] = {
    "student+teacher": by_student_and_teacher,
    "student": by_one,
    "teacher": by_one,
    "matrix": by_matrix,
}


def for_the_policy(recipe: AlignRecipe, preferences: Artifact) -> Artifact:
    """Without the pairs that teach the student alone."""
    if recipe.policy.best_pairs == 1:
        return preferences
    return best_pairs.as_("", title="pairs for the policy")(
        preferences=preferences, share=recipe.policy.best_pairs
    )


def labeller(run: Run, recipe: AlignRecipe) -> Labeller:
    """The function that `labels` names.

    Raises:
        InputError: the file does not have it, or is not what the run began with any more.
    """
    if recipe.own_labels is None:
        return LABELLERS[recipe.labels]
    path, name = recipe.own_labels
    code = run.outside["labels"]
    if said := changed(code):
        raise InputError(said)
    found: Labeller | None = getattr(load_code(Path(code.path)), name, None)
    if not callable(found):
        raise InputError(f"labels: {path} has no function {name!r}; check both names")
    return found


def label(run: Run, recipe: AlignRecipe, parts: Parts, state: State, number: int) -> Labelled:
    """This round's preferences, and with them the stored ones where prompts are refreshed."""
    new = labeller(run, recipe)(run, recipe, parts, state, number)
    if recipe.policy.best_pairs < 1:
        return replace(new, best=for_the_policy(recipe, new.preferences))
    if recipe.prompts.refresh is None:
        return new
    assert new.scores is not None
    if state.stored is None:
        stored = Stored(new.asked, new.scores, new.preferences, new.scores)
    else:
        old, again = state.stored, new.asked
        stored = Stored(
            old.prompts,
            renew_scores.as_("", title="renew scores")(old=old.scores, new=new.scores, again=again),
            renew_preferences.as_("", title="renew pairs")(
                old=old.preferences, new=new.preferences, again=again
            ),
            old.initial,
        )
    return Labelled(new.asked, new.completions, new.mined, new.preferences, new.scores, stored)
