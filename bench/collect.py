"""From the summaries of a bench's runs to its figures. Loads neither torch nor Prefect."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.budgets import (
    OWN_ROUNDS,
    Judged,
    Round,
    at_first,
    by_round,
    judged,
    measure_of,
    rounds_of,
    stage_seconds,
    totals,
)
from bench.jobs import Job, Places
from bench.paired import deviation, holm, mean_interval, normal_p, t_p
from bench.variants import (
    Bench,
    BenchRecipe,
    BenchRun,
    Difference,
    Failure,
    Other,
    Step,
    Variant,
    Verdict,
)
from bench.worlds import estimate, in_worlds, units
from data.errors import InputError
from data.measures import Measure, RoundValue
from data.statistics import dataset_mean
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import Summary
from models.host import cores, cpu_name
from reports.compare import differences
from reports.text import column

SIGNIFICANT = 0.05


class Finished:
    """The runs that came to their end, with their budgets."""

    def __init__(self, jobs: Sequence[Job], errors: Mapping[str, str | None], places: Places):
        self.jobs = [job for job in jobs if errors.get(job.run, "") is None]
        self.summaries = {job.run: places.summary(job) for job in self.jobs}
        self.equal = places.equal
        yardstick = next((job.run for job in self.jobs if job.baseline), None)
        headline = self.summaries[yardstick].headline if yardstick else ""
        self.measure = places.measure or headline
        self.without = self._without()

    def _without(self) -> dict[str, str]:
        """The runs that cannot be compared, and why; they are left out."""
        found = {}
        for job in self.jobs:
            try:
                measure_of(self.summaries[job.run], self.measure)
                totals(self.summaries[job.run], self.equal)
            except InputError as error:
                found[job.run] = str(error).removeprefix(f"{job.run}: ")
        self.jobs = [job for job in self.jobs if job.run not in found]
        return found

    def of(self, label: str) -> list[Job]:
        return [job for job in self.jobs if job.label == label]

    def budget(self, of: Job) -> float:
        """The least that a recipe cost with this seed in this world, or what the baseline cost."""
        jobs = [job for job in self.jobs if job.pair == of.pair]
        if self.equal not in OWN_ROUNDS:
            jobs = [job for job in jobs if job.baseline]
        return min(totals(self.summaries[job.run], self.equal)[-1] for job in jobs)

    def judged(self, job: Job) -> Judged:
        return judged(self.summaries[job.run], self.equal, self.budget(job), self.measure)


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
    wrong = {run: error for run, error in errors.items() if error} | done.without
    failures = [Failure(run=run, error=error) for run, error in wrong.items()]
    baseline = variants[0].label
    if not done.of(baseline):
        if wrong == done.without:
            raise InputError(f"{baseline}: {failures[0].error}")
        raise InputError(f"{baseline}: no run of the baseline succeeded: {failures[0].error}")
    runs = {v.label: [bench_run(done, job) for job in done.of(v.label)] for v in variants}
    recipes = [
        bench_recipe(variant, runs[variant.label], runs[baseline], done)
        for variant in variants
        if runs[variant.label]
    ]
    compare(recipes, done, Store(places.store))
    summaries = list(done.summaries.values())
    measure = done.summaries[done.of(baseline)[0].run].measures[done.measure]
    computed, unshared = sharing(summaries)
    workers = about.pop("workers")
    return Bench(
        **about,
        equal=places.equal,
        worlds=sorted({job.world for job in jobs if job.world is not None}),
        seeds=sorted({job.seed for job in jobs}),
        recipes=recipes,
        failures=failures,
        judge=measure.judge,
        measure=done.measure,
        **{name: getattr(measure, name) for name in ("title", "short", "unit", "better", "even")},
        others={
            name: Other(title=column(one, name), unit=one.unit, better=one.better)
            for name, one in done.summaries[done.of(baseline)[0].run].measures.items()
            if not one.adds_up
        },
        computed_seconds=computed,
        unshared_seconds=unshared,
        versions=summaries[0].versions,
        machine={"cpu": cpu_name(), "cores": str(cores())} | summaries[0].machine | workers,
        machines_differ=machines_differ(summaries),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def bench_run(done: Finished, job: Job) -> BenchRun:
    """A run at the round where it is judged."""
    summary, found = done.summaries[job.run], done.judged(job)
    entry, rounds = found.entry, found.rounds
    seconds, measuring = (stage_seconds(rounds, measures=which) for which in (False, True))
    measure = summary.measures[done.measure]
    value = entry.value if entry else at_first(measure)
    others = values_at(summary, entry.round if entry else 0)
    precisions = amounts(summary, "label_precision", rounds)
    curve = by_round(measure, rounds_of(summary))
    return BenchRun(
        run=job.run,
        world=job.world,
        seed=job.seed,
        run_digest=summary.run_digest,
        budget=done.budget(job),
        over_budget=found.over_budget,
        rounds=len(rounds),
        judged_round=entry.round if entry else None,
        prompts=round(sum(amounts(summary, "prompts", rounds))),
        tokens=round(sum(amounts(summary, "tokens", rounds))),
        teacher_calls=round(sum(amounts(summary, "teacher_calls", rounds))),
        seconds=round(sum(seconds.values()), 3),
        stage_seconds=seconds,
        measuring_seconds=measuring,
        value=value,
        win_rate=value if done.measure == "win_rate" else others.get("win_rate"),
        ci95=entry.ci95 if entry else None,
        measures=others,
        label_precision=sum(precisions) / len(precisions) if precisions else None,
        kl_to_base=others.get("kl_to_base"),
        mean_tokens=others.get("mean_tokens"),
        teacher_reward=others.get("teacher_reward"),
        curve=[curve[one.number].value if one.number in curve else None
               for one in rounds_of(summary)],
        steps={name: steps(one) for name, one in summary.measures.items() if not one.adds_up},
    )  # fmt: skip


def steps(measure: Measure) -> list[Step]:
    """A measure round by round, also beyond the judged one."""
    return [
        Step(round=one.round, value=one.value, ci95=one.ci95, kept=one.kept)
        for one in measure.rounds
    ]


def amounts(summary: Summary, name: str, rounds: Sequence[Round]) -> list[float]:
    """A measure in each of these rounds that has it."""
    measure = summary.measures.get(name)
    if measure is None:
        return []
    known = by_round(measure, rounds_of(summary))
    return [known[entry.number].value for entry in rounds if entry.number in known]


def values_at(summary: Summary, number: int) -> dict[str, float]:
    """Every measure that is no sum, after a round; 0: as the run began."""
    found = {}
    for name, measure in summary.measures.items():
        known = by_round(measure, rounds_of(summary))
        known |= {one.round: one for one in measure.rounds if one.round == 0}
        if number in known and not measure.adds_up:
            found[name] = known[number].value
    return found


def bench_recipe(
    variant: Variant, runs: list[BenchRun], base: list[BenchRun], done: Finished
) -> BenchRecipe:
    """A recipe with its runs, each set against the baseline's of the same world and seed."""
    yardstick = {(run.world, run.seed): run for run in base}
    for run in runs:
        other = yardstick.get((run.world, run.seed))
        if other and runs is not base:
            run.difference = run.value - other.value
    value = estimate(runs)
    mine, its = (done.summaries[one[0].run] for one in (runs, base))
    decided = {"seed"} if done.equal in OWN_ROUNDS else {"seed", "rounds"}  # by the bench
    decided |= {"world.seed"} if runs[0].world is not None else set()
    return BenchRecipe(
        label=variant.label,
        path=variant.path,
        overrides=list(variant.overrides),
        changes=[one for one in differences(its.config, mine.config) if one[0] not in decided],
        config_digest=mine.config_digest,
        runs=runs,
        worlds=in_worlds(runs),
        value=value,
        win_rate=value if done.measure == "win_rate" else None,
    )


