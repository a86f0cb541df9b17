"""Screening: clusters, a fast student, the library by it, and its best by the teacher again."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.activities import Numbers
from data.activity_schemas import CENTROIDS, HITS, LIBRARY_SCORES, PREDICTIONS, TRUNKS
from data.fingerprints import SetBits, centroids, nearest, tanimoto
from data.recipes.fitness import CascadeConfig, FastConfig
from data.retrieval import matrix
from data.store.artifacts import Artifact
from data.tables import index_by, mapping
from tasks.fitness import HELD_OUT, cells, fingerprints_of, read_by_networks
from tasks.stage import Context, Rows, stage

if TYPE_CHECKING:
    from models.fitness.fast import Prior

ACTIVE = 6.0  # pXC50 from which on a learned compound is a known active: a micromole in a litre
_TIMED = 4096  # compounds, at most


@stage(CENTROIDS, version="1", rows="molecules")
def find_centroids(ctx: Context, *, molecules: Artifact, number: int, similarity: float) -> Rows:
    """In: MOLECULES. Out: CENTROIDS, of the `number` largest clusters that nearest to each."""
    rows, ids = fingerprints_of(ctx, molecules), ctx.table(molecules)["molecule_id"].to_pylist()
    led = centroids(rows, similarity, number)
    place = nearest(rows, rows[led])
    found = pa.table([ids, [ids[led[one]] for one in place]], schema=CENTROIDS)
    return Rows(found, {"centroids": len(led)})


@stage(TRUNKS, version="1", model=True)
def read_centroids(
    ctx: Context, *, teacher: Artifact, centroids: Artifact, molecules: Artifact, proteins: Artifact
) -> Rows:
    """In: a teacher, CENTROIDS. Out: TRUNKS, what it makes of each at every target."""
    from models.fitness.networks import load_teacher
    from models.fitness.training import predict_with_trunk

    compounds = read_by_networks(ctx, molecules, proteins)
    model = load_teacher(ctx.path(teacher), compounds.bits.device)
    place = index_by(ctx.table(molecules), "molecule_id")
    names = sorted(set(ctx.table(centroids)["centroid_id"].to_pylist()))
    targets = ctx.table(proteins)["target"].to_pylist()
    molecule = np.tile(np.asarray([place[name] for name in names], np.int64), len(targets))
    target = np.repeat(np.arange(len(targets)), len(names))
    values, features = predict_with_trunk(model, compounds, molecule, target, keep=True)
    columns = [[targets[one] for one in target], names * len(targets), values, list(features)]
    return Rows(pa.table(columns, schema=TRUNKS))


def prior_of(
    ctx: Context, trunks: Artifact | None, near: Artifact | None, molecules: Artifact
) -> "Prior | None":
    """The features of the centroids as a student is given them; None: it is given none."""
    if trunks is None or near is None:
        return None
    from models.fitness.fast import Prior
    from models.hardware import device_of

    table, ids = ctx.table(trunks), ctx.table(molecules)["molecule_id"].to_pylist()
    said = index_by(ctx.table(near), "molecule_id")
    led = ctx.table(near)["centroid_id"].to_pylist()
    names = sorted(set(led))
    place = {name: number for number, name in enumerate(names)}
    features = matrix(table["vector"]).reshape(-1, len(names), len(table["vector"][0]))
    numbers = np.asarray([place[led[said[name]]] for name in ids], np.int64)
    return Prior.of(features.copy(), numbers, device_of(ctx.runtime))


@stage("fast", version="1", model=True, rows="activities")
def distil_fast(
    ctx: Context,
    *,
    teacher: Artifact,
    trunks: Artifact | None,
    centroids: Artifact | None,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    config: FastConfig,
    seed: int,
) -> dict[str, Any]:
    """In: a teacher, and what it makes of centroids. Out: the fast student, by what the teacher
    says of the activities to learn and of random pairs of their compounds and any target."""
    from models.fitness.fast import fit_fast
    from models.fitness.networks import load_teacher

    compounds = read_by_networks(ctx, molecules, proteins)
    own = cells(ctx, activities, parts, molecules, proteins, "train")
    rng, known = np.random.default_rng(seed), np.unique(own.molecule)
    target = rng.integers(0, len(own.targets), config.pairs)
    return fit_fast(
        ctx.out,
        teacher=load_teacher(ctx.path(teacher), compounds.bits.device),
        compounds=compounds,
        set_bits=SetBits.of(fingerprints_of(ctx, molecules)),
        prior=prior_of(ctx, trunks, centroids, molecules),
        molecule=np.concatenate([own.molecule, rng.choice(known, config.pairs)]),
        target=np.concatenate([own.target, target]),
        config=config,
        seed=seed,
        on_progress=ctx.on_progress,
    )


@stage(PREDICTIONS, version="1", model=True, rows="activities")
def predict_fast_held_out(
    ctx: Context,
    *,
    student: Artifact,
    trunks: Artifact | None,
    centroids: Artifact | None,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
) -> Rows:
    """In: the fast student. Out: PREDICTIONS of the activities that are held out."""
    own = [cells(ctx, activities, parts, molecules, proteins, part) for part in HELD_OUT]
    molecule, target = (np.concatenate([getattr(one, name) for one in own])
                        for name in ("molecule", "target"))  # fmt: skip
    prior = prior_of(ctx, trunks, centroids, molecules)
    found = _by_student(ctx, student, prior, molecules, proteins, molecule, target)
    ids = [name for one in own for name in one.ids]
    return Rows(pa.table([ids, found], schema=PREDICTIONS), {"predicted": len(ids)})


def _by_student(
    ctx: Context,
    student: Artifact,
    prior: "Prior | None",
    molecules: Artifact,
    proteins: Artifact,
    molecule: Numbers,
    target: Numbers,
) -> Any:
    from models.fitness.fast import predict_fast
    from models.fitness.networks import load_fast

    compounds = read_by_networks(ctx, molecules, proteins)
    model = load_fast(ctx.path(student), compounds.bits.device)
    set_bits = SetBits.of(fingerprints_of(ctx, molecules))
    return predict_fast(model, compounds, set_bits, prior, molecule, target)


def library_of(
    ctx: Context, activities: Artifact, parts: Artifact, molecules: Artifact, part: str
) -> Numbers:
    """Rows of the compounds whose every activity is of this part; where there is none, of all."""
    said = mapping(ctx.table(parts), "activity_id", "part")
    table = ctx.table(activities)
    columns = (table[name].to_pylist() for name in ("activity_id", "molecule_id"))
    elsewhere = {molecule for name, molecule in zip(*columns, strict=True) if said[name] != part}
    ids = ctx.table(molecules)["molecule_id"].to_pylist()
    rows = [row for row, name in enumerate(ids) if name not in elsewhere]
    return np.asarray(rows or range(len(ids)), np.int64)


@stage(LIBRARY_SCORES, version="1", model=True)
def score_library(
    ctx: Context,
    *,
    model: Artifact,
    trunks: Artifact | None,
    centroids: Artifact | None,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    part: str,
) -> Rows:
    """In: a teacher or a fast student. Out: LIBRARY_SCORES, of every compound of a part that is
    held out, at every target."""
    from models.fitness.networks import load_teacher
    from models.fitness.training import predict

    library = library_of(ctx, activities, parts, molecules, part)
    targets = ctx.table(proteins)["target"].to_pylist()
    molecule = np.tile(library, len(targets))
    target = np.repeat(np.arange(len(targets)), len(library))
    if model.kind == "fast":
        prior = prior_of(ctx, trunks, centroids, molecules)
        found = _by_student(ctx, model, prior, molecules, proteins, molecule, target)
    else:
        compounds = read_by_networks(ctx, molecules, proteins)
        teacher = load_teacher(ctx.path(model), compounds.bits.device)
        found = predict(teacher, compounds, molecule, target)
    ids = ctx.table(molecules)["molecule_id"].to_pylist()
    columns = [[targets[one] for one in target], [ids[one] for one in molecule], found]
    return Rows(pa.table(columns, schema=LIBRARY_SCORES), {"library": len(library)})


@stage(HITS, version="1", model=True, rows="scores")
def screen(
    ctx: Context,
    *,
    scores: Artifact,
    teacher: Artifact,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    config: CascadeConfig,
) -> Rows:
    """In: LIBRARY_SCORES of the fast student, the teacher. Out: HITS, its best of each target
    scored again by the teacher, in that order, and what each is left out by."""
    from models.fitness.networks import load_teacher
    from models.fitness.training import predict

    table, known = ctx.table(scores), ctx.table(molecules)
    targets, place = index_by(ctx.table(proteins), "target"), index_by(known, "molecule_id")
    names, values = np.asarray(table["target"].to_pylist()), table["value"].to_numpy()
    compound = np.asarray([place[one] for one in table["molecule_id"].to_pylist()], np.int64)
    compounds = read_by_networks(ctx, molecules, proteins)
    model = load_teacher(ctx.path(teacher), compounds.bits.device)
    own = cells(ctx, activities, parts, molecules, proteins, "train")
    fingerprints, described = fingerprints_of(ctx, molecules), known.to_pylist()
    rows: list[dict[str, Any]] = []
    for name, number in targets.items():
        cell = np.flatnonzero(names == name)
        room = max(1, round(config.share * len(cell)))
        best = cell[np.argsort(-values[cell], kind="stable")[:room]]
        again = predict(model, compounds, compound[best], np.full(len(best), number))
        learned = own.molecule[(own.target == number) & (own.value >= ACTIVE)]
        kept = 0
        for rank, one in enumerate(np.argsort(-again, kind="stable"), start=1):
            row = described[compound[best[one]]]
            out = left_out(row, config)
            if not out and config.max_similarity < 1 and len(learned):
                alike = tanimoto(fingerprints[compound[best[one]]], fingerprints[learned])
                out = "similarity" if alike.max() > config.max_similarity else ""
            if not out and kept == config.keep:
                out = "rank"
            kept += not out
            rows.append({"target": name, "molecule_id": row["molecule_id"],
                         "smiles": row["smiles"], "rank": rank, "out": out,
                         "fast_value": float(values[best[one]]),
                         "value": float(again[one])})  # fmt: skip
    reasons = [row["out"] or "kept" for row in rows]
    counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    return Rows(rows, {"rescored": len(rows)} | counts)


def left_out(row: dict[str, Any], config: CascadeConfig) -> str:
    """The first property of MOLECULES that a compound is left out by; "": none."""
    beyond = {
        "weight": row["weight"] < config.min_weight,
        "clogp": row["clogp"] > config.max_clogp,
        "donors": row["donors"] > config.max_donors,
        "acceptors": row["acceptors"] > config.max_acceptors,
    }
    return next((name for name, is_out in beyond.items() if is_out), "")


@stage("speed", version="1", model=True)
def clock(
    ctx: Context,
    *,
    teacher: Artifact,
    student: Artifact,
    trunks: Artifact | None,
    centroids: Artifact | None,
    activities: Artifact,
    parts: Artifact,
    molecules: Artifact,
    proteins: Artifact,
    part: str,
) -> dict[str, Any]:
    """In: teacher and student. Out: speed.json, compounds that each scores in a second."""
    from models.fitness.fast import speeds
    from models.fitness.networks import load_fast, load_teacher

    compounds = read_by_networks(ctx, molecules, proteins)
    device = compounds.bits.device
    found = speeds(
        load_teacher(ctx.path(teacher), device),
        load_fast(ctx.path(student), device),
        compounds,
        SetBits.of(fingerprints_of(ctx, molecules)),
        prior_of(ctx, trunks, centroids, molecules),
        library_of(ctx, activities, parts, molecules, part)[:_TIMED],
    )
    (ctx.out / "speed.json").write_text(json.dumps(found, sort_keys=True))
    return found
