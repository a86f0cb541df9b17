"""Teacher hacking: a policy learns from a teacher, and is measured against what the teacher copies.

The set-up of "On Teacher Hacking in Language Model Distillation" (arXiv 2502.02671). An oracle,
whose distribution is the truth, answers prompts; teacher and policy learn these answers. Then the
policy learns, round by round over the same prompts, what the teacher says at every position of
answers, whose source is the recipe's `answers`. After each round its distance to the oracle
(golden) and to the teacher (proxy) is computed on answers of these to held-out prompts.

A round is an epoch of the paper, so that its answers and targets are artifacts: offline they are
those of the first round, and found. The optimiser begins each round anew.
"""

from data.store.artifacts import Artifact
from flows.fingerprint import numerics
from flows.hacking.recipe import HackingRecipe
from flows.hacking.start import gather, measured, taught
from flows.hacking.state import Answered, Outcome, Parts, State
from flows.hacking.told import told
from flows.loop.engine import settle_engine
from flows.result import Made, Result
from tasks.distill_policy import distill_policy
from tasks.generate import answers_to, generate
from tasks.prompts import decontaminate
from tasks.running import machine
from tasks.running.subflow import subflow
from tasks.select import select
from tasks.stage import Model, Run
from tasks.targets import targets

FIRST = 1  # the round whose answers are the offline set


def answered(
    run: Run, recipe: HackingRecipe, parts: Parts, state: State, number: int
) -> tuple[list[Answered], list[Artifact]]:
    """The answers that a round learns on, and the sampled COMPLETIONS that they are of."""

    def said(model: Model, asked: Artifact, of_round: int, role: str = "") -> Artifact:
        return generate.as_(role)(
            policy=model,
            prompts=asked,
            k=recipe.generate.k,
            decoding=recipe.generate.decoding,
            engine=run.engine,
            stream=f"round-{of_round}",
            seed=recipe.seed,
        )

    teacher, asked = parts.teacher, parts.asked
    if recipe.answers == "online_student":
        sampled = said(state.policy, asked, number)
    else:
        sampled = said(teacher, asked, number if recipe.answers == "online_teacher" else FIRST)
    if recipe.answers != "mixed" or number == FIRST:  # whose answers are new, all of them
        return [Answered(asked, sampled)], [sampled]
    fresh, rest = shared(recipe, asked, number)
    new = said(teacher, fresh, number, "fresh")
    kept = answers_to.as_("fixed", title="fixed answers")(prompts=rest, completions=sampled)
    return [Answered(fresh, new, "fresh"), Answered(rest, kept, "fixed")], [sampled, new]


def shared(recipe: HackingRecipe, asked: Artifact, number: int) -> tuple[Artifact, Artifact]:
    """The prompts that are answered anew in a round, others in each until all have been; the rest.

    At least one prompt, and not all of them.
    """
    there = asked.rows or 0
    size = min(max(1, round(recipe.online_share * there)), there - 1)
    turn = 1 + (number - FIRST - 1) % (there // size)
    fresh = select.as_("fresh", title="fresh prompts")(
        pool=asked, size=size, round_number=turn, seed=recipe.seed
    )
    rest = decontaminate.as_("fixed", title="fixed prompts")(
        pool=asked, earlier=[], held_out=[fresh], rule="none"
    )
    return fresh, rest


@subflow("hacking", run_name="{name} / round {number}")
def go_over(
    name: str, number: int, *, run: Run, recipe: HackingRecipe, parts: Parts, state: State
) -> Outcome:
    """Answers, what the teacher says of them, a training on that; then both distances."""
    answers, sampled = answered(run, recipe, parts, state, number)
    engine = machine.engine_identity("transformers", numerics(recipe), recipe.runtime)
    read = [
        targets.as_(one.role)(
            teacher=parts.teacher,
            prompts=one.prompts,
            completions=one.completions,
            config=recipe.targets,
            engine=engine,
        )
        for one in answers
    ]
    policy = distill_policy(
        policy=state.policy,
        prompts=parts.asked,
        targets=read,
        config=recipe.policy,
        temperature=recipe.targets.temperature,
        seed=(recipe.seed + number) % 2**32,  # another order in every round
    )
    apart = measured(parts, policy) if recipe.evaluated(number) else None
    return Outcome(number, parts.asked, tuple(sampled), tuple(read), policy, apart)


def hacking(run: Run, recipe: HackingRecipe) -> Made:
    """Rounds over the same prompts, each from the policy that the one before left."""
    given = gather(run, recipe)
    settle_engine(run, recipe, given)
    parts = taught(run, recipe, given)
    start, done = measured(parts, parts.policy), list[Outcome]()

    def result() -> Result:
        return told(recipe, given.pool, parts, start, done)

    run.so_far(result)
    state = State(parts.policy)
    for number in range(1, recipe.rounds + 1):
        run.progress.round(number, recipe.rounds)
        run.round = number
        outcome = go_over(recipe.run, number, run=run, recipe=recipe, parts=parts, state=state)
        done.append(outcome)
        state = State(outcome.policy, number)
        run.so_far(lambda: said(run, result()))
    return lambda: result().with_models(
        {"policy": state.policy}, {"policy": done[-1].policy.meta["final_loss"]}
    )


def said(run: Run, result: Result) -> Result:
    """The same; the last round in a line on the terminal."""
    golden, proxy = (result.measures[name].rounds for name in ("golden_kl", "proxy_kl"))
    loss = result.measures["learned_kl"].rounds[-1]
    line = f"loss {loss.value:.3f} nats a token"
    if golden[-1].round == loss.round:
        line = (
            f"golden {golden[0].value:.3f} -> {golden[-1].value:.3f}, proxy {proxy[0].value:.3f} "
            f"-> {proxy[-1].value:.3f} nats an answer, {line}"
        )
    run.progress.result(line)
    return result
