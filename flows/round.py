"""One round, as a sub-flow: every line is a stage, every value an artifact.

The first half, from prompts to preferences, is in `flows.label`.
"""

from prefect import flow

from data.artifacts import Artifact
from data.recipe import Recipe
from flows.label import label
from flows.state import Agreement, Answers, Judged, Labelled, Outcome, Parts, State, Tuned
from tasks.distill import distill
from tasks.evaluate import drift, evaluate, precision
from tasks.gate import agreement, gate
from tasks.generate import generate
from tasks.optimize import average, optimize, reference, sample_earlier
from tasks.score import score
from tasks.stage import Model, Run


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


def training_pairs(
    run: Run, recipe: Recipe, state: State, labelled: Labelled
) -> tuple[list[Artifact], int]:
    """The tables of pairs to train on, this round's last, and how many pairs are older ones."""
    new, replay = labelled.preferences, recipe.policy.replay
    if labelled.stored:
        pairs = labelled.stored.preferences
        return [pairs], pairs.meta["reused"] if pairs is not new else 0
    earlier = list(state.preferences)
    if replay == "none" or not earlier:
        return [new], 0
    if replay == "share":
        share = recipe.policy.replay_share
        earlier = [
            sample_earlier(run, "replay", earlier=earlier, new=new, share=share, seed=recipe.seed)
        ]
    return [*earlier, new], sum(table.rows or 0 for table in earlier)


def tune_policy(
    run: Run, recipe: Recipe, parts: Parts, state: State, labelled: Labelled
) -> tuple[Artifact, int]:
    """The policy optimized on the pairs, and how many of these are of earlier rounds."""
    pairs, reused = training_pairs(run, recipe, state, labelled)
    against = {"initial": parts.policy, "previous": state.policy, "average": state.average}
    earlier = "pairs of round {}" if recipe.policy.replay == "all" else "replay"
    logps = [
        reference(
            run,
            "reference" if table is pairs[-1] else f"reference ({earlier.format(number)})",
            policy=against[recipe.policy.reference],
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
    return policy, reused


def tune(run: Run, recipe: Recipe, parts: Parts, state: State, labelled: Labelled) -> Tuned:
    """The student distilled from, and the policy optimized on, the preferences."""
    student = None
    if state.student and recipe.student.update:
        student = distill(
            run,
            student=state.student,
            preferences=labelled.preferences,
            replay=([parts.replay] if parts.replay else []) + list(state.preferences),
            config=recipe.student,
            seed=recipe.seed,
        )
    policy, reused = tune_policy(run, recipe, parts, state, labelled)
    return Tuned(student, policy, reused)


def judge(run: Run, recipe: Recipe, parts: Parts, state: State, tuned: Tuned) -> Judged:
    """Gate on the dev prompts, win rate and drift on the test prompts."""
    policy = tuned.policy
    previous = answer(run, recipe, parts, state.policy, "dev")
    candidate = answer(run, recipe, parts, policy, "dev")
    verdict = gate(run, before=previous.rewards, after=candidate.rewards, config=recipe.gate)
    base = answer(run, recipe, parts, parts.policy, "test")
    test = answer(run, recipe, parts, policy, "test")
    student = tuned.student or state.student
    return Judged(
        gate=verdict,
        evaluation=evaluate(
            run,
            prompts=parts.test,
            base=base.completions,
            policy=test.completions,
            base_rewards=base.rewards,
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
        base=base,
        policy=test,
        student_rewards=score(
            run,
            "student scores test",
            model=student,
            prompts=parts.test,
            completions=test.completions,
            max_length=recipe.max_length,
        )
        if student
        else None,
    )


def following(run: Run, recipe: Recipe, state: State, outcome: Outcome) -> State:
    """What the next round starts from."""
    policy, mean, older = state.policy, state.average, state.older
    if outcome.adopted:
        older, policy = (state.policy, *older), outcome.tuned.policy
        if recipe.policy.reference == "average":
            mean = average(run, average=mean, policy=policy, decay=recipe.policy.average_decay)
    student = outcome.tuned.student if outcome.student_adopted else None
    return State(
        policy=policy,
        student=student or state.student,
        average=mean,
        older=older,
        preferences=(*state.preferences, outcome.labelled.preferences),
        stored=outcome.labelled.stored,
    )


@flow(
    name="round",
    flow_run_name="{name} / round {number}",
    persist_result=False,
    validate_parameters=False,
)
def align_round(
    run: Run, name: str, recipe: Recipe, parts: Parts, state: State, number: int
) -> tuple[State, Outcome]:
    """Label, tune both models, adopt the policy if the teacher agrees."""
    evaluated = recipe.evaluated(number)
    if state.student and evaluated:
        base = answer(run, recipe, parts, parts.policy, "dev")
        before = student_agreement(run, recipe, parts, state.student, base, "before")
    labelled = label(run, recipe, parts, state, number)
    tuned = tune(run, recipe, parts, state, labelled)
    measured = None
    if state.student and evaluated:
        after = before
        if tuned.student:
            after = student_agreement(run, recipe, parts, tuned.student, base, "after")
        measured = Agreement(before, after)
    outcome = Outcome(
        number=number,
        labelled=labelled,
        tuned=tuned,
        judged=judge(run, recipe, parts, state, tuned) if evaluated else None,
        agreement=measured,
        precision=precision(run, preferences=labelled.preferences)
        if recipe.evaluate.judge == "oracle"
        else None,
    )
    return following(run, recipe, state, outcome), outcome
