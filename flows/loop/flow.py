"""The flow of the loop: every round starts from the models the one before left."""

from data.errors import InputError
from flows.loop.engine import settle_engine
from flows.loop.inputs import gather
from flows.loop.recipe import AlignRecipe
from flows.loop.round import align_round
from flows.loop.state import State, Stopped
from flows.summarize import Book
from tasks.stage import Model, Run


def rounds(run: Run, recipe: AlignRecipe, book: Book) -> dict[str, Model]:
    """The loop: every round starts from the models the one before left."""
    parts = gather(run, recipe)
    settle_engine(run, recipe, parts)
    book.prepared()
    state = State(policy=parts.policy, student=parts.student, average=parts.policy)
    for number in range(1, recipe.rounds + 1):
        run.progress.round(number, recipe.rounds)
        run.round = number
        state, outcome = align_round(
            recipe.run, number, run=run, recipe=recipe, parts=parts, state=state
        )
        if isinstance(outcome, Stopped):
            book.round_stopped(outcome)
            raise InputError(outcome.reason)
        book.round_done(recipe, outcome)
    return {"policy": state.policy} | ({"student": state.student} if state.student else {})
