"""One round of TS-Align, as a sub-flow: every line is a stage, every value an artifact."""

from dataclasses import dataclass

from prefect import flow

from data.artifacts import Artifact
from data.recipe import Recipe
from tasks.distill import distill
from tasks.evaluate import drift, evaluate, precision
from tasks.gate import agreement, gate
from tasks.generate import generate
from tasks.mine import mine
from tasks.optimize import optimize, reference
from tasks.relabel import relabel
from tasks.score import score
from tasks.select import select
from tasks.stage import Model, Run


@dataclass(frozen=True)
class Parts:
    """What a run starts from: the recipe's models and prompts, brought or bootstrapped."""

    policy: Model
    student: Model
    teacher: Model
    pool: Artifact
    dev: Artifact
    test: Artifact
    replay: Artifact | None  # preferences from before the first round


@dataclass(frozen=True)
class State:
    """What one round hands to the next."""

    policy: Model
    student: Model
    preferences: tuple[Artifact, ...] = ()
    too_long: int = 0  # of these, pairs that do not fit policy.max_length


@dataclass(frozen=True)
class Answers:
    """A policy's completions of one set of prompts, with the teacher's rewards of them."""

    completions: Artifact
    rewards: Artifact


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a finished round."""

    number: int
    asked: Artifact
    completions: Artifact
    mined: Artifact
    preferences: Artifact
    student: Artifact
    policy: Artifact
    agreement_before: Artifact
    agreement_after: Artifact
    gate: Artifact
    evaluation: Artifact
    drift: Artifact
    base_completions: Artifact
    base_rewards: Artifact
    student_rewards: Artifact
    teacher_rewards: Artifact
    precision: Artifact | None
    student_adopted: bool
    too_long: int


def answer(run: Run, recipe: Recipe, parts: Parts, policy: Model, held_out: str) -> Answers:
    """The policy's answers to the "dev" or "test" prompts: decoding as in the evaluation."""
    prompts = parts.dev if held_out == "dev" else parts.test
    completions = generate(
        run,
        f"answer {held_out} prompts",
        policy=policy,
        prompts=prompts,
        k=recipe.evaluate.dev_samples if held_out == "dev" else 1,
        decoding=recipe.evaluate_decoding,
        engine=run.engine,
        stream=held_out,
        seed=recipe.seed,
    )
    rewards = score(
        run,
        f"teacher scores {held_out}",
        model=parts.teacher,
        prompts=prompts,
        completions=completions,
        max_length=recipe.max_length,
    )
    return Answers(completions, rewards)


def student_agreement(
    run: Run, recipe: Recipe, parts: Parts, student: Model, answers: Answers, when: str
) -> Artifact:
    """How often a student orders pairs of dev completions as the teacher does."""
    scores = score(
        run,
        f"student scores dev ({when})",
        model=student,
        prompts=parts.dev,
        completions=answers.completions,
        max_length=recipe.max_length,
    )
    return agreement(
        run,
        f"agreement ({when})",
        completions=answers.completions,
        student=scores,
        judge=answers.rewards,
        min_margin=recipe.teacher.min_margin,
    )


def label(
    run: Run, recipe: Recipe, parts: Parts, state: State, number: int
) -> tuple[Artifact, Artifact, Artifact, Artifact]:
    """Prompts of the round, completions, the student's pairs, and the teacher's preferences."""
    asked = select(
        run,
        pool=parts.pool,
        size=recipe.prompts.per_round,
        round_number=number,
        seed=recipe.seed,
    )
    completions = generate(
        run,
        policy=state.policy,
        prompts=asked,
        k=recipe.generate.k,
        decoding=recipe.generate.decoding,
        engine=run.engine,
        stream=f"round-{number}",
        seed=recipe.seed,
    )
    scores = score(
        run,
        model=state.student,
        prompts=asked,
        completions=completions,
        max_length=recipe.max_length,
    )
    mined = mine(run, completions=completions, scores=scores, config=recipe.mine, seed=recipe.seed)
    preferences = relabel(
        run,
        mined=mined,
        prompts=asked,
        teacher=parts.teacher,
        config=recipe.teacher,
        round_number=number,
        max_length=recipe.max_length,
    )
    return asked, completions, mined, preferences


