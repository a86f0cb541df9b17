"""DCKD and ADPA: pairs align a large teacher, and a small student learns from it offline.

    DCKD   the chosen answers, and the teacher's distribution on both answers of every pair;
    ADPA   the chosen answers, and on the student's own answers what the aligned teacher prefers to
           its reference, in expectation over the student's next token;
    ADPA+  the one, then the other from what it has left.

Gao et al., "Advantage-Guided Distillation for Preference Alignment in Small Language Models" (ICLR
2025, arXiv 2502.17927). Teachers read answers once; weights are settings of the trainings alone.
"""

from data.recipes.advantage import dpo
from data.recipes.config import WORLD
from data.recipes.recipe import PolicyConfig
from data.store.artifacts import Artifact
from flows.adpa.recipe import AdpaRecipe
from flows.adpa.state import Outcome, Start, Training
from flows.adpa.told import told
from flows.evaluations import evaluations, judges_of
from flows.fingerprint import numerics
from flows.loop.engine import settle_engine
from flows.loop.inputs import models_of, of_world, own_prompts, templated
from flows.loop.state import Parts
from flows.opd.flow import judge, tested
from flows.opd.teachers import Teachers
from flows.result import Made, Result
from models.engine_choice import choose
from tasks.distill_pairs import adpa as learn_advantage
from tasks.distill_pairs import answers_of, draw_pairs, prompts_of
from tasks.distill_pairs import dckd as learn_distribution
from tasks.generate import generate
from tasks.optimize import optimize, reference
from tasks.prompts import import_preferences
from tasks.running import machine
from tasks.running.subflow import subflow
from tasks.stage import Model, Run
from tasks.targets import targets


def gather(run: Run, recipe: AdpaRecipe) -> Start:
    """Models, prompts and pairs of the recipe."""
    choose(recipe.teacher.engine, recipe.runtime, lambda: 0, "teacher.engine")  # it is installed
    prompts = own_prompts(run, recipe.prompts, recipe.seed)
    found, world = models_of(run, recipe)
    pool, dev, test = prompts or of_world(world)
    # Of the world a policy is the reference: the world's own teacher is a reward model.
    before = world.policy if world and recipe.teacher.model == WORLD else found["teacher.model"]
    aligned = found.get("teacher.aligned")
    parts = Parts(
        policy=templated(run, recipe.policy.template, found["policy.model"]),
        student=None,
        teacher=aligned or before,
        judges=judges_of(run, recipe, aligned or before, found),
        pool=pool,
        dev=dev,
        test=test,
        replay=None,
        samplers={"teacher": aligned or before},
    )
    if recipe.preferences == WORLD:
        assert world and world.preferences
        return Start(parts, before, aligned, world.preferences, ())
    read = import_preferences.as_("preferences", title="read preferences")
    return Start(parts, before, aligned, read(source=run.outside["preferences"]), (dev, test))


def by_dpo(policy: Model, pairs: Artifact, config: PolicyConfig, seed: int, role: str) -> Artifact:
    """The policy after DPO on the pairs, against itself."""
    logps = reference.as_(role)(policy=policy, preferences=pairs)
    return optimize.as_(role)(
        policy=policy, preferences=[pairs], reference=[logps], config=config, seed=seed
    )


def read_by(
    recipe: AdpaRecipe,
    teacher: Model,
    prompts: Artifact,
    completions: Artifact,
    role: str,
    at: Artifact | None = None,
) -> Artifact:
    """TARGETS of a teacher; with `at` at the tokens that the other has kept."""
    name = recipe.teacher.engine if at is None else "transformers"  # vLLM gives its own tokens
    engine = machine.engine_identity(name, numerics(recipe), recipe.runtime)
    return targets.as_(role)(
        teacher=teacher,
        prompts=prompts,
        completions=completions,
        config=recipe.targets,
        engine=engine,
        at=at,
    )


def by_distribution(
    recipe: AdpaRecipe, start: Start, pairs: Artifact, teacher: Model, alpha: float
) -> Training:
    """SFT, where alpha is 0, or DCKD."""
    read: dict[str, Artifact] = {}
    if alpha:
        asked = prompts_of(preferences=pairs)
        for side in ("chosen", "rejected") if recipe.dckd.answers == "both" else ("chosen",):
            answers = answers_of.as_(side)(preferences=pairs, side=side)
            read[side] = read_by(recipe, teacher, asked, answers, side)
    name = "DCKD" if read else "SFT"
    policy = learn_distribution.as_("", title=name)(
        policy=start.parts.policy,
        preferences=pairs,
        chosen=read.get("chosen"),
        rejected=read.get("rejected"),
        alpha=alpha,
        temperature=recipe.targets.temperature,
        config=recipe.policy,
        seed=recipe.seed,
    )
    return Training(name, policy, targets=tuple(read.values()))


