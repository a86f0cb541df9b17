"""One round, as a sub-flow: every line is a stage, every value an artifact.

The first half, from prompts to preferences, is in `flows.loop.label`.
"""

from dataclasses import replace

from data.recipes.judges import ORACLE
from data.recipes.recipe import NONE
from data.store.artifacts import Artifact
from flows.evaluations import evaluations
from flows.following import followed_by
from flows.judging import agreeing, gated, is_pairwise, rewards_of
from flows.loop import shortfall
from flows.loop.label import for_the_policy, label
from flows.loop.recipe import AlignRecipe
from flows.loop.reward_figures import failures, labelled_meta
from flows.loop.state import (
    Agreement,
    Answers,
    Asking,
    Judged,
    Labelled,
    Outcome,
    Parts,
    State,
    Stopped,
    Tuned,
)
from flows.loop.summary import labelled_ledger
from flows.loop.watching import watch_round
from tasks.distill import distill
from tasks.evaluate import drift, precision
from tasks.generate import generate
from tasks.optimize import average, optimize, reference, reference_in_4_bits, sample_earlier
from tasks.running.subflow import subflow
from tasks.score import score
from tasks.stage import Model, Run


def answer(
    run: Run, recipe: Asking, parts: Parts, policy: Model, held_out: str, number: int = 0
) -> Answers:
    """The policy's answers to the "dev" or "test" prompts: decoding as in the evaluation.

    Args:
        number: Of the round that has left the policy; 0: it is the base.
    """
    whose = f"round {number}" if number else "base"
    answering = f"{whose} answers {held_out} prompts"
    scoring = f"teacher scores {whose}'s {held_out} answers"
    prompts = parts.dev if held_out == "dev" else parts.test
    measures = held_out == "test"
    completions = generate.as_(held_out, title=answering, measures=measures)(
        policy=policy,
        prompts=prompts,
        k=recipe.evaluate.dev_samples if held_out == "dev" else 1,
        decoding=recipe.answering,
        engine=run.engine,
        stream=held_out,
        seed=recipe.seed,
    )
    if is_pairwise(parts.teacher):
        return Answers(completions, None)
    rewards = rewards_of(
        parts.teacher,
        prompts=prompts,
        completions=completions,
        max_length=recipe.max_length,
        role=held_out,
        title=scoring,
        measures=measures,
    )
    return Answers(completions, rewards)


def drift_of(parts: Parts, policy: Model, test: Answers, role: str = "") -> Artifact:
    """How far a policy that gave these answers to the test prompts is from the base."""
    return drift.as_(role, title="drift (base)" if role else "drift", measures=True)(
        prompts=parts.test, completions=test.completions, policy=policy, base=parts.policy
    )


def student_agreement(
    recipe: AlignRecipe, parts: Parts, student: Model, answers: Answers, when: str
) -> Artifact:
    """How often a student orders pairs of dev completions as the teacher does."""
    scores = score.as_(f"student {when}", title=f"student scores dev ({when})")(
        model=student,
        prompts=parts.dev,
        completions=answers.completions,
        max_length=recipe.max_length,
    )
    return agreeing(
        parts.teacher,
        prompts=parts.dev,
        completions=answers.completions,
        rewards=answers.rewards,
        student=scores,
        min_margin=recipe.teacher.min_margin,
        when=when,
    )


def training_pairs(
    recipe: AlignRecipe, state: State, labelled: Labelled
) -> tuple[dict[str, Artifact], int]:
    """Tables of pairs to train on, this round's last, and how many pairs are older ones.

    By where they are from, "" for this round. Tables without a pair are left out.
    """
    new, replay = labelled.for_policy, recipe.policy.replay
    if labelled.stored:
        pairs = labelled.stored.preferences
        reused = pairs.meta["reused"] if pairs is not new else 0
        return ({"": pairs} if pairs.rows else {}), reused
    earlier = {
        f"pairs of round {number}": table
        for number, all_pairs in enumerate(state.preferences, start=1)
        if replay != "none" and (table := for_the_policy(recipe, all_pairs)).rows
    }
    if replay == "share" and earlier:
        known, share = list(earlier.values()), recipe.policy.replay_share
        sampled = sample_earlier.as_("", title="replay")(
            earlier=known, new=new, share=share, seed=recipe.seed
        )
        earlier = {"replay": sampled} if sampled.rows else {}
    reused = sum(table.rows or 0 for table in earlier.values())
    return earlier | ({"": new} if new.rows else {}), reused


def tune_policy(
    recipe: AlignRecipe, parts: Parts, state: State, pairs: dict[str, Artifact]
) -> Artifact:
    """The policy optimized on the pairs."""
    against = {"initial": parts.policy, "previous": state.policy, "average": state.average}
    policy = against[recipe.policy.reference]
    logps = []
    for source, table in pairs.items():
        title = f"reference ({source})" if source else "reference"
        if recipe.policy.method == "qlora":
            held = reference_in_4_bits.as_(source, title=title)
            logps.append(held(policy=policy, preferences=table, method="qlora"))
        else:
            whole = reference.as_(source, title=title)
            logps.append(whole(policy=policy, preferences=table))
    return optimize(
        policy=state.policy,
        preferences=list(pairs.values()),
        reference=logps,
        config=recipe.policy,
        seed=recipe.seed,
    )


