"""The loop over logged completions: mine, relabel with the recorded judge, distill the student.

Nothing is generated and no policy is trained. The result is how often the student orders pairs of
answers to held-out prompts as the judge does, before and after, beside the rule "longer is better",
and how often the judge prefers the student's best answer, beside the best of recorded scorers.
"""

from dataclasses import dataclass

from data.recipes.logged import LoggedConfig
from data.recipes.recipe import FRESH
from data.store.artifacts import Artifact
from data.summary import PickSummary, Round, StudentSummary
from flows.logged.recipe import LoggedRecipe
from flows.logged.told import AFTER, BEFORE, LONGER, told
from flows.loop.inputs import ready
from flows.loop.summary import ledger
from flows.result import Made, Result
from tasks.distill import distill
from tasks.gate import agreement
from tasks.logged import (
    candidates,
    fresh_student,
    hold_out,
    import_judgments,
    import_logged_completions,
    import_logged_prompts,
    import_picks,
    picks_of,
    recorded_scores,
    relabel_recorded,
    score_by_length,
)
from tasks.mine import mine
from tasks.prompts import import_preferences
from tasks.running.subflow import subflow
from tasks.score import score
from tasks.stage import Model, Run

VOCABULARY = 4_096


@dataclass(frozen=True)
class Logs:
    """The recorded tables, split into prompts to learn from and held-out ones."""

    train: Artifact
    held_out: Artifact
    train_completions: Artifact
    held_out_completions: Artifact
    judgments: Artifact


@dataclass(frozen=True)
class LoggedOutcome:
    asked: Artifact
    completions: Artifact
    mined: Artifact
    preferences: Artifact
    student: Artifact
    before: Artifact
    after: Artifact
    longer: Artifact
    before_equal: Artifact
    after_equal: Artifact
    longer_equal: Artifact
    picks: Artifact


def import_logs(run: Run, config: LoggedConfig) -> Logs:
    files = run.outside["logged"]
    prompts = import_logged_prompts(config=config, files=files)
    completions = import_logged_completions(config=config, files=files)
    judgments = import_judgments(config=config, files=files)
    parts = {
        part: hold_out.as_(part, title=f"prompts to {purpose}")(
            prompts=prompts,
            share=config.held_out,
            seed=config.seed,
            part=part,
        )
        for part, purpose in (("train", "learn from"), ("held_out", "hold out"))
    }
    judged = {
        part: candidates.as_(part, title=f"judged completions ({part})")(
            completions=completions,
            judgments=judgments,
            prompts=prompts_of_part,
        )
        for part, prompts_of_part in parts.items()
    }
    return Logs(parts["train"], parts["held_out"], judged["train"], judged["held_out"], judgments)


def first_student(run: Run, recipe: LoggedRecipe, logs: Logs) -> Model:
    """The student to distill: the recipe's, or one made from the texts to learn from."""
    if recipe.student.model != FRESH:
        student = ready(recipe.student, recipe.seed, run.outside["student.model"])
    else:
        student = fresh_student(
            prompts=logs.train,
            completions=logs.train_completions,
            vocabulary=VOCABULARY,
            max_length=recipe.student.max_length,
            seed=recipe.seed,
        )
    if recipe.student.warm_up_path is None:
        return student
    field = "student.warm_up_path"
    earlier = import_preferences.as_(field, title=f"read {field}")(source=run.outside[field])
    return distill.as_("warm-up", title="warm up the student")(
        student=student,
        preferences=earlier,
        replay=[],
        share=0.0,
        config=recipe.student,
        seed=recipe.seed,
    )


def held_out_agreement(
    recipe: LoggedRecipe, logs: Logs, scores: Artifact, who: str, equal_length: bool = False
) -> Artifact:
    lengths = ", equal length" if equal_length else ""
    return agreement.as_(who + lengths, title=f"agreement of {who}{lengths}")(
        completions=logs.held_out_completions,
        student=scores,
        judge=logs.judgments,
        min_margin=recipe.teacher.min_margin,
        equal_length=equal_length,
    )


