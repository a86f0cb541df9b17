"""The kinase activities of Davis et al. 2011 for recipes/aurobind_davis.yaml, of recorded files.

    python -m benchmarks.davis_data --data ../shared/realdata --to .real/davis

writes activities.csv (target, group, smiles, kd in nmol/l) and sequences.csv (target, sequence).
The group is the gene: mutants, phosphorylated forms and domains of one are held out together. A Kd
of 10,000 nmol/l says that nothing was measured below it; such values are ties.
"""

import argparse
import csv
import gzip
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

AFFINITIES = "drug-target_interaction_affinities_Kd__Davis_et_al.2011v1.txt.gz"
LIGANDS, PROTEINS = "ligands_can.txt.gz", "proteins.txt.gz"
# ABL1(T315I)p, JAK1(JH1domain-catalytic), RPS6KA4(Kin.Dom.1-N-terminal), PIK3CA(C420R)
_FORM = re.compile(r"\(.*$|p$")


def gene(target: str) -> str:
    """The gene of a construct's name."""
    return _FORM.sub("", target) or target


def read(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def convert(data: Path, to: Path) -> tuple[int, int]:
    """Write both files; returns how many compounds and targets there are.

    Raises ValueError where the matrix is not compounds by targets.
    """
    ligands = list(json.loads(read(data / LIGANDS)).values())
    proteins = json.loads(read(data / PROTEINS))
    matrix = [line.split() for line in read(data / AFFINITIES).splitlines() if line.strip()]
    if len(matrix) != len(ligands) or {len(row) for row in matrix} != {len(proteins)}:
        raise ValueError(f"{data / AFFINITIES}: is not {len(ligands)} x {len(proteins)} numbers")
    to.mkdir(parents=True, exist_ok=True)
    write(
        to / "activities.csv",
        ("target", "group", "smiles", "kd"),
        (
            (target, gene(target), smiles, value)
            for smiles, row in zip(ligands, matrix, strict=True)
            for target, value in zip(proteins, row, strict=True)
        ),
    )
    write(to / "sequences.csv", ("target", "sequence"), proteins.items())
    return len(ligands), len(proteins)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/realdata"))
    parser.add_argument("--to", type=Path, default=Path(".real/davis"))
    given = parser.parse_args()
    compounds, targets = convert(given.data / "davis", given.to)
    print(f"{compounds} compounds at {targets} kinases in {given.to}")  # noqa: T201


if __name__ == "__main__":
    main()
