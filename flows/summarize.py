"""From the artifacts of a run to its summary, its report and the folder a user opens."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.matrix import by_axis
from data.recipes.loading import config_digest
from data.recipes.recipe import Recipe
from data.store.artifacts import Artifact
from data.store.digests import file_digest
from data.store.store import Store
from data.summary import (
    AxisSummary,
    Drift,
    Gate,
    Ledger,
    Round,
    StudentSummary,
    Summary,
    check_ledger,
    write_summary,
)
from flows.derived import final_result, policy_summary
from flows.earlier import result_of
from flows.fingerprint import run_digest
from flows.logged.flow import LoggedOutcome
from flows.loop.rules import hardly_moved
from flows.loop.state import Judged, Outcome, Stopped
from flows.tracking import draw_round
from models.drift import distinct_2
from reports.prefect_ui import publish_report, publish_result
from reports.report import with_messages, write_report
from tasks.stage import Model, Run

LIBRARIES = ("tsalign", "torch", "transformers", "trl", "peft", "prefect", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of this project, its libraries and Python."""
    import platform

    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def ledger(
    asked: Artifact,
    completions: Sequence[Artifact],
    mined: Artifact,
    preferences: Artifact,
    *,
    too_long: int,
    reused: int = 0,
    retokenized: int = 0,
) -> Ledger:
    """What became of every completion, prompt and pair of a round; it adds up."""
    counts: dict[str, Any] = {"asked": asked.rows}
    counts |= {"generated": sum(table.rows or 0 for table in completions)}
    counts |= mined.meta | preferences.meta
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


def mean_reward(scores: Artifact) -> float:
    """Of the completions the model could read."""
    return float(scores.meta["total_reward"] / max(1, scores.meta["scored"]))


def mean_score(evaluation: Artifact, side: str) -> float:
    """Of the "base" or "policy" answers the judge could read."""
    total, judged = (evaluation.meta[f"{side}_{name}"] for name in ("total_score", "judged"))
    return float(total / max(1, judged))


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
        student_reward=mean_reward(student) if student else None,
        teacher_reward=mean_reward(judged.policy.rewards),
        judge_score=mean_score(judged.evaluation, "policy"),
    )


def round_summary(store: Store, recipe: Recipe, outcome: Outcome) -> Round:
    labelled, tuned, judged = outcome.labelled, outcome.tuned, outcome.judged
    counts = ledger(
        labelled.asked,
        labelled.completions,
        labelled.mined,
        labelled.preferences,
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
            judged.evaluation,
            samples=recipe.evaluate.bootstrap_samples,
            seed=recipe.seed,
            judge=recipe.evaluate.judge,
        )
        if judged
        else None,
        drift=drift_summary(judged) if judged else None,
        matrix=axis_summaries(labelled.preferences) if recipe.matrix else {},
        gate=Gate(**judged.gate.meta) if judged else None,
        adopted=outcome.adopted,
        tokens=labelled.tokens,
    )


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
        ),
    )


