"""What a run of LEAF has measured: nDCG by query out of the store, and measures of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.measures import Measure, Value
from data.retrieval import share_kept
from data.statistics import dataset_mean
from data.store.artifacts import Artifact
from data.store.store import Store
from flows.leaf.recipe import LeafRecipe
from flows.leaf.state import ASYMMETRIC, MODES, STANDARD, TEACHER, UNTRAINED, Outcome

Cell = tuple[int, str]  # dimensions, precision
ByQuery = npt.NDArray[np.float64]
WHO = {
    TEACHER: "the teacher alone",
    ASYMMETRIC: "the student's queries, the teacher's documents",
    STANDARD: "the student alone",
    UNTRAINED: "the student before it has learnt",
}


@dataclass(frozen=True)
class Found:
    """nDCG of every query of a collection, by mode and by how the vectors are kept."""

    name: str
    by_mode: dict[str, dict[Cell, ByQuery]]

    @property
    def whole(self) -> Cell:
        """All dimensions in float32."""
        return max(size for size, _ in self.by_mode[TEACHER]), "float32"

    def of(self, mode: str) -> ByQuery:
        return self.by_mode[mode][self.whole]

    def mean(self, mode: str, cell: Cell | None = None) -> float:
        return float(self.by_mode[mode][cell or self.whole].mean())


def found_in(store: Store, outcome: Outcome) -> list[Found]:
    """The figures of every collection, out of the store."""
    return [
        Found(one.name, {mode: _cells(store, table) for mode, table in one.retrieved.items()})
        for one in outcome.collections
    ]


def _cells(store: Store, artifact: Artifact) -> dict[Cell, ByQuery]:
    table = store.table(artifact).select(["dimensions", "precision", "ndcg"])
    found: dict[Cell, list[float]] = {}
    columns = (table[name].to_pylist() for name in table.column_names)
    for size, precision, ndcg in zip(*columns, strict=True):
        found.setdefault((size, precision), []).append(ndcg)
    return {cell: np.asarray(values) for cell, values in found.items()}


def measures(
    recipe: LeafRecipe, outcome: Outcome, collections: Sequence[Found]
) -> dict[str, Measure]:
    """All of a run's."""
    samples, k = recipe.evaluate.bootstrap_samples, recipe.evaluate.k
    made = {
        f"kept_{mode}": _kept(mode, collections, samples, k)
        for mode in (ASYMMETRIC, STANDARD, UNTRAINED)
    }
    made |= {f"ndcg_{mode}": _ndcg(mode, collections, samples, k) for mode in MODES}
    made["asymmetric_gain"] = _gain(collections, samples, k)
    if gap := _gap(collections):
        made["kept_when_cut"] = gap
    for who in ("teacher", "student", "start") if outcome.pairs else ():
        made[f"spearman_{who}"] = _correlation(who, outcome)
    made["cosine"] = _cosine(outcome)
    return made | counts(outcome)


def _kept(mode: str, collections: Sequence[Found], samples: int, k: int) -> Measure:
    def share(some: Sequence[Found]) -> dict[str, Any]:
        value, ci95 = share_kept(
            [one.of(mode) for one in some], [one.of(TEACHER) for one in some], samples
        )
        return {"value": value, "ci95": ci95, "n": sum(len(one.of(mode)) for one in some)}

    titles = {ASYMMETRIC: "with the teacher's documents", STANDARD: "by the student alone",
              UNTRAINED: "by the student before it has learnt"}  # fmt: skip
    return Measure(
        **share(collections),
        title=f"share of the teacher's nDCG@{k} that is kept {titles[mode]}",
        short=f"kept, {mode}",
        about="A mean over the collections; the interval is over their queries.",
        unit="share",
        better=None if mode == UNTRAINED else "higher",
        group="encoder",
        parts={one.name: Value(**share([one])) for one in collections},
    )


def _ndcg(mode: str, collections: Sequence[Found], samples: int, k: int) -> Measure:
    values = np.concatenate([one.of(mode) for one in collections]).tolist()
    names = [one.name for one in collections for _ in one.of(mode)]
    return _mean(
        dataset_mean(values, names, samples),
        title=f"nDCG@{k} of {WHO[mode]}",
        short=f"nDCG, {mode}",
        better="higher",
        group="encoder",
    )