def by_advantage(
    run: Run, recipe: AdpaRecipe, start: Start, pairs: Artifact, teacher: Model, student: Model
) -> Training:
    """ADPA from a student, on its own answers."""
    asked = prompts_of(preferences=pairs)
    own = generate(
        policy=student,
        prompts=asked,
        k=recipe.generate.k,
        decoding=recipe.generate.decoding,
        engine=run.engine,
        stream="pairs",
        seed=recipe.seed,
    )
    aligned = read_by(recipe, teacher, asked, own, "aligned")
    references: tuple[Artifact, ...] = ()
    if recipe.adpa.reference != "none":
        at = aligned if recipe.adpa.reference == "exact" else None
        references = (read_by(recipe, start.reference, asked, own, "reference", at),)
    policy = learn_advantage.as_("", title="ADPA")(
        policy=student,
        preferences=pairs,
        aligned=aligned,
        reference=references[0] if references else None,
        term=recipe.adpa,
        temperature=recipe.targets.temperature,
        config=recipe.policy,
        seed=recipe.seed,
    )
    return Training("ADPA", policy, (own,), (aligned,), references)


def learned(
    run: Run, recipe: AdpaRecipe, start: Start, pairs: Artifact, teacher: Model
) -> tuple[Training, ...]:
    """The steps of the method, each from what the one before has left."""
    policy = start.parts.policy
    if recipe.method == "dpo":
        config = dpo(recipe.policy, recipe.dpo.beta)
        return (Training("DPO", by_dpo(policy, pairs, config, recipe.seed, "student")),)
    if recipe.method == "adpa":
        return (by_advantage(run, recipe, start, pairs, teacher, policy),)
    alpha = 0.0 if recipe.method == "sft" else recipe.dckd.alpha
    first = by_distribution(recipe, start, pairs, teacher, alpha)
    if recipe.method != "adpa+":
        return (first,)
    return first, by_advantage(run, recipe, start, pairs, teacher, first.policy)


@subflow("adpa", run_name="{name} / {method}")
def distil(
    name: str,
    method: str,
    *,
    run: Run,
    recipe: AdpaRecipe,
    start: Start,
) -> Outcome:
    """Align the teacher, teach the student, judge both."""
    pairs = draw_pairs.as_("", title="pairs")(
        preferences=start.preferences,
        held_out=list(start.held_out),
        rule=recipe.prompts.decontaminate,
        size=recipe.prompts.per_round,
        seed=recipe.seed,
    )
    teacher = start.aligned or by_dpo(
        start.reference, pairs, recipe.teacher.dpo, recipe.seed, "teacher"
    )
    trainings = learned(run, recipe, start, pairs, teacher)
    parts, teachers = start.parts, Teachers(teacher, {})
    judged = judge(run, recipe, parts, teachers, trainings[-1].policy, number=1)
    spoken = tested(run, recipe, parts, teachers, teacher, whose="the teacher")
    of_teacher = evaluations(recipe, parts, judged.base, spoken, 1, "the teacher")
    return Outcome(pairs, trainings, judged, of_teacher, tuple(run.records))


def adpa(run: Run, recipe: AdpaRecipe) -> Made:
    """One round: everything is offline, and nothing is asked anew."""
    start = gather(run, recipe)
    settle_engine(run, recipe, start.parts)
    store, done = run.context.store, list[Outcome]()
    run.so_far(lambda: told(store, recipe, done))
    run.progress.round(1, 1)
    run.round = 1
    done.append(distil(recipe.run, recipe.method, run=run, recipe=recipe, start=start))
    run.so_far(lambda: said(run, told(store, recipe, done)))
    policy = done[0].policy
    return lambda: told(store, recipe, done).with_models(
        {"policy": policy}, {"policy": policy.meta["final_loss"]}
    )


def said(run: Run, result: Result) -> Result:
    """The same; the result in a line on the terminal."""
    rates = [result.measures.get(name) for name in ("win_rate", "teacher_win_rate")]
    if rates[0] and rates[1]:
        line = f"win rate over the base {rates[0].value:.1%}, the teacher's {rates[1].value:.1%}"
        run.progress.result(line)
    return result
