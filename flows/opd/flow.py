"""On-policy distillation: the policy answers, the teacher says of every position what it would have
said, the policy learns that; in the next round it answers anew.

With `answers: teacher`, or a file of answers, it is knowledge distillation, by the same stages.
On-policy: GKD (Agarwal et al. 2024, arXiv 2306.13649), with lambda = 1; fresh answers come once a
round, not once a step, so that a round's answers and targets are artifacts.
"""

from data.errors import InputError
from data.recipes.distillation import TargetsConfig
from data.recipes.judges import TEACHER
from data.recipes.recipe import DecodingConfig
from data.store.artifacts import Artifact
from flows.evaluations import evaluations, judges_of
from flows.following import followed_by
from flows.loop.engine import settle_engine
from flows.loop.inputs import models_of, of_world, own_prompts, round_prompts, templated
from flows.loop.round import drift_of
from flows.loop.state import Answers, Parts
from flows.opd.recipe import OpdRecipe
from flows.opd.state import Judged, Outcome, State
from flows.opd.teachers import Share, Teachers, by_share, read_by, spoken
from flows.opd.told import told
from flows.policy_recipe import TaughtRecipe
from flows.result import Made, Result
from models.engine_choice import choose
from tasks.distill_policy import distill_policy
from tasks.divergence import divergence
from tasks.generate import generate
from tasks.recorded_cells import read_cell
from tasks.running.subflow import subflow
from tasks.stage import Model, Run
from tasks.targets import likelihood


def gather(run: Run, recipe: OpdRecipe) -> tuple[Parts, Teachers]:
    """Models and prompts of the recipe, ready for the first round; and the teachers."""
    choose(recipe.teacher.engine, recipe.runtime, lambda: 0, "teacher.engine")  # it is installed
    prompts = own_prompts(run, recipe.prompts, recipe.seed)
    found, world = models_of(run, recipe)
    pool, dev, test = prompts or of_world(world)
    teacher = found["teacher.model"]
    own = {one.dataset: found[one.called] for one in recipe.teacher.by_dataset}
    teachers = Teachers(teacher, own)
    named = {"teacher": teacher} | {f"teacher of {name}": one for name, one in own.items()}
    parts = Parts(
        policy=templated(run, recipe.policy.template, found["policy.model"]),
        student=None,
        teacher=teacher,
        judges=judges_of(run, recipe, teacher, found),
        pool=pool,
        dev=dev,
        test=test,
        replay=None,
        samplers=named if teachers.here else {},  # those behind a server answer no prompt
    )
    return parts, teachers


def tested(
    run: Run,
    recipe: TaughtRecipe,
    parts: Parts,
    teachers: Teachers,
    policy: Model,
    number: int = 0,
    whose: str = "",
) -> Answers:
    """The policy's answers to the test prompts; where the teacher judges, with how likely it finds
    each, a mean over its tokens.

    Args:
        number: Of the round that has left the policy; 0: it is the base.
        whose: In place of the round, for titles.
    """
    whose = whose or (f"round {number}" if number else "base")
    completions = generate.as_("test", title=f"{whose} answers test prompts", measures=True)(
        policy=policy,
        prompts=parts.test,
        k=1,
        decoding=recipe.answering,
        engine=run.engine,
        stream="test",
        seed=recipe.seed,
    )
    if TEACHER not in recipe.evaluate.judges:
        return Answers(completions, None)
    shares = teachers.shares(parts.test, "test")
    answers = by_share(shares, completions, "test")
    read = read_by(recipe, shares, answers, TargetsConfig(k=1), "test", whose)
    title = f"teacher scores {whose}'s test answers"
    return Answers(completions, likelihood.as_("test", title=title, measures=True)(targets=read))


def judge(
    run: Run, recipe: TaughtRecipe, parts: Parts, teachers: Teachers, policy: Artifact, number: int
) -> Judged:
    """Win rate and drift on the test prompts, distance to the teacher on the dev prompts."""
    base = tested(run, recipe, parts, teachers, parts.policy)
    test = tested(run, recipe, parts, teachers, policy, number)
    before, after = distances(run, recipe, parts, teachers, policy)
    return Judged(
        evaluations=evaluations(recipe, parts, base, test, number),
        drift=drift_of(parts, policy, test),
        base_drift=drift_of(parts, parts.policy, base, "base"),
        base=base,
        policy=test,
        apart=after,
        base_apart=before,
        followed=followed_by(
            run, recipe, recipe.evaluate.judges, parts.test, base.completions, test.completions
        ),
    )


