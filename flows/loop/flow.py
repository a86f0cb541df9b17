"""The flow of the loop: every round starts from the models the one before left."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from data.errors import InputError
from data.summary import Final, Round
from flows.derived import final_result
from flows.loop.engine import settle_engine
from flows.loop.inputs import gather
from flows.loop.recipe import AlignRecipe
from flows.loop.round import align_round, examined
from flows.loop.rules import hardly_moved
from flows.loop.state import Outcome, Parts, Pool, State, Stopped
from flows.loop.summary import base_summary, round_summary, sources, stopped_summary
from flows.loop.told import told
from flows.loop.watch_told import found
from flows.loop.watching import returned
from flows.result import Made, Result
from tasks.stage import Model, Run


def rounds(run: Run, recipe: AlignRecipe) -> Made:
    """The loop: every round starts from the models the one before left."""
    done: list[Round] = []
    base: dict[str, float] = {}
    parts = gather(run, recipe)
    settle_engine(run, recipe, parts)
    run.so_far(lambda: result_of(recipe, parts.pool, done, base))
    state = State(policy=parts.policy, student=parts.student, average=parts.policy)
    unjudged: dict[int, Outcome] = {}
    for number in range(1, recipe.rounds + 1):
        run.progress.round(number, recipe.rounds)
        run.round = number
        state, outcome = align_round(
            recipe.run, number, run=run, recipe=recipe, parts=parts, state=state
        )
        run.so_far(partial(after, run, recipe, parts.pool, outcome, done, base))
        if isinstance(outcome, Stopped):
            raise InputError(outcome.reason)
        if outcome.judged is None:
            unjudged[number] = outcome
        if outcome.ends:
            state = returned(state, done)
            run.progress.note(f"the monitor's alarm ends the run; round {number} is not adopted")
            break
    if state.adopted in unjudged:  # those after it were refused
        judge_late(run, recipe, parts, unjudged[state.adopted], done, base)
    models = {"policy": state.policy} | ({"student": state.student} if state.student else {})
    return lambda: result_of(
        recipe, parts.pool, done, base, models=models, final=final_result(done)
    )


def result_of(
    recipe: AlignRecipe,
    pool: Pool,
    done: Sequence[Round],
    base: Mapping[str, float],
    losses: Mapping[str, float] | None = None,
    models: Mapping[str, Model] | None = None,
    final: Final | None = None,
) -> Result:
    """What the rounds that are done say."""
    config = recipe.model_dump(mode="json", exclude_none=True)
    result = told(recipe.recipe, config, done, base, final, sources(pool))
    return result.with_models(models or {}, losses or {})


def after(
    run: Run,
    recipe: AlignRecipe,
    pool: Pool,
    outcome: Outcome | Stopped,
    done: list[Round],
    base: dict[str, float],
) -> Result:
    """The same with one round more, which is added to those that are done."""
    losses: dict[str, float] = {}
    if isinstance(outcome, Stopped):
        entry = stopped_summary(outcome)
    else:
        store = run.context.store
        entry = round_summary(store, recipe, outcome)
        if judged := outcome.judged:
            base |= base_summary(judged.base, judged.base_drift, judged.evaluations[0])
        trained = {"policy": outcome.tuned.policy, "student": outcome.tuned.student}
        losses = {name: model.meta["final_loss"] for name, model in trained.items() if model}
    entry.stages = run.take_records()
    done.append(entry)
    if not entry.stopped:
        say(run, entry)
    return result_of(recipe, pool, done, base, losses)


def judge_late(
    run: Run,
    recipe: AlignRecipe,
    parts: Parts,
    outcome: Outcome,
    done: list[Round],
    base: dict[str, float],
) -> None:
    """Judge the policy that the run ends with, whose round was between two evaluations."""
    run.round = outcome.number
    student = outcome.tuned.student
    judged = examined(run, recipe, parts, outcome.tuned.policy, student, outcome.number)
    entry = round_summary(run.context.store, recipe, replace(outcome, judged=judged))
    base |= base_summary(judged.base, judged.base_drift, judged.evaluations[0])
    place = next(i for i, one in enumerate(done) if one.round == entry.round)
    entry.stages = [*done[place].stages, *run.take_records()]
    done[place] = entry
    say(run, entry)


def say(run: Run, entry: Round) -> None:
    """The round in a line on the terminal, and what is odd about it."""
    note = (
        f"{entry.ledger.trained} pairs trained, {entry.swap_rate:.0%} swapped by the teacher, "
        f"{'adopted' if entry.adopted else 'not adopted'}"
    )
    if entry.policy:
        low, high = entry.policy.ci95
        rate = f"win rate over the base {entry.policy.win_rate:.1%} [{low:.1%}, {high:.1%}]"
        note = f"{rate}, {note}"
    run.progress.result(note)
    if still := hardly_moved(entry):
        run.progress.note(f"warning: {still}; raise policy.learning_rate")
    if alarm := found(entry):
        run.progress.note(f"warning: the monitor's alarm: {alarm}")
