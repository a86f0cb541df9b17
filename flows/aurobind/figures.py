"""What a run has measured: every target on its own, means over targets, intervals over targets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from data.activities import FEWEST, Cells, Values, cells_of
from data.measures import Measure, Value
from data.ranking import enrichment, most_active, near_pairs, recall_of_top
from data.recipes.fitness import FitnessEvaluation
from data.retrieval import share_kept, spearman
from data.statistics import bootstrap_means, percentile_interval
from data.store.store import Store
from data.tables import mapping
from flows.aurobind.recipe import AurobindRecipe
from flows.aurobind.state import FAST, LISTWISE, LONGER, RANKER, WHO, Outcome, Screened

ByTarget = dict[str, float]
Of = Callable[[Values, Values], float]  # measured and predicted values of a target
CHOSEN_BY = ("near_accuracy_", "spearman_l")
ALWAYS = ("near_accuracy", "spearman")  # also where no target has one
NO_SCALE = (RANKER,)  # whose values are no pXC50


@dataclass(frozen=True)
class HeldOut:
    """A part that is held out, and what every model says of it."""

    cells: Cells
    said: dict[str, Values]  # by who

    def each(self, who: str, of: Of, only_cliffs: bool = False) -> ByTarget:
        """A figure of every target that has it."""
        found = {}
        for number, name in enumerate(self.cells.targets):
            rows = self.cells.of(number)
            if only_cliffs:
                rows = rows[self.cells.cliff[rows]]
            if len(rows) >= FEWEST:
                value = of(self.cells.value[rows], self.said[who][rows])
                if np.isfinite(value):
                    found[name] = value
        return found


def held_out(store: Store, outcome: Outcome, part: str) -> HeldOut:
    """Out of the store."""
    data = outcome.data
    activities, parts, molecules, proteins = (
        store.table(one) for one in (data.activities, data.parts, data.molecules, data.proteins)
    )
    cells = cells_of(activities, parts, molecules, proteins, part)
    said = {}
    for who, artifact in outcome.predictions.items():
        value = mapping(store.table(artifact), "activity_id", "value")
        said[who] = np.asarray([value[name] for name in cells.ids])
    return HeldOut(cells, said)


def measures(store: Store, recipe: AurobindRecipe, outcome: Outcome) -> dict[str, Measure]:
    """All of a run's."""
    config, samples = recipe.evaluate, recipe.evaluate.bootstrap_samples
    dev, test = (held_out(store, outcome, part) for part in ("dev", "test"))
    made = gains(test, config, "") | gains(dev, config, "dev_")
    for who in outcome.predictions:
        made |= of_model(test, who, config)
    for who in (LISTWISE, LONGER):  # to choose settings by, never on the test part
        figures = of_model(dev, who, config)
        made |= {f"dev_{name}": one for name, one in figures.items() if name.startswith(CHOSEN_BY)}
    if outcome.screened:
        made |= screening(store, outcome.screened, test, config, samples)
    return made | counts(outcome)


def near_of(config: FitnessEvaluation) -> Of:
    low, high = config.near
    return lambda measured, said: near_pairs(measured, said, low, high)[0]


def rank_correlation(measured: Values, said: Values) -> float:
    """Spearman's; 0 where a model says the same of all, NaN where all were measured alike."""
    if np.ptp(measured) == 0:
        return float("nan")
    return spearman(measured, said) if np.ptp(said) else 0.0


def root_mean_square(measured: Values, said: Values) -> float:
    return float(np.sqrt(np.square(measured - said).mean()))


def enriched(config: FitnessEvaluation, share: float) -> Of:
    return lambda measured, said: enrichment(most_active(measured, config.active), said, share)


def gains(held: HeldOut, config: FitnessEvaluation, prefix: str) -> dict[str, Measure]:
    """What the listwise stage has over regression for as many updates, target by target."""
    where = "" if not prefix else ", on the part that settings are chosen on"
    near, samples = near_of(config), config.bootstrap_samples
    accuracy = apart(held.each(LISTWISE, near), held.each(LONGER, near), 100.0)
    ranks = apart(held.each(LISTWISE, rank_correlation), held.each(LONGER, rank_correlation))
    title = "what the listwise stage adds to regression for as many updates"
    low, high = config.near
    return {
        f"{prefix}near_gain": over_targets(
            accuracy,
            samples,
            title=f"{title}: near pairs{where}",
            short=f"{prefix}near gain".replace("_", " "),
            about=f"Points of the pairs of a target whose values are {low:g} to {high:g} log units "
            "apart that are ordered right; a mean over targets, which the interval is over.",
            unit="points",
            better="higher",
            even=0.0,
            group="ranking",
        ),
        f"{prefix}spearman_gain": over_targets(
            ranks,
            samples,
            title=f"{title}: Spearman's rank correlation within a target{where}",
            short=f"{prefix}Spearman gain".replace("_", " "),
            better="higher",
            even=0.0,
            group="ranking",
        ),
    }


