"""Activities of compounds at targets: read or made, described, parted."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.activities import FEWEST, groups_in_parts, kmer_vectors
from data.activity_schemas import ACTIVITIES, ACTIVITY_PARTS, MOLECULES, PROTEINS
from data.errors import InputError
from data.readers.activities import Measured, check_sequences, read_activities
from data.readers.retrieval import text_id
from data.recipes.fitness import (
    ActivityColumns,
    FingerprintConfig,
    Kmers,
    SplitConfig,
    SyntheticConfig,
    TargetsConfig,
)
from data.store.artifacts import Artifact
from data.synthetic_activities import synthetic_activities
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


@stage(ACTIVITIES, version="1", rows="source")
def import_activities(
    ctx: Context, *, source: External, columns: ActivityColumns, max_unreadable: float, rdkit: str
) -> Rows:
    """In: tables of activities. Out: ACTIVITIES, each compound once at a target.

    `rdkit`: its version, by which a compound is written. A row whose SMILES it cannot read is left
    out and counted; InputError where these are more than `max_unreadable` of all.
    """
    found = merged(list(read_activities(Path(source.path), columns)))
    lost, rows = found.counts["unreadable"], found.counts["rows"]
    if lost > max_unreadable * rows:
        raise InputError(
            f"{source.field}: RDKit cannot read the SMILES of {lost} of {rows} rows, the first at "
            f"{found.counts['first_unreadable'][0]}; correct them, or set activities.max_unreadable"
        )
    return found


def _cells(inputs: Mapping[str, Any]) -> int:
    config: SyntheticConfig = inputs["config"]
    return config.molecules * config.targets


@stage(ACTIVITIES, version="1", rows=_cells)
def make_activities(ctx: Context, *, config: SyntheticConfig, rdkit: str) -> Rows:
    """Out: ACTIVITIES that were never measured (`data.synthetic_activities`)."""
    return merged(synthetic_activities(config))


def merged(rows: list[Measured]) -> Rows:
    """ACTIVITIES of these rows: the mean of a compound's values at a target, and whether any of
    them is of a cliff. Counts: rows = unreadable + repeated + activities."""
    from models.fitness.chemistry import canonical

    written: dict[str, str | None] = {}
    found: dict[tuple[str, str], list[Measured]] = {}
    lost: list[str] = []
    for row in rows:
        if row.smiles not in written:
            written[row.smiles] = canonical(row.smiles)
        smiles = written[row.smiles]
        if smiles is None:
            lost.append(row.place)
        else:
            found.setdefault((row.target, smiles), []).append(row)
    made = []
    for (target, smiles), same in found.items():
        molecule = text_id(smiles)
        said = [one.cliff for one in same if one.cliff is not None]
        value = float(np.mean([one.pxc50 for one in same]))
        made.append((f"{target}:{molecule}", target, same[0].group, molecule, smiles, value,
                     any(said) if said else None))  # fmt: skip
    counts = {
        "rows": len(rows),
        "unreadable": len(lost),
        "repeated": len(rows) - len(lost) - len(made),
        "targets": len({one[1] for one in made}),
        "molecules": len({one[3] for one in made}),
    }
    columns = list(map(list, zip(*made, strict=True))) if made else [[] for _ in ACTIVITIES]
    return Rows(pa.table(columns, schema=ACTIVITIES), counts | {"first_unreadable": lost[:1]})


@stage(MOLECULES, version="1", rows="activities")
def describe_molecules(
    ctx: Context, *, activities: Artifact, config: FingerprintConfig, rdkit: str
) -> Rows:
    """In: ACTIVITIES. Out: MOLECULES, every compound once, in order of first appearance."""
    from models.fitness.chemistry import Describer

    describe, table = Describer(config), ctx.table(activities)
    smiles = dict(zip(table["molecule_id"].to_pylist(), table["smiles"].to_pylist(), strict=True))
    made = []
    for number, (name, text) in enumerate(smiles.items(), start=1):
        made.append((name, text, *describe(text)))
        if ctx.on_progress and number % 1000 == 0:
            ctx.on_progress(number, len(smiles))
    columns = list(map(list, zip(*made, strict=True)))
    table = pa.table(columns, schema=MOLECULES)
    return Rows(table, {"scaffolds": len(set(table["scaffold"].to_pylist()))})


@stage(ACTIVITY_PARTS, version="1", rows="activities")
def part_activities(
    ctx: Context, *, activities: Artifact, molecules: Artifact, config: SplitConfig, seed: int
) -> Rows:
    """In: ACTIVITIES, MOLECULES. Out: ACTIVITY_PARTS.

    InputError where there are too few scaffolds or targets to hold some out, or too few activities.
    """
    table, known = ctx.table(activities), ctx.table(molecules)
    if config.by == "scaffold":
        of = dict(zip(known["molecule_id"].to_pylist(), known["scaffold"].to_pylist(), strict=True))
        # A compound without a ring is a group of its own.
        groups = [of[name] or f" {name}" for name in table["molecule_id"].to_pylist()]
    else:
        groups = table["group"].to_pylist()
    parts = groups_in_parts(groups, config.dev, config.test, seed)
    said = [parts[one] for one in groups]
    counts = {name: said.count(name) for name in ("train", "dev", "test")}
    if not all(counts.values()):
        raise InputError(
            f"split: {len(parts)} {config.by}s are too few to hold some out; bring more activities"
        )
    tested = Counter(
        name for name, part in zip(table["target"].to_pylist(), said, strict=True) if part == "test"
    )
    if max(tested.values()) < FEWEST:
        raise InputError(
            f"split.test: no target has {FEWEST} activities that are held out, by which it could "
            "be measured; bring more, or hold out a greater share"
        )
    made = pa.table([table["activity_id"], pa.array(said)], schema=ACTIVITY_PARTS)
    return Rows(made, counts)


@stage(PROTEINS, version="1")
def describe_targets(
    ctx: Context, *, activities: Artifact, sequences: External | None, config: TargetsConfig
) -> Rows:
    """In: ACTIVITIES, and a file of sequences where pieces of them describe a target. Out:
    PROTEINS, in order of their names."""
    names = sorted(set(ctx.table(activities)["target"].to_pylist()))
    if isinstance(config, Kmers):
        assert sequences is not None
        known = check_sequences(sequences.path, names)
        vectors = kmer_vectors([known[name] for name in names], config.k)
    else:
        vectors = np.eye(len(names), dtype=np.float32)
    table = pa.table([names, list(vectors)], schema=PROTEINS)
    return Rows(table, {"dimensions": vectors.shape[1]})