def stopped(
    run: Run, recipe: AlignRecipe, labelled: Labelled, number: int, pairs: int, reused: int
) -> Stopped | None:
    """What is said of the round's pairs; why it ends here, if there is none to train on.

    Args:
        pairs: To train on, earlier ones included.
        reused: Of these, pairs of earlier rounds.
    """
    counts = labelled_ledger(labelled)
    for line in failures(labelled_meta(labelled)):
        run.progress.note(line)
    if not pairs:
        return Stopped(number, labelled, f"round {number}: {shortfall.reason(counts, recipe)}")
    run.progress.note(shortfall.mined_line(counts, recipe))
    student = recipe.student.model != NONE
    if not counts.labelled:
        run.progress.note(
            f"warning: no new pair; the policy trains on {reused:,} earlier ones alone"
            + (", the student stays" if student and not labelled.preferences.rows else "")
        )
    elif few := shortfall.few_line(counts, recipe, pairs):
        run.progress.note(few)
    return None


def tune(
    recipe: AlignRecipe,
    parts: Parts,
    state: State,
    labelled: Labelled,
    pairs: dict[str, Artifact],
    reused: int,
) -> Tuned:
    """The student distilled from, and the policy optimized on, the preferences."""
    student = None
    earlier = ([parts.replay] if parts.replay else []) + list(state.preferences)
    if state.student and recipe.student.update and labelled.preferences.rows:
        student = distill(
            student=state.student,
            preferences=labelled.preferences,
            replay=earlier,
            share=recipe.student.replay if earlier else 0.0,
            config=recipe.student,
            seed=recipe.seed,
        )
    return Tuned(student, tune_policy(recipe, parts, state, pairs), reused)


def judge(
    run: Run, recipe: AlignRecipe, parts: Parts, state: State, tuned: Tuned, number: int
) -> Judged:
    """Gate on the dev prompts, win rate and drift on the test prompts."""
    policy = tuned.policy
    previous = answer(run, recipe, parts, state.policy, "dev", state.adopted)
    candidate = answer(run, recipe, parts, policy, "dev", number)
    verdict = gated(parts.teacher, recipe.gate, parts.dev, previous.both, candidate.both)
    measured = examined(run, recipe, parts, policy, tuned.student or state.student, number)
    watched: tuple[Answers, ...] = ()
    if recipe.monitor.enabled:
        first = answer(run, recipe, parts, parts.policy, "dev") if state.adopted else previous
        watched = (first, candidate)
    return replace(measured, gate=verdict, dev=watched)


def examined(
    run: Run,
    recipe: AlignRecipe,
    parts: Parts,
    policy: Artifact,
    student: Model | None,
    number: int,
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
        student_rewards=score.as_("student test", title="student scores test", measures=True)(
            model=student,
            prompts=parts.test,
            completions=test.completions,
            max_length=recipe.max_length,
        )
        if student
        else None,
        followed=followed_by(
            run, recipe, recipe.evaluate.judges, parts.test, base.completions, test.completions
        ),
    )


def following(recipe: AlignRecipe, state: State, outcome: Outcome) -> State:
    """What the next round starts from."""
    policy, mean, older = state.policy, state.average, state.older
    adopted = outcome.number if outcome.adopted else state.adopted
    if outcome.adopted:
        older, policy = (state.policy, *older), outcome.tuned.policy
        if recipe.policy.reference == "average":
            mean = average(average=mean, policy=policy, decay=recipe.policy.average_decay)
    student = outcome.tuned.student if outcome.student_adopted else None
    return State(
        policy=policy,
        student=student or state.student,
        average=mean,
        adopted=adopted,
        older=older,
        preferences=(*state.preferences, outcome.labelled.preferences),
        stored=outcome.labelled.stored,
        watched=(*state.watched, outcome.watch)
        if outcome.adopted and outcome.watch
        else state.watched,
    )


@subflow("round", run_name="{name} / round {number}")
def align_round(
    name: str, number: int, *, run: Run, recipe: AlignRecipe, parts: Parts, state: State
) -> tuple[State, Outcome | Stopped]:
    """Label, tune both models, adopt the policy if the teacher agrees.

    Ends after the labelling where no pair is left to train on.
    """
    evaluated = recipe.evaluated(number)
    if state.student and evaluated:
        base = answer(run, recipe, parts, parts.policy, "dev")
        before = student_agreement(recipe, parts, state.student, base, "before")
    labelled = label(run, recipe, parts, state, number)
    pairs, reused = training_pairs(recipe, state, labelled)
    total = sum(table.rows or 0 for table in pairs.values())
    if ended := stopped(run, recipe, labelled, number, total, reused):
        return state, ended
    tuned = tune(recipe, parts, state, labelled, pairs, reused)
    measured = None
    if state.student and evaluated:
        after = before
        if tuned.student:
            after = student_agreement(recipe, parts, tuned.student, base, "after")
        measured = Agreement(before, after)
    judged = judge(run, recipe, parts, state, tuned, number) if evaluated else None
    watch = watch_round(recipe, parts, state, tuned.policy, judged, number)
    outcome = Outcome(
        number=number,
        labelled=labelled,
        tuned=tuned,
        judged=judged,
        agreement=measured,
        precision=precision.as_("", measures=True)(preferences=labelled.for_policy)
        if ORACLE in recipe.evaluate.judges
        else None,
        watch=watch,
        ends=recipe.stop_when == "alarm" and watch is not None and watch.alarm,
    )
    return following(recipe, state, outcome), outcome
