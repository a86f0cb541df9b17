"""From the summaries of a bench's runs to its figures. Loads neither torch nor Prefect."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.budgets import OWN_ROUNDS, Judged, judged, stage_seconds, totals
from bench.jobs import Job, Places
from bench.paired import holm, mean_interval, normal_p, t_p
from bench.variants import (
    Bench,
    BenchRecipe,
    BenchRun,
    Difference,
    Estimate,
    Failure,
    Variant,
    Verdict,
)
from data.errors import InputError
from data.statistics import dataset_mean
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import Round, Summary
from reports.compare import differences

SIGNIFICANT = 0.05


class Finished:
    """The runs that came to their end, with their budgets."""

    def __init__(self, jobs: Sequence[Job], errors: Mapping[str, str | None], places: Places):
        self.jobs = [job for job in jobs if errors.get(job.run, "") is None]
        self.summaries = {job.run: places.summary(job) for job in self.jobs}
        self.equal = places.equal

    def of(self, label: str) -> list[Job]:
        return [job for job in self.jobs if job.label == label]

    def budget(self, seed: int) -> float:
        """The least that a recipe cost with this seed (prompts), or what the baseline cost."""
        jobs = [job for job in self.jobs if job.seed == seed]
        if self.equal not in OWN_ROUNDS:
            jobs = [job for job in jobs if job.baseline]
        return min(totals(self.summaries[job.run], self.equal)[-1] for job in jobs)

    def judged(self, job: Job) -> Judged:
        return judged(self.summaries[job.run], self.equal, self.budget(job.seed))


def collect(
    variants: Sequence[Variant],
    jobs: Sequence[Job],
    errors: Mapping[str, str | None],
    places: Places,
    **about: Any,
) -> Bench:
    """The figures of a bench.

    Args:
        errors: By run, what ended it; None of one that came to its end.
        about: name, command, seconds and workers.

    Raises:
        InputError: no run of the baseline came to its end.
    """
    done = Finished(jobs, errors, places)
    failures = [Failure(run=run, error=error) for run, error in errors.items() if error]
    baseline = variants[0].label
    if not done.of(baseline):
        raise InputError(f"{baseline}: no run of the baseline succeeded: {failures[0].error}")
    runs = {v.label: [bench_run(done, job) for job in done.of(v.label)] for v in variants}
    recipes = [
        bench_recipe(variant, runs[variant.label], runs[baseline], done)
        for variant in variants
        if runs[variant.label]
    ]
    compare(recipes, done, Store(places.store))
    summaries = list(done.summaries.values())
    computed, unshared = sharing(summaries)
    workers = about.pop("workers")
    return Bench(
        **about,
        equal=places.equal,
        seeds=sorted({job.seed for job in jobs}),
        recipes=recipes,
        failures=failures,
        judge=done.jobs[0].recipe.yardstick()["evaluate.judge"],
        computed_seconds=computed,
        unshared_seconds=unshared,
        versions=summaries[0].versions,
        machine=summaries[0].machine | {"cpu": cpu_name(), "cores": str(cores())} | workers,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def bench_run(done: Finished, job: Job) -> BenchRun:
    """A run at the round where it is judged."""
    summary, found = done.summaries[job.run], done.judged(job)
    entry, rounds = found.entry, found.rounds
    seconds, measuring = (stage_seconds(rounds, measures=which) for which in (False, True))
    precisions = [r.label_precision for r in rounds if r.label_precision is not None]
    drift = entry.drift if entry else None
    return BenchRun(
        run=job.run,
        seed=job.seed,
        run_digest=summary.run_digest,
        budget=done.budget(job.seed),
        over_budget=found.over_budget,
        rounds=len(rounds),
        judged_round=entry.round if entry else None,
        prompts=sum(r.ledger.asked for r in rounds),
        tokens=sum(r.tokens for r in rounds),
        teacher_calls=sum(r.teacher_calls for r in rounds),
        seconds=round(sum(seconds.values()), 3),
        stage_seconds=seconds,
        measuring_seconds=measuring,
        win_rate=entry.policy.win_rate if entry and entry.policy else 0.5,
        ci95=entry.policy.ci95 if entry and entry.policy else None,
        label_precision=sum(precisions) / len(precisions) if precisions else None,
        kl_to_base=drift.kl_to_base if drift else 0.0,
        mean_tokens=drift.mean_tokens if drift else summary.base.get("mean_tokens"),
        teacher_reward=drift.teacher_reward if drift else summary.base.get("teacher_reward"),
        curve=[r.policy.win_rate if r.policy else None for r in summary.rounds],
    )


def bench_recipe(
    variant: Variant, runs: list[BenchRun], base: list[BenchRun], done: Finished
) -> BenchRecipe:
    """A recipe with its runs, each set against the baseline's of the same seed."""
    yardstick = {run.seed: run for run in base}
    for run in runs:
        if run.seed in yardstick and runs is not base:
            run.difference = run.win_rate - yardstick[run.seed].win_rate
    rates = [run.win_rate for run in runs]
    mean, ci95 = mean_interval(rates)
    mine, its = (done.summaries[one[0].run] for one in (runs, base))
    decided = {"seed"} if done.equal in OWN_ROUNDS else {"seed", "rounds"}  # by the bench
    return BenchRecipe(
        label=variant.label,
        path=variant.path,
        overrides=list(variant.overrides),
        changes=[one for one in differences(its.config, mine.config) if one[0] not in decided],
        config_digest=mine.config_digest,
        runs=runs,
        win_rate=Estimate(mean=mean, ci95=ci95, low=min(rates), high=max(rates)),
    )