def _gain(collections: Sequence[Found], samples: int, k: int) -> Measure:
    apart = [100 * (one.of(ASYMMETRIC) - one.of(STANDARD)) for one in collections]
    names = [one.name for one in collections for _ in one.of(STANDARD)]
    return _mean(
        dataset_mean(np.concatenate(apart).tolist(), names, samples),
        title="what the teacher's documents add to the student's queries",
        short="asymmetric gain",
        about=f"Points of nDCG@{k} over the student's own documents, query by query.",
        unit="points",
        better="higher",
        even=0.0,
        group="encoder",
    )


def _gap(collections: Sequence[Found]) -> Measure | None:
    """By how much more of its nDCG the student loses than the teacher, where it loses most more."""
    gaps = {
        one.name: max(
            100 * (share_of(one, TEACHER, cell) - share_of(one, STANDARD, cell))
            for cell in one.by_mode[TEACHER]
        )
        for one in collections
        if len(one.by_mode[TEACHER]) > 1
    }
    if not gaps:
        return None
    return Measure(
        value=max(gaps.values()),
        title="most that the student loses beyond its teacher when vectors are cut and quantised",
        short="lost when cut",
        about="Points of what each has with all dimensions in float32, over all of the grid.",
        unit="points",
        better="lower",
        group="encoder",
        parts={name: Value(value=gap) for name, gap in gaps.items()},
    )


def share_of(one: Found, mode: str, cell: Cell) -> float:
    """nDCG of a mode in a cell over its own with all dimensions in float32."""
    whole = one.mean(mode)
    return one.mean(mode, cell) / whole if whole else 0.0


def _correlation(who: str, outcome: Outcome) -> Measure:
    found = {one.name: one.correlations[who].meta for one in outcome.pairs}
    parts = {
        name: Value(value=x["spearman"], ci95=tuple(x["ci95"]), n=x["pairs"])
        for name, x in found.items()
    }
    only = next(iter(parts.values()))
    names = {"start": "the student before it has learnt"}
    return Measure(
        value=float(np.mean([one.value for one in parts.values()])),
        ci95=only.ci95 if len(parts) == 1 else None,
        n=sum(one.n or 0 for one in parts.values()),
        title=f"rank correlation of {names.get(who, f'the {who}')} with people's scores of pairs",
        short=f"Spearman, {who}",
        better="higher",
        group="encoder",
        parts=parts,
    )


def _cosine(outcome: Outcome) -> Measure:
    metas = {one.name: one.fidelity.meta for one in outcome.collections if one.fidelity}
    return Measure(
        value=float(np.mean([one["cosine"] for one in metas.values()])),
        n=sum(one["texts"] for one in metas.values()),
        title="cosine of the student's vectors and the teacher's, of the collections' texts",
        short="cosine",
        better="higher",
        group="encoder",
        parts={name: Value(value=x["cosine"], n=x["texts"]) for name, x in metas.items()},
    )


def _mean(found: Mapping[str, Any], **reads: Any) -> Measure:
    """Of a mean over data sets with its interval."""
    parts = {
        name: Value(value=x["mean"], ci95=x["ci95"], n=x["n"])
        for name, x in found["by_dataset"].items()
    }
    return Measure(value=found["mean"], ci95=found["ci95"], n=found["n"], parts=parts, **reads)


def counts(outcome: Outcome) -> dict[str, Measure]:
    """Texts and parameters."""
    sides = {side: Value(value=table.rows or 0) for side, table in outcome.texts.items()}
    meta = outcome.start.meta
    found = {
        "texts": Measure(
            value=sum(one.value for one in sides.values()), title="texts learned", parts=sides
        ),
        "parameters": Measure(value=meta["parameters"], title="parameters of the student"),
        "teacher_parameters": Measure(
            value=meta["teacher_parameters"], title="parameters of the teacher"
        ),
    }
    return {
        name: one.model_copy(update={"unit": "count", "group": "cost"})
        for name, one in found.items()
    }