def compare(recipes: Sequence[BenchRecipe], done: Finished, store: Store) -> None:
    """Differences to the first recipe, with verdicts that hold for all of them together."""
    compared = []
    lower = done.summaries[recipes[0].runs[0].run].measures[done.measure].better == "lower"
    for recipe in recipes[1:]:
        values, over = units(recipe.runs, lambda run: run.difference)
        if len(values) > 1:
            mean, ci95 = mean_interval(values)
            recipe.difference = difference(mean, ci95, over, t_p(values), lower)
            recipe.difference.deviation = deviation(values)
            recipe.difference.low, recipe.difference.high = min(values), max(values)
        elif values:
            mean, ci95 = values[0], over_prompts(recipes[0], recipe, done, store)
            p = normal_p(mean, ci95) if ci95 else 1.0
            recipe.difference = difference(mean, ci95, "prompts", p, lower)
        if recipe.difference:
            compared.append(recipe.difference)
    for one, p in zip(compared, holm([one.p for one in compared]), strict=True):
        one.p_holm, one.verdict = p, verdict(one.mean, p, lower)


def difference(
    mean: float, ci95: tuple[float, float] | None, over: str, p: float, lower: bool
) -> Difference:
    fields = {"mean": mean, "ci95": ci95, "over": over, "p": p, "p_holm": p}
    return Difference.model_validate(fields | {"verdict": verdict(mean, p, lower)})