def compare(recipes: Sequence[BenchRecipe], done: Finished, store: Store) -> None:
    """Differences to the first recipe, with verdicts that hold for all of them together."""
    compared = []
    for recipe in recipes[1:]:
        values = [run.difference for run in recipe.runs if run.difference is not None]
        if len(values) > 1:
            mean, ci95 = mean_interval(values)
            recipe.difference = difference(mean, ci95, "seeds", t_p(values))
        elif values:
            mean, ci95 = values[0], over_prompts(recipes[0], recipe, done, store)
            recipe.difference = difference(mean, ci95, "prompts", normal_p(mean, ci95))
        if recipe.difference:
            compared.append(recipe.difference)
    for one, p in zip(compared, holm([one.p for one in compared]), strict=True):
        one.p_holm, one.verdict = p, verdict(one.mean, p)


def difference(mean: float, ci95: tuple[float, float] | None, over: str, p: float) -> Difference:
    fields = {"mean": mean, "ci95": ci95, "over": over, "p": p, "p_holm": p}
    return Difference.model_validate(fields | {"verdict": verdict(mean, p)})


def verdict(mean: float, p: float) -> Verdict:
    if p >= SIGNIFICANT:
        return "no difference shown"
    return "better" if mean > 0 else "worse"


def over_prompts(
    base: BenchRecipe, recipe: BenchRecipe, done: Finished, store: Store
) -> tuple[float, float]:
    """95 % interval of the difference of the one seed that both have: paired by prompt."""
    run = next(run for run in recipe.runs if run.difference is not None)
    other = next(one for one in base.runs if one.seed == run.seed)
    jobs = {job.run: job for job in done.jobs}
    mine, its = (outcomes(done.judged(jobs[one.run]).entry, store) for one in (run, other))
    even = {prompt: (dataset, 0.5) for prompt, (dataset, _) in (mine | its).items()}
    mine, its = mine or even, its or even  # the base against itself
    gains = [mine[prompt][1] - its[prompt][1] for prompt in even]
    found = dataset_mean(gains, [dataset for dataset, _ in even.values()]) if gains else {}
    low, high = found.get("ci95", (0.0, 0.0))
    return low, high


def outcomes(entry: Round | None, store: Store) -> dict[str, tuple[str, float]]:
    """(data set, outcome against the base) by prompt of an evaluated round; empty of none."""
    return {
        row["prompt_id"]: (row["dataset"], row["outcome"])
        for record in (entry.stages if entry else [])
        if record.kind == "evaluation"
        for row in store.table(
            Artifact(kind=record.kind, key=record.key, digest=record.artifact)
        ).to_pylist()
    }


def sharing(summaries: Sequence[Summary]) -> tuple[float, float]:
    """Seconds of all artifacts, each once, and had every run computed its own."""
    everywhere: dict[str, float] = {}
    unshared = 0.0
    for summary in summaries:
        mine = {record.key: record.computed_seconds for record in summary.stages()}
        unshared += sum(mine.values())
        everywhere |= mine
    return round(sum(everywhere.values()), 1), round(unshared, 1)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