class Book:
    """Keeps the summary of a run as it grows, on disk after every round."""

    def __init__(self, recipe: Recipe, folder: Path, run: Run) -> None:
        self.recipe, self.folder, self._run = recipe, folder, run
        self.summary = Summary(
            run=recipe.run,
            recipe=recipe.recipe,
            seed=recipe.seed,
            config_digest=config_digest(recipe),
            run_digest=run_digest(recipe, run.outside),
            date=run.context.date,
            versions=versions(),
            machine={"engine": run.engine, "numerics": run.context.numerics},
            config=recipe.model_dump(mode="json", exclude_none=True),
        )

    def prepared(self) -> None:
        """The inputs are there: models and prompts, bootstrapped or brought."""
        self.summary.bootstrap = self._run.take_records()
        self.summary.machine["engine"] = self._run.engine  # settled by now
        self._write()

    def round_done(self, outcome: Outcome) -> None:
        entry = round_summary(self._run.context.store, self.recipe, outcome)
        entry.stages = self._run.take_records()
        self.summary.rounds.append(entry)
        judged, store = outcome.judged, self._run.context.store
        rows = store.table(judged.evaluation).to_pylist() if judged else []
        if judged:
            base = judged.base.completions
            self.summary.base = {
                "judge_score": mean_score(judged.evaluation, "base"),
                "teacher_reward": mean_reward(judged.base.rewards),
                "mean_tokens": base.meta["tokens"] / base.meta["generated"],
                "distinct_2": distinct_2([row["base_completion"] for row in rows]),
            }
        self._note(entry)
        self._write()
        if self._run.books.kept:
            rows = with_messages(rows, self.summary, store)
        self._run.books.note(publish_result, self.summary, rows)
        self._draw(entry, {"policy": outcome.tuned.policy, "student": outcome.tuned.student})

    def round_stopped(self, outcome: Stopped) -> None:
        """A round that has no pair to train on: what became of its completions."""
        labelled = outcome.labelled
        counts = ledger(
            labelled.asked,
            labelled.completions,
            labelled.mined,
            labelled.preferences,
            too_long=0,
        )
        self.summary.rounds.append(
            Round(
                round=outcome.number,
                ledger=counts,
                teacher_calls=labelled.preferences.meta["teacher_calls"],
                swap_rate=counts.swap_rate,
                student=StudentSummary(),
                adopted=False,
                tokens=labelled.tokens,
                stages=self._run.take_records(),
                stopped=outcome.reason,
            )
        )
        self._write()

    def logged_done(self, outcome: LoggedOutcome) -> None:
        entry = logged_summary(outcome)
        entry.stages = self._run.take_records()
        self.summary.rounds.append(entry)
        student = entry.student
        if student.pairs:
            self._run.progress.note(
                f"student agrees with the judge on {student.agreement_before:.1%} of held-out "
                f"pairs before, {student.agreement_after:.1%} after; the longer answer: "
                f"{student.longer_baseline:.1%}"
            )
        self._write()
        self._draw(entry, {"student": outcome.student})

    def _draw(self, entry: Round, trained: Mapping[str, Artifact | None]) -> None:
        losses = {name: model.meta["final_loss"] for name, model in trained.items() if model}
        draw_round(self._run.context.tracking, self.summary, entry, losses)
        self._run.progress.notes(self._run.context.tracking)

    def finish(self, models: dict[str, Model], seconds: float) -> None:
        """Report, links to the aligned models, and last the summary that tells their digests."""
        summary = self.summary
        summary.seconds = round(seconds, 1)
        summary.finished = datetime.now(UTC).isoformat(timespec="seconds")
        summary.computed_seconds = round(sum(s.computed_seconds for s in summary.stages()), 1)
        summary.final = final_result(summary.rounds)
        result_of(summary).into(summary)
        report = self.folder / "report.html"
        write_report(summary, self._run.context.store, report)
        summary.report = file_digest(report, fresh=True)
        for name in ("policy", "student"):
            if name in models:
                self.link(name, self._run.context.path(models[name]), models[name].digest)
            elif (self.folder / name).is_symlink():  # of an earlier run of this name
                (self.folder / name).unlink()
        self._write()
        self._run.books.note(publish_report, summary, report)

    def link(self, name: str, target: Path, digest: str) -> None:
        """Let a name in the run's folder lead to a result; the summary knows its digest."""
        link(self.folder / name, target)
        self.summary.links[name] = digest

    def _write(self) -> None:
        result_of(self.summary).into(self.summary)
        write_summary(self.folder / "summary.json", self.summary)

    def _note(self, entry: Round) -> None:
        note = (
            f"{entry.ledger.trained} pairs trained, {entry.swap_rate:.0%} swapped by the teacher, "
            f"{'adopted' if entry.adopted else 'not adopted'}"
        )
        if entry.policy:
            low, high = entry.policy.ci95
            rate = f"win rate over the base {entry.policy.win_rate:.1%} [{low:.1%}, {high:.1%}]"
            note = f"{rate}, {note}"
        self._run.progress.result(note)
        if still := hardly_moved(entry):
            self._run.progress.note(f"warning: {still}; raise policy.learning_rate")


def link(name: Path, target: Path) -> None:
    """A symbolic link that replaces an older one, also beside another run of the same name."""
    new = name.with_name(f".{name.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target.resolve(), target_is_directory=True)
    try:
        new.replace(name)
    except IsADirectoryError:
        new.unlink()
        raise InputError(f"{name}: is a folder in the place of a link; move it away") from None