def verdict(mean: float, p: float, lower: bool) -> Verdict:
    """What a difference shows of a measure of which more is better, or with `lower`, less."""
    if p >= SIGNIFICANT:
        return "no difference shown"
    return "better" if (mean > 0) != lower else "worse"


def over_prompts(
    base: BenchRecipe, recipe: BenchRecipe, done: Finished, store: Store
) -> tuple[float, float] | None:
    """95 % interval of the difference of the one pair of runs that there is: paired by prompt.

    None where the measure is not a mean over prompts.
    """
    run = next(run for run in recipe.runs if run.difference is not None)
    other = next(one for one in base.runs if (one.world, one.seed) == (run.world, run.seed))
    jobs = {job.run: job for job in done.jobs}
    found = [done.judged(jobs[one.run]).entry for one in (run, other)]
    if not any(one and one.evidence for one in found):
        return None
    mine, its = (outcomes(one, store) for one in found)
    even = {prompt: (dataset, 0.5) for prompt, (dataset, _) in (mine | its).items()}
    mine, its = mine or even, its or even  # the base against itself
    gains = [mine[prompt][1] - its[prompt][1] for prompt in even]
    means = dataset_mean(gains, [dataset for dataset, _ in even.values()]) if gains else {}
    low, high = means.get("ci95", (0.0, 0.0))
    return low, high


def outcomes(entry: RoundValue | None, store: Store) -> dict[str, tuple[str, float]]:
    """(data set, outcome against the base) by prompt of a measured round; empty of none."""
    if entry is None or entry.evidence is None:
        return {}
    x = entry.evidence
    table = store.table(Artifact(kind=x.kind, key=x.key, digest=x.artifact))
    return {row["prompt_id"]: (row["dataset"], row["outcome"]) for row in table.to_pylist()}


def sharing(summaries: Sequence[Summary]) -> tuple[float, float]:
    """Seconds of all artifacts, each once, and had every run computed its own."""
    everywhere: dict[str, float] = {}
    unshared = 0.0
    for summary in summaries:
        mine = {record.key: record.computed_seconds for record in summary.stages()}
        unshared += sum(mine.values())
        everywhere |= mine
    return round(sum(everywhere.values()), 1), round(unshared, 1)


def machines_differ(summaries: Sequence[Summary]) -> dict[str, list[str]]:
    """What differs between the machines and versions of runs; what only some know is no
    difference."""
    found: dict[str, dict[str, None]] = {}
    for summary in summaries:
        for name, value in (summary.machine | summary.versions).items():
            found.setdefault(name, {})[value] = None
    return {name: list(values) for name, values in found.items() if len(values) > 1}