@subflow("logged", run_name="{name} / logged")
def distill_from_logs(name: str, *, run: Run, recipe: LoggedRecipe, logs: Logs) -> LoggedOutcome:
    """One round without generation and policy training."""

    def scores(model: Model, part: str, when: str) -> Artifact:
        held_out = part == "held-out"
        return score.as_(f"{part} {when}", title=f"student scores {part} ({when})")(
            model=model,
            prompts=logs.held_out if held_out else logs.train,
            completions=logs.held_out_completions if held_out else logs.train_completions,
            max_length=recipe.student.max_length,
        )

    old = first_student(run, recipe, logs)
    if recipe.labels == "teacher":
        scored = recorded_scores(completions=logs.train_completions, judgments=logs.judgments)
    else:
        scored = scores(old, "logged", "before")
    mined = mine(
        completions=logs.train_completions,
        scores=scored,
        config=recipe.mine,
        seed=recipe.seed,
    )
    preferences = relabel_recorded(
        mined=mined,
        prompts=logs.train,
        judgments=logs.judgments,
        config=recipe.teacher,
        round_number=1,
    )
    new = distill(
        student=old,
        preferences=preferences,
        replay=[],
        share=0.0,
        config=recipe.student,
        seed=recipe.seed,
    )
    before, after = scores(old, "held-out", "before"), scores(new, "held-out", "after")
    longer = score_by_length(completions=logs.held_out_completions)
    return LoggedOutcome(
        asked=logs.train,
        completions=logs.train_completions,
        mined=mined,
        preferences=preferences,
        student=new,
        before=held_out_agreement(recipe, logs, before, "student before"),
        after=held_out_agreement(recipe, logs, after, "student after"),
        longer=held_out_agreement(recipe, logs, longer, "longer answer"),
        before_equal=held_out_agreement(recipe, logs, before, "student before", True),
        after_equal=held_out_agreement(recipe, logs, after, "student after", True),
        longer_equal=held_out_agreement(recipe, logs, longer, "longer answer", True),
        picks=held_out_picks(run, recipe, logs, {BEFORE: before, AFTER: after, LONGER: longer}),
    )


def held_out_picks(
    run: Run, recipe: LoggedRecipe, logs: Logs, scores: dict[str, Artifact]
) -> Artifact:
    """What the judge makes of the best answer of each scorer, and of the recorded ones' picks."""
    recorded = None
    if recipe.logged.picks is not None:
        recorded = import_picks(
            completions=logs.held_out_completions,
            config=recipe.logged,
            files=run.outside["logged"],
        )
    return picks_of.as_("", title="best answers of student, length and recorded scorers")(
        completions=logs.held_out_completions,
        scores=list(scores.values()),
        names=list(scores),
        judgments=logs.judgments,
        picks=recorded,
        min_margin=recipe.teacher.min_margin,
    )


def learn_from_logs(run: Run, recipe: LoggedRecipe) -> Made:
    """One round over recorded completions and judgments, for the student alone."""
    logs = import_logs(run, recipe.logged)
    run.so_far(lambda: Result(headline="agreement", measures={}))
    run.progress.section("Logged completions")
    run.round = 1
    outcome = distill_from_logs(recipe.run, run=run, recipe=recipe, logs=logs)
    return lambda: learned(run, recipe, outcome)


def learned(run: Run, recipe: LoggedRecipe, outcome: LoggedOutcome) -> Result:
    """What the student has learned."""
    entry = logged_summary(outcome)
    entry.stages = run.take_records()
    student = entry.student
    if student.pairs:
        run.progress.note(
            f"student agrees with the judge on {student.agreement_before:.1%} of held-out "
            f"pairs before, {student.agreement_after:.1%} after; the longer answer: "
            f"{student.longer_baseline:.1%}"
        )
    config = recipe.model_dump(mode="json", exclude_none=True)
    losses = {"student": outcome.student.meta["final_loss"]}
    found = told(config, entry)
    return found.with_models({"student": outcome.student}, losses)


def logged_summary(outcome: LoggedOutcome) -> Round:
    """A round over logged completions: no policy, the student against the recorded judge."""
    result = ledger(
        outcome.asked,
        [outcome.completions],
        outcome.mined,
        outcome.preferences,
        too_long=outcome.student.meta["too_long"],
    )
    before, after, longer = outcome.before.meta, outcome.after.meta, outcome.longer.meta
    return Round(
        round=1,
        ledger=result,
        teacher_calls=outcome.preferences.meta["teacher_calls"],
        swap_rate=result.swap_rate,
        student=StudentSummary(
            agreement_before=before["agreement"],
            agreement_after=after["agreement"],
            ci95_before=before["ci95"],
            ci95_after=after["ci95"],
            pairs=after["pairs"],
            longer_baseline=longer["agreement"],
            ci95_longer=longer["ci95"],
            equal_length_before=outcome.before_equal.meta["agreement"],
            ci95_equal_length_before=outcome.before_equal.meta["ci95"],
            equal_length_longer=outcome.longer_equal.meta["agreement"],
            equal_length_after=outcome.after_equal.meta["agreement"],
            ci95_equal_length_after=outcome.after_equal.meta["ci95"],
            equal_length_pairs=outcome.after_equal.meta["pairs"],
            picks=[PickSummary.model_validate(row) for row in outcome.picks.meta["pickers"]],
        ),
    )
