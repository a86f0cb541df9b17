"""Best-of-n distillation: the policy answers each prompt K times, a scorer picks the best answer,
and the policy is fine-tuned on the best answers.

It uses no pairs: what a method of preferences gains over it is what the worse answers tell.
"""

from dataclasses import replace

from data.errors import InputError
from data.store.artifacts import Artifact
from flows.best_of_n.recipe import BestOfNRecipe
from flows.best_of_n.state import Judged, Outcome, State
from flows.best_of_n.told import told
from flows.evaluations import evaluations, judges_of
from flows.following import followed_by
from flows.judging import gated, judge_of, rewards_of
from flows.loop.engine import settle_engine
from flows.loop.inputs import models_of, of_world, own_prompts, round_prompts, templated
from flows.loop.reward_figures import failures, names
from flows.loop.round import answer, drift_of
from flows.loop.state import Parts
from flows.result import Made, Result
from tasks.fine_tune import fine_tune
from tasks.generate import generate
from tasks.pick import pick
from tasks.running.subflow import subflow
from tasks.stage import Run


def gather(run: Run, recipe: BestOfNRecipe) -> Parts:
    """Models and prompts of the recipe, ready for the first round."""
    prompts = own_prompts(run, recipe.prompts, recipe.seed)
    found, world = models_of(run, recipe)
    pool, dev, test = prompts or of_world(world)
    teacher = judge_of(
        run, recipe, "teacher.model", recipe.teacher.model, recipe.teacher.asking, found
    )
    return Parts(
        policy=templated(run, recipe.policy.template, found["policy.model"]),
        student=found["student.model"] if recipe.scorer == "student" else None,
        teacher=teacher,
        judges=judges_of(run, recipe, teacher, found),
        pool=pool,
        dev=dev,
        test=test,
        replay=None,
    )


def judge(
    run: Run, recipe: BestOfNRecipe, parts: Parts, state: State, policy: Artifact, number: int
) -> Judged:
    """Gate on the dev prompts, win rate and drift on the test prompts."""
    previous = answer(run, recipe, parts, state.policy, "dev", state.adopted)
    candidate = answer(run, recipe, parts, policy, "dev", number)
    verdict = gated(parts.teacher, recipe.gate, parts.dev, previous.both, candidate.both)
    return replace(examined(run, recipe, parts, policy, number), gate=verdict)


def examined(
    run: Run, recipe: BestOfNRecipe, parts: Parts, policy: Artifact, number: int
) -> Judged:
    """Win rate and drift of a round's policy on the test prompts, without a gate."""
    base = answer(run, recipe, parts, parts.policy, "test")
    test = answer(run, recipe, parts, policy, "test", number)
    return Judged(
        gate=None,
        evaluations=evaluations(recipe, parts, base, test, number),
        drift=drift_of(parts, policy, test),
        base_drift=drift_of(parts, parts.policy, base, "base"),
        base=base,
        policy=test,
        followed=followed_by(
            run, recipe, recipe.evaluate.judges, parts.test, base.completions, test.completions
        ),
    )


@subflow("best-of-n", run_name="{name} / round {number}")
def learn_from_best(
    name: str, number: int, *, run: Run, recipe: BestOfNRecipe, parts: Parts, state: State
) -> Outcome:
    """Answer, pick, fine-tune; adopt the policy if the teacher prefers it."""
    asked = round_prompts(parts.pool, recipe.prompts.per_round, number, recipe.seed)
    completions = generate(
        policy=state.policy,
        prompts=asked,
        k=recipe.generate.k,
        decoding=recipe.generate.decoding,
        engine=run.engine,
        stream=f"round-{number}",
        seed=recipe.seed,
    )
    scores = rewards_of(
        parts.student or parts.teacher,
        prompts=asked,
        completions=completions,
        max_length=recipe.max_length,
    )
    picked = pick(prompts=asked, completions=completions, scores=scores, config=recipe.pick)
    for line in failures(scores.meta):
        run.progress.note(line)
    if not picked.rows:
        raise InputError(f"round {number}: {nothing_picked(recipe, picked, scores)}")
    policy = fine_tune(
        policy=state.policy, demonstrations=picked, config=recipe.policy, seed=recipe.seed
    )
    judged = None
    if recipe.evaluated(number):
        judged = judge(run, recipe, parts, state, policy, number)
    calls = tuple(run.records)  # what came before is in the summary already
    return Outcome(number, asked, completions, scores, picked, policy, judged, calls)


def nothing_picked(recipe: BestOfNRecipe, picked: Artifact, scores: Artifact) -> str:
    """Why no answer is left to learn from, and what to do about it."""
    counts = picked.meta
    lost = {
        "truncated": f"generate.max_tokens is {recipe.generate.max_tokens}: raise it, or set "
        "pick.drop_truncated=false",
        "unscored": "see why the reward functions fail"
        if names(scores.meta)
        else f"take a {recipe.scorer} that reads more, or lower generate.max_tokens",
        "duplicate": f"generate.temperature is {recipe.generate.temperature:g}: raise it, the "
        "policy gives the same answer again and again",
        "empty": "the policy ends its answers at once: take one that is tuned to chat",
    }
    cause = max(lost, key=lambda name: counts[name])
    remedy = lost[cause]
    if counts["tied"] > counts["no_candidates"]:
        remedy = (
            f"pick.min_margin is {recipe.pick.min_margin:g}: lower it"
            if recipe.pick.min_margin
            else f"the {recipe.scorer} gives all answers to a prompt the same reward: take another"
        )
    said = ", ".join(f"{counts[name]:,} {name}" for name in (*lost, "tied") if counts[name])
    return f"no answer could be picked; {said or 'there are fewer than two of any'} ({remedy})"


def best_of_n(run: Run, recipe: BestOfNRecipe) -> Made:
    """Rounds, each from the policy that the one before left."""
    parts = gather(run, recipe)
    settle_engine(run, recipe, parts)
    store, done = run.context.store, list[Outcome]()
    run.so_far(lambda: told(store, recipe, parts.pool, done))
    state = State(parts.policy)
    for number in range(1, recipe.rounds + 1):
        run.progress.round(number, recipe.rounds)
        run.round = number
        outcome = learn_from_best(
            recipe.run, number, run=run, recipe=recipe, parts=parts, state=state
        )
        done.append(outcome)
        if outcome.adopted:
            state = State(outcome.policy, number)
        run.so_far(lambda: said(run, told(store, recipe, parts.pool, done)))
    last = next((n for n, one in enumerate(done) if one.number == state.adopted), None)
    if last is not None and done[last].judged is None:  # those after it were refused
        run.round = state.adopted
        late = examined(run, recipe, parts, done[last].policy, state.adopted)
        done[last] = replace(done[last], judged=late)
    return lambda: told(store, recipe, parts.pool, done).with_models(
        {"policy": state.policy}, {"policy": done[-1].policy.meta["final_loss"]}
    )


def said(run: Run, result: Result) -> Result:
    """The same; the last round in a line on the terminal."""
    rate, learned = result.measures.get("win_rate"), result.measures["trained"].rounds[-1]
    line = f"{learned.value:,.0f} answers learned"
    if rate and rate.rounds[-1].round == learned.round:
        last = rate.rounds[-1]
        adopted = "adopted" if last.kept else "not adopted"
        around = f" [{last.ci95[0]:.1%}, {last.ci95[1]:.1%}]" if last.ci95 else ""
        line = f"win rate over the base {last.value:.1%}{around}, {line}, {adopted}"
    run.progress.result(line)
    return result