def apart(mine: ByTarget, its: ByTarget, times: float = 1.0) -> ByTarget:
    """Differences where both have a figure."""
    return {name: times * (mine[name] - its[name]) for name in mine if name in its}


def of_model(test: HeldOut, who: str, config: FitnessEvaluation) -> dict[str, Measure]:
    """What a model orders right, by the names that end with who it is."""
    samples, name = config.bootstrap_samples, WHO[who]
    figures: dict[str, tuple[ByTarget, str, str]] = {
        "near_accuracy": (test.each(who, near_of(config)), "near pairs ordered right", "share"),
        "spearman": (test.each(who, rank_correlation), "Spearman within a target", ""),
        "spearman_cliffs": (
            test.each(who, rank_correlation, only_cliffs=True),
            "Spearman within a target, compounds of activity cliffs",
            "",
        ),
        "ef5": (test.each(who, enriched(config, 0.05)), "enrichment in the best 5 %", ""),
        "ef1": (test.each(who, enriched(config, 0.01)), "enrichment in the best 1 %", ""),
    }
    if who not in NO_SCALE:
        figures["rmse"] = test.each(who, root_mean_square), "root mean squared error, log units", ""
    return {
        f"{what}_{who}": over_targets(
            values,
            samples,
            title=f"{title}: {name}",
            short=f"{what}, {who}",
            unit=unit,
            better="lower" if what == "rmse" else "higher",
            group="models",
        )
        for what, (values, title, unit) in figures.items()
        if values or what in ALWAYS
    }


def over_targets(values: ByTarget, samples: int, **reads: object) -> Measure:
    """A mean over targets, with a percentile interval of resampled targets."""
    array = np.asarray(list(values.values()))
    means = bootstrap_means(array, samples, np.random.default_rng(0)) if len(array) else None
    return Measure.model_validate(
        {
            "value": float(array.mean()) if len(array) else 0.0,
            "ci95": percentile_interval(means) if means is not None and len(array) > 1 else None,
            "n": len(array),
            "parts": {name: Value(value=value) for name, value in values.items()},
            **reads,
        }
    )


def screening(
    store: Store, screened: Screened, test: HeldOut, config: FitnessEvaluation, samples: int
) -> dict[str, Measure]:
    """How well the fast student stands in for its teacher, and how fast."""
    teacher, student = (test.each(who, enriched(config, 0.05)) for who in (LISTWISE, FAST))
    both = [name for name in teacher if name in student]
    own, its = (np.asarray([one[name] for name in both]) for one in (student, teacher))
    made = {}
    if len(both) and its.sum():
        value, ci95 = share_kept([own], [its], samples)
        made["ef5_kept"] = Measure(
            value=value,
            ci95=ci95,
            n=len(both),
            title="share of the teacher's enrichment in the best 5 % that the fast student keeps",
            short="EF 5 % kept",
            unit="share",
            better="higher",
            group="screening",
        )
    made["recall"] = over_targets(
        recalls(store, screened, config.top),
        samples,
        title=f"of the teacher's best {100 * config.top:g} % of the library, in the fast student's "
        "best 5 %",
        short="recall of the top",
        unit="share",
        better="higher",
        group="screening",
    )
    speed = screened.speed.meta
    made["times_faster"] = Measure(
        value=speed["student"] / speed["teacher"],
        title="compounds that the fast student scores in the time of one of the teacher",
        short="times faster",
        about="Of one core, medians of five; fingerprints are there already for both.",
        better="higher",
        group="screening",
    )
    for who in ("teacher", "student"):
        made[f"per_second_{who}"] = Measure(
            value=speed[who],
            title=f"compounds a second of a core, {who}",
            unit="count",
            group="cost",
        )
    return made


def recalls(store: Store, screened: Screened, top: float) -> ByTarget:
    """Recall of the teacher's top in the student's best 5 % of the library, by target."""
    student, teacher = (store.table(one) for one in (screened.by_student, screened.by_teacher))
    names = np.asarray(student["target"].to_pylist())
    values = [one["value"].to_numpy() for one in (teacher, student)]
    return {
        str(name): recall_of_top(values[0][names == name], values[1][names == name], top, 0.05)
        for name in dict.fromkeys(names.tolist())
    }


def counts(outcome: Outcome) -> dict[str, Measure]:
    """Activities, compounds, updates and parameters."""
    data, models = outcome.data, outcome.models
    meta: Mapping[str, object] = data.activities.meta
    found = {
        "activities": (data.activities.rows, "activities of a compound at a target"),
        "compounds": (meta["molecules"], "compounds"),
        "targets": (meta["targets"], "targets"),
        "learned": (data.parts.meta["train"], "activities to learn from"),
        "held_out": (data.parts.meta["test"], "activities that are measured on"),
        "updates": (models[LISTWISE].meta["steps"], "updates of the listwise stage"),
        "parameters": (models[LISTWISE].meta["parameters"], "parameters of the teacher"),
    }
    return {
        name: Measure.model_validate(
            {"value": value, "title": title, "unit": "count", "group": "cost"}
        )
        for name, (value, title) in found.items()
    }
