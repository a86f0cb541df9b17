"""A teacher of binding: fitted, asked how sure it is, tuned by lists, compared."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.activities import Cells, cells_of, ranked_lists, target_vectors
from data.activity_schemas import CONFIDENCES, PREDICTIONS, RANK_LISTS
from data.errors import InputError
from data.fingerprints import Packed, packed
from data.recipes.fitness import (
    FitConfig,
    ListsConfig,
    Objective,
    PreferenceConfig,
    RankerConfig,
)
from data.retrieval import Vectors
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.stage import Context, Rows, stage

if TYPE_CHECKING:
    from models.fitness.training import Compounds

HELD_OUT = ("dev", "test")


def fingerprints_of(ctx: Context, molecules: Artifact) -> Packed:
    """(molecules, bits / 8), in the order of the table."""
    return packed(ctx.table(molecules)["fingerprint"])


def vectors_of(ctx: Context, proteins: Artifact) -> Vectors:
    """(targets, d), in the order of the table."""
    return target_vectors(ctx.table(proteins))


def read_by_networks(ctx: Context, molecules: Artifact, proteins: Artifact) -> "Compounds":
    """Compounds and targets as networks read them."""
    from models.fitness.training import Compounds

    return Compounds.of(fingerprints_of(ctx, molecules), vectors_of(ctx, proteins), ctx.runtime)


def cells(
    ctx: Context,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    part: str,
) -> Cells:
    """The activities of a part."""
    measured, said, known, targets = (
        ctx.table(one) for one in (activities, parts, molecules, proteins)
    )
    return cells_of(measured, said, known, targets, part)


@stage("fitness", version="1", model=True, rows="activities")
def fit_fitness(
    ctx: Context,
    *,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    config: FitConfig,
    share: float,
    seed: int,
) -> dict[str, Any]:
    """In: ACTIVITIES and what they are of. Out: a teacher that has learned a share of those to
    learn, by regression."""
    from models.fitness.training import fit_teacher

    return fit_teacher(
        ctx.out,
        compounds=read_by_networks(ctx, molecules, proteins),
        cells=cells(ctx, activities, parts, molecules, proteins, "train"),
        config=config,
        share=share,
        seed=seed,
        on_progress=ctx.on_progress,
    )


@stage(CONFIDENCES, version="1", model=True, rows="activities")
def estimate_confidence(
    ctx: Context,
    *,
    members: list[Artifact],
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
) -> Rows:
    """In: teachers of one kind. Out: CONFIDENCES of the activities to learn.

    A confidence is the share of these activities whose predictions spread as much or more, so that
    a threshold is the share of them that is left out. AuroBind's comes from predicted structures;
    an ensemble's in its place is our reconstruction.
    """
    from models.fitness.networks import load_teacher
    from models.fitness.training import predict

    own = cells(ctx, activities, parts, molecules, proteins, "train")
    compounds = read_by_networks(ctx, molecules, proteins)
    said = []
    for one in members:
        model = load_teacher(ctx.path(one), compounds.bits.device)
        said.append(predict(model, compounds, own.molecule, own.target))
    spread = np.std(said, axis=0)
    below = np.searchsorted(np.sort(spread), spread, side="left")
    confidence = 1 - below / len(spread)
    columns = [own.ids, np.mean(said, axis=0), spread, confidence]
    return Rows(pa.table(columns, schema=CONFIDENCES), {"members": len(members)})


@stage(RANK_LISTS, version="1")
def rank_lists(
    ctx: Context,
    *,
    activities: Artifact,
    parts: Artifact,
    confidences: Artifact | None,
    config: ListsConfig,
    seed: int,
) -> Rows:
    """In: ACTIVITIES, and CONFIDENCES where some are to be left out. Out: RANK_LISTS of those to
    learn, per target. InputError where no list can be made."""
    said = mapping(ctx.table(parts), "activity_id", "part")
    table = ctx.table(activities)
    sure = mapping(ctx.table(confidences), "activity_id", "confidence") if confidences else {}
    by_target: dict[str, list[tuple[str, float]]] = {}
    counts = {"unsure": 0, "short_targets": 0, "ranked": 0}
    names = ("activity_id", "target", "pxc50")
    for name, target, value in zip(*(table[one].to_pylist() for one in names), strict=True):
        if said[name] != "train":
            continue
        if sure.get(name, 1.0) < config.min_confidence:
            counts["unsure"] += 1
        else:
            by_target.setdefault(target, []).append((name, value))
    rng, rows, made = np.random.default_rng(seed), [], 0
    for target in sorted(by_target):
        ids, values = zip(*by_target[target], strict=True)
        lists = ranked_lists(np.asarray(values), config.size, config.repeats, config.span, rng)
        counts["short_targets"] += not lists
        counts["ranked"] += len(ids) if lists else 0
        for one in lists:
            rows += [(str(made), target, ids[place], rank) for rank, place in enumerate(one)]
            made += 1
    if not made:
        raise InputError(
            f"lists.size: no target has {config.size} activities to learn that are sure enough; "
            "make it smaller, or lists.min_confidence"
        )
    columns = list(map(list, zip(*rows, strict=True)))
    return Rows(pa.table(columns, schema=RANK_LISTS), counts | {"lists": made})


@stage("fitness", version="1", model=True, rows="lists")
def tune_fitness(
    ctx: Context,
    *,
    start: Artifact,
    lists: Artifact,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    config: PreferenceConfig,
    objective: Objective,
    seed: int,
) -> dict[str, Any]:
    """In: a teacher, RANK_LISTS. Out: the teacher after as many updates as there are batches of
    lists, by their order or by the values of the same rows."""
    from models.fitness.training import tune_teacher

    own = cells(ctx, activities, parts, molecules, proteins, "train")
    place = {name: row for row, name in enumerate(own.ids)}
    table = ctx.table(lists)
    size = table["rank"].to_numpy().max() + 1
    rows = np.asarray([place[name] for name in table["activity_id"].to_pylist()], np.int64)
    return tune_teacher(
        ctx.out,
        start=ctx.path(start),
        compounds=read_by_networks(ctx, molecules, proteins),
        cells=own,
        lists=rows.reshape(-1, size),
        config=config,
        objective=objective,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
    )


@stage("ranker", version="1", model=True, rows="activities")
def fit_ranker(
    ctx: Context,
    *,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    config: RankerConfig,
    lightgbm: str,
    seed: int,
) -> dict[str, Any]:
    """In: as `fit_fitness`. Out: LightGBM's LambdaRank; `lightgbm`: its version."""
    from models.fitness.ranker import fit_ranker as fit

    own = cells(ctx, activities, parts, molecules, proteins, "train")
    given = fingerprints_of(ctx, molecules), vectors_of(ctx, proteins)
    return fit(ctx.out, *given, own, config, seed)


@stage(PREDICTIONS, version="1", model=True, rows="activities")
def predict_held_out(
    ctx: Context,
    *,
    model: Artifact,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
) -> Rows:
    """In: a teacher or a ranker. Out: PREDICTIONS of the activities that are held out."""
    own = [cells(ctx, activities, parts, molecules, proteins, part) for part in HELD_OUT]
    molecule, target = (np.concatenate([getattr(one, name) for one in own])
                        for name in ("molecule", "target"))  # fmt: skip
    if model.kind == "ranker":
        from models.fitness.ranker import predict_ranker

        given = fingerprints_of(ctx, molecules), vectors_of(ctx, proteins)
        found = predict_ranker(ctx.path(model), *given, molecule, target)
    else:
        from models.fitness.networks import load_teacher
        from models.fitness.training import predict

        compounds = read_by_networks(ctx, molecules, proteins)
        teacher = load_teacher(ctx.path(model), compounds.bits.device)
        found = predict(teacher, compounds, molecule, target)
    ids = [name for one in own for name in one.ids]
    return Rows(pa.table([ids, found], schema=PREDICTIONS), {"predicted": len(ids)})
