"""Davis' kinases as tables of activities: every compound at every kinase, genes together."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from benchmarks.davis_data import AFFINITIES, LIGANDS, PROTEINS, convert, gene
from data.readers.activities import check_sequences, read_activities
from data.recipes.fitness import ActivityColumns
from tests.repository import ROOT

SHARED = ROOT.parent / "shared" / "realdata" / "davis"
COLUMNS = ActivityColumns(value="kd", unit="nm")


def save(folder: Path, matrix: str) -> Path:
    folder.mkdir()
    texts = {
        AFFINITIES: matrix,
        LIGANDS: json.dumps({"7": "CCO", "9": "CCN"}),
        PROTEINS: json.dumps({"ABL1": "ACD", "ABL1(T315I)p": "ACE", "ALK": "GGG"}),
    }
    for name, text in texts.items():
        with gzip.open(folder / name, "wt") as file:
            file.write(text)
    return folder


def test_rows_are_compounds_and_columns_kinases(tmp_path):
    assert convert(save(tmp_path / "davis", "1 10 10000\n100 2 3\n"), tmp_path / "to") == (2, 3)
    rows = list(read_activities(tmp_path / "to" / "activities.csv", COLUMNS))
    assert [(x.smiles, x.target, x.group, round(x.pxc50, 4)) for x in rows] == [
        ("CCO", "ABL1", "ABL1", 9.0), ("CCO", "ABL1(T315I)p", "ABL1", 8.0),
        ("CCO", "ALK", "ALK", 5.0),
        ("CCN", "ABL1", "ABL1", 7.0), ("CCN", "ABL1(T315I)p", "ABL1", 8.699),
        ("CCN", "ALK", "ALK", 8.5229),
    ]  # fmt: skip
    sequences = check_sequences(tmp_path / "to" / "sequences.csv", ["ALK", "ABL1"])
    assert sequences == {"ALK": "GGG", "ABL1": "ACD"}


def test_a_matrix_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not 2 x 3 numbers"):
        convert(save(tmp_path / "davis", "1 10\n100 2\n"), tmp_path / "to")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("ABL1(T315I)p", "ABL1"), ("ABL1p", "ABL1"), ("JAK1(JH1domain-catalytic)", "JAK1"),
     ("RPS6KA4(Kin.Dom.1-N-terminal)", "RPS6KA4"), ("AKT1", "AKT1"), ("p38-alpha", "p38-alpha")],
)  # fmt: skip
def test_forms_of_one_gene_stay_together(name, wanted):
    assert gene(name) == wanted


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/realdata/davis here")
def test_the_recorded_files_are_what_they_are_known_to_be(tmp_path):
    assert convert(SHARED, tmp_path) == (68, 442)
    with (tmp_path / "activities.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30_056 and len({row["group"] for row in rows}) < 400