def tune(
    run: Run, recipe: Recipe, parts: Parts, state: State, preferences: Artifact
) -> tuple[Artifact, Artifact]:
    """The student distilled from, and the policy optimized on, the round's preferences."""
    earlier = ([parts.replay] if parts.replay else []) + list(state.preferences)
    student = distill(
        run,
        student=state.student,
        preferences=preferences,
        replay=earlier,
        config=recipe.student,
        seed=recipe.seed,
    )
    pairs = [*state.preferences, preferences] if recipe.policy.replay == "all" else [preferences]
    logps = [
        reference(
            run,
            "reference" if table is preferences else f"reference (pairs of round {number})",
            policy=parts.policy if recipe.policy.reference == "initial" else state.policy,
            preferences=table,
        )
        for number, table in enumerate(pairs, start=1)
    ]
    policy = optimize(
        run,
        policy=state.policy,
        preferences=pairs,
        reference=logps,
        config=recipe.policy,
        seed=recipe.seed,
    )
    return student, policy


@flow(
    name="round",
    flow_run_name="{name} / round {number}",
    persist_result=False,
    validate_parameters=False,
)
def align_round(
    run: Run, name: str, recipe: Recipe, parts: Parts, state: State, number: int
) -> tuple[State, Outcome]:
    """Label with student and teacher, tune both models, adopt the policy if the teacher agrees."""
    base = answer(run, recipe, parts, parts.policy, "dev")
    before = student_agreement(run, recipe, parts, state.student, base, "before")
    asked, completions, mined, preferences = label(run, recipe, parts, state, number)
    student, policy = tune(run, recipe, parts, state, preferences)
    after = student_agreement(run, recipe, parts, student, base, "after")
    better_student = after.meta["agreement"] >= before.meta["agreement"]
    # Trained with replay, the policy saw earlier pairs too: those were counted in their round.
    too_long = policy.meta["too_long"]
    if recipe.policy.replay == "all":
        too_long -= state.too_long

    previous = answer(run, recipe, parts, state.policy, "dev")
    candidate = answer(run, recipe, parts, policy, "dev")
    verdict = gate(run, before=previous.rewards, after=candidate.rewards, config=recipe.gate)

    base_test = answer(run, recipe, parts, parts.policy, "test")
    test = answer(run, recipe, parts, policy, "test")
    outcome = Outcome(
        number=number,
        asked=asked,
        completions=completions,
        mined=mined,
        preferences=preferences,
        student=student,
        policy=policy,
        agreement_before=before,
        agreement_after=after,
        gate=verdict,
        evaluation=evaluate(
            run,
            prompts=parts.test,
            base=base_test.completions,
            policy=test.completions,
            base_rewards=base_test.rewards,
            policy_rewards=test.rewards,
            judge=recipe.evaluate.judge,
        ),
        drift=drift(
            run,
            prompts=parts.test,
            completions=test.completions,
            policy=policy,
            base=parts.policy,
        ),
        student_rewards=score(
            run,
            "student scores test",
            model=student,
            prompts=parts.test,
            completions=test.completions,
            max_length=recipe.max_length,
        ),
        teacher_rewards=test.rewards,
        base_completions=base_test.completions,
        base_rewards=base_test.rewards,
        precision=precision(run, preferences=preferences)
        if recipe.evaluate.judge == "oracle"
        else None,
        student_adopted=better_student,
        too_long=too_long,
    )
    state = State(
        policy=policy if verdict.meta["adopted"] else state.policy,
        student=student if better_student else state.student,
        preferences=(*state.preferences, preferences),
        too_long=state.too_long + too_long,
    )
    return state, outcome