def distances(
    run: Run, recipe: TaughtRecipe, parts: Parts, teachers: Teachers, policy: Model
) -> tuple[Artifact | None, Artifact | None]:
    """How far base and policy are from the teachers, on their answers to the dev prompts; None
    where one of them is behind a server, which tells neither answers nor whole distributions."""
    if not teachers.here:
        return None, None
    shares, temperature = teachers.shares(parts.dev, "dev"), recipe.targets.temperature
    decoding = DecodingConfig(temperature=temperature, max_tokens=recipe.generate.max_tokens)
    said = spoken(run, recipe, shares, decoding, recipe.evaluate.dev_samples, "dev", "dev")
    before, after = (
        divergence.as_(role, title=f"distance to the teacher {role}".strip(), measures=True)(
            teachers=[one.teacher for one in shares],
            policy=one,
            prompts=[one.prompts for one in shares],
            completions=said,
            temperature=temperature,
        )
        for role, one in (("base", parts.policy), ("", policy))
    )
    return before, after


def answered(
    run: Run, recipe: OpdRecipe, state: State, asked: Artifact, shares: list[Share], number: int
) -> list[Artifact]:
    """The answers of a round, sampled or recorded. Raises InputError where there are none."""
    stream = f"round-{number}"
    if recipe.recorded:
        source = run.outside["answers"]
        found = read_cell.as_("", title="read answers")(
            prompts=asked, source=source, name="recorded"
        )
        if not found.rows:
            raise InputError(
                f"round {number}: answers: '{recipe.answers}' answers none of the round's prompts; "
                "leave out of prompts.path what it does not answer"
            )
        return [found]
    decoding, k = recipe.generate.decoding, recipe.generate.k
    if recipe.answers == TEACHER:
        return spoken(run, recipe, shares, decoding, k, stream)
    return [
        generate(
            policy=state.policy,
            prompts=asked,
            k=k,
            decoding=decoding,
            engine=run.engine,
            stream=stream,
            seed=recipe.seed,
        )
    ]


@subflow("opd", run_name="{name} / round {number}")
def learn_from_teacher(
    name: str,
    number: int,
    *,
    run: Run,
    recipe: OpdRecipe,
    parts: Parts,
    teachers: Teachers,
    state: State,
) -> Outcome:
    """Answer, have the teacher read, learn."""
    asked = round_prompts(parts.pool, recipe.prompts.per_round, number, recipe.seed)
    shares = teachers.shares(asked, "")
    completions = answered(run, recipe, state, asked, shares, number)
    own = completions if recipe.answers == TEACHER else by_share(shares, completions[0])
    read = read_by(recipe, shares, own, recipe.targets)
    policy = distill_policy(
        policy=state.policy,
        prompts=asked,
        targets=read,
        config=recipe.policy,
        temperature=recipe.targets.temperature,
        seed=recipe.seed,
    )
    judged = None
    if recipe.evaluated(number):
        judged = judge(run, recipe, parts, teachers, policy, number)
    made = tuple(completions), tuple(read)
    return Outcome(number, asked, *made, policy, judged, tuple(run.records))


def opd(run: Run, recipe: OpdRecipe) -> Made:
    """Rounds, each from the policy that the one before left."""
    parts, teachers = gather(run, recipe)
    settle_engine(run, recipe, parts)
    store, done = run.context.store, list[Outcome]()
    run.so_far(lambda: told(store, recipe, parts.pool, done))
    state = State(parts.policy)
    for number in range(1, recipe.rounds + 1):
        run.progress.round(number, recipe.rounds)
        run.round = number
        outcome = learn_from_teacher(
            recipe.run,
            number,
            run=run,
            recipe=recipe,
            parts=parts,
            teachers=teachers,
            state=state,
        )
        done.append(outcome)
        state = State(outcome.policy, number)
        run.so_far(lambda: said(run, told(store, recipe, parts.pool, done)))
    return lambda: told(store, recipe, parts.pool, done).with_models(
        {"policy": state.policy}, {"policy": done[-1].policy.meta["final_loss"]}
    )


def said(run: Run, result: Result) -> Result:
    """The same; the last round in a line on the terminal."""
    measures = result.measures
    rate, learned = measures.get("win_rate"), measures["learned_tokens"].rounds[-1]
    line = f"{learned.value:,.0f} tokens learned"
    if rate and rate.rounds[-1].round == learned.round:
        last = rate.rounds[-1]
        around = f" [{last.ci95[0]:.1%}, {last.ci95[1]:.1%}]" if last.ci95 else ""
        line = f"win rate over the base {last.value:.1%}{around}, {line}"
        if "kl_to_teacher" in measures:
            kl = measures["kl_to_teacher"].rounds
            line += f", KL to the teacher {kl[0].value:.3f} -> {kl[-1].value:.3f} nats a token"
    run.progress.result(line)
    return result
