"""From the artifacts of a round to its entry in the summary."""

from collections.abc import Sequence
from typing import Any

from data.ledger import Ledger, check_ledger
from data.matrix import by_axis
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import AxisSummary, Drift, Gate, PromptSource, Round, StudentSummary
from flows.instructions_told import instruction_summary
from flows.loop.recipe import AlignRecipe
from flows.loop.reward_figures import function_rewards, labelled_meta
from flows.loop.state import Answers, Judged, Labelled, Outcome, Pool, Source, Stopped
from flows.win_rates import policy_summary


def ledger(
    asked: Artifact,
    completions: Sequence[Artifact],
    mined: Artifact,
    preferences: Artifact,
    *,
    too_long: int,
    reused: int = 0,
    retokenized: int = 0,
    student_only: int = 0,
) -> Ledger:
    """What became of every completion, prompt and pair of a round; it adds up.

    Args:
        student_only: Of the preferences, those that the policy does not learn.
    """
    counts: dict[str, Any] = {"asked": asked.rows, "unparsable": 0, "student_only": student_only}
    counts |= {"generated": sum(table.rows or 0 for table in completions)}
    counts |= mined.meta | preferences.meta
    counts["labelled"] -= student_only
    counts |= {"too_long": too_long, "reused": reused, "retokenized": retokenized}
    counts["trained"] = counts["labelled"] + reused - too_long
    result = Ledger(**{name: counts[name] for name in Ledger.model_fields})
    check_ledger(result)
    return result


def axis_summaries(preferences: Artifact, pairs: Artifact | None = None) -> dict[str, AxisSummary]:
    """What became of the pairs of a model matrix, by axis; lengths where a pair table has them."""
    lengths = pairs.meta["by_axis"] if pairs else {}
    return {
        axis: AxisSummary(**fates, **lengths.get(axis, {}))
        for axis, fates in by_axis(preferences.meta).items()
    }


def mean_reward(scores: Artifact | None) -> float | None:
    """Of the completions the model could read; None: it only compares, and scores none."""
    if scores is None:
        return None
    return float(scores.meta["total_reward"] / max(1, scores.meta["scored"]))


def mean_score(evaluation: Artifact, side: str) -> float | None:
    """Of the "base" or "policy" answers the judge could read; None: it only compares, or none."""
    judged = evaluation.meta.get(f"{side}_judged")
    return float(evaluation.meta[f"{side}_total_score"] / judged) if judged else None


def student_summary(outcome: Outcome) -> StudentSummary:
    """Agreement with the teacher, as far as it was measured."""
    if outcome.agreement is None:
        return StudentSummary(adopted=outcome.tuned.student is not None)
    before, distilled = outcome.agreement.before.meta, outcome.agreement.after.meta
    after = distilled if outcome.student_adopted else before
    return StudentSummary(
        agreement_before=before["agreement"],
        agreement_after=after["agreement"],
        ci95_before=before["ci95"],
        ci95_after=after["ci95"],
        pairs=after["pairs"],
        agreement_distilled=distilled["agreement"],
        adopted=outcome.student_adopted,
    )


def drift_summary(judged: Judged) -> Drift:
    drift, student = judged.drift.meta, judged.student_rewards
    return Drift(
        kl_to_base=drift["kl_to_base"],
        mean_tokens=drift["mean_tokens"],
        distinct_2=drift["distinct_2"],
        perplexity=drift["perplexity"],
        student_reward=mean_reward(student) if student else None,
        teacher_reward=mean_reward(judged.policy.rewards),
        judge_score=mean_score(judged.evaluations[0], "policy"),
    )


def round_summary(store: Store, recipe: AlignRecipe, outcome: Outcome) -> Round:
    labelled, tuned, judged = outcome.labelled, outcome.tuned, outcome.judged
    counts = labelled_ledger(
        labelled,
        too_long=tuned.policy.meta["too_long"],
        reused=tuned.reused,
        retokenized=tuned.policy.meta["retokenized"],
    )
    precision = outcome.precision.meta if outcome.precision else {}
    return Round(
        round=outcome.number,
        ledger=counts,
        teacher_calls=labelled.preferences.meta["teacher_calls"],
        swap_rate=counts.swap_rate,
        label_precision=precision.get("precision"),
        label_precision_by_dataset=precision.get("by_dataset", {}),
        student=student_summary(outcome),
        policy=policy_summary(
            store,
            judged.evaluations,
            samples=recipe.evaluate.bootstrap_samples,
            seed=recipe.seed,
            judges=recipe.evaluate.judges,
        )
        if judged
        else None,
        drift=drift_summary(judged) if judged else None,
        matrix=axis_summaries(labelled.preferences) if recipe.matrix else {},
        gate=Gate(**judged.gate.meta) if judged and judged.gate else None,
        functions=function_rewards(
            labelled_meta(labelled),
            judged.base.rewards if judged else None,
            judged.policy.rewards if judged else None,
        ),
        instructions=instruction_summary(
            store,
            judged.followed,
            samples=recipe.evaluate.bootstrap_samples,
            seed=recipe.seed,
        )
        if judged
        else None,
        adopted=outcome.adopted,
        watch=outcome.watch,
        tokens=labelled.tokens,
    )


def stopped_summary(outcome: Stopped) -> Round:
    """A round that has no pair to train on: what became of its completions."""
    counts = labelled_ledger(outcome.labelled)
    return Round(
        round=outcome.number,
        ledger=counts,
        teacher_calls=outcome.labelled.preferences.meta["teacher_calls"],
        swap_rate=counts.swap_rate,
        student=StudentSummary(),
        adopted=False,
        tokens=outcome.labelled.tokens,
        functions=function_rewards(labelled_meta(outcome.labelled), None, None),
        stopped=outcome.reason,
    )


def labelled_ledger(
    labelled: Labelled, too_long: int = 0, reused: int = 0, retokenized: int = 0
) -> Ledger:
    """The ledger of a round; before anything is trained, of its pairs alone."""
    return ledger(
        labelled.asked,
        labelled.completions,
        labelled.mined,
        labelled.preferences,
        too_long=too_long,
        reused=reused,
        retokenized=retokenized,
        student_only=(labelled.preferences.rows or 0) - (labelled.for_policy.rows or 0),
    )


def base_summary(base: Answers, drift: Artifact, evaluation: Artifact) -> dict[str, float]:
    """Fields of `Drift` for the base policy, as far as they are measured.

    Args:
        base: To the test prompts.
        drift: Of these.
        evaluation: EVALUATION of these by the first judge.
    """
    score, reward = mean_score(evaluation, "base"), mean_reward(base.rewards)
    return {
        **({} if score is None else {"judge_score": score}),
        **({} if reward is None else {"teacher_reward": reward}),
        **{name: drift.meta[name] for name in ("mean_tokens", "distinct_2", "perplexity")},
    }


def sources(pool: Pool) -> list[PromptSource]:
    """The sources whose prompts were read from files."""
    return [_counted(one) for one in pool if one.steps]


def _counted(one: Source) -> PromptSource:
    lost = {
        why: sum(step.meta.get(why, 0) for step in one.steps[1:])
        for why in ("repeated", "held_out", "exact", "8gram")
    }
    lost["shared"] = lost.pop("8gram")
    prompts, pool = one.steps[0].rows or 0, one.prompts.rows or 0
    return PromptSource(name=one.name, prompts=prompts, pool=pool, **lost)
