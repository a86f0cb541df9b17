"""Activity tables: units, places of mistakes, whole scaffolds held out, lists of near ties."""

import importlib.metadata
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.activities import groups_in_parts, kmer_vectors, ranked_lists
from data.errors import InputError
from data.readers.activities import (
    activities_digest,
    activities_path,
    check_sequences,
    read_activities,
    to_pxc50,
)
from data.recipes.fitness import ActivityColumns, SyntheticConfig
from data.synthetic_activities import synthetic_activities

COLUMNS = ActivityColumns()


def save(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [(6.5, "pxc50", 6.5), (500.0, "nm", 6.30103), (1.0, "nm", 9.0), (-2.69897, "minus_log10_nm",
                                                                     6.30103)],
)  # fmt: skip
def test_units(value, unit, wanted):
    assert to_pxc50(value, unit, "row 1") == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0, "nm", "is no concentration"),
        (500.0, "pxc50", "pXC50 of 500, beyond -2 to 16; set activities.columns.unit"),
        (9.0, "minus_log10_nm", "pXC50 of 18, beyond"),
    ],
)
def test_a_unit_that_was_mistaken_is_said(value, unit, said):
    with pytest.raises(InputError, match=f"row 1: .*{said}"):
        to_pxc50(value, unit, "row 1")


def test_a_folder_of_tables_names_targets_by_file_and_nothing_else_counts(tmp_path):
    (tmp_path / "a.csv").write_text("smiles,pxc50,cliff_mol\nCC,5.5,1\nCCC,6,0\n")
    save(tmp_path / "b.jsonl", [{"smiles": "CC", "pxc50": 7, "target": "own", "group": "g"}])
    rows = list(read_activities(tmp_path, COLUMNS))
    assert [(x.target, x.group, x.smiles, x.pxc50, x.cliff) for x in rows] == [
        ("a", "a", "CC", 5.5, True), ("a", "a", "CCC", 6.0, False), ("own", "g", "CC", 7.0, None),
    ]  # fmt: skip
    before = activities_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "notes.txt").write_text("not read")
    assert activities_digest(tmp_path) == before
    (tmp_path / "b.jsonl").write_text("")
    assert activities_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"pxc50": 5}, "column 'smiles' is missing"),
        ({"smiles": " ", "pxc50": 5}, "column 'smiles' holds no text"),
        ({"smiles": "C"}, "column 'pxc50' is missing; .*activities.columns.value"),
        ({"smiles": "C", "pxc50": "strong"}, "column 'pxc50' holds no number"),
        ({"smiles": "C", "pxc50": float("nan")}, "column 'pxc50' holds no number"),
        ({"smiles": "C", "pxc50": 5, "cliff_mol": "maybe"}, "must be 0 or 1"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path, row, said):
    path = save(tmp_path / "t.jsonl", [{"smiles": "C", "pxc50": 5}, row])
    with pytest.raises(InputError, match=f"line 2: .*{said}") as error:
        list(read_activities(path, COLUMNS))
    assert "\n" not in str(error.value)


def test_places_that_are_not_there_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="activities.path: no such file"):
        activities_path("activities.path", str(tmp_path / "gone.csv"))
    with pytest.raises(InputError, match="holds no .jsonl"):
        activities_path("activities.path", str(tmp_path))

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(InputError, match="MoleculeACE is not installed; `pip install --no-deps"):
        activities_path("activities.path", "moleculeace")


def test_the_tables_of_moleculeace_are_what_they_are_known_to_be():
    try:
        path = activities_path("activities.path", "moleculeace")
    except InputError as error:
        pytest.skip(str(error))
    columns = ActivityColumns(value="y", unit="minus_log10_nm")
    rows = list(read_activities(path, columns))
    assert len(rows) == 48_714 and len({row.target for row in rows}) == 30
    first = rows[0]  # 500 nmol/l
    assert first.target == "CHEMBL1862_Ki" and first.pxc50 == pytest.approx(6.30103, abs=1e-5)
    assert {row.cliff for row in rows} == {True, False}


def test_sequences_are_asked_for_by_target(tmp_path):
    path = save(tmp_path / "s.jsonl", [{"target": "a", "sequence": "acd"}])
    assert check_sequences(path, ["a"]) == {"a": "ACD"}
    with pytest.raises(InputError, match="has none of 'b'"):
        check_sequences(path, ["a", "b"])
    save(path, [{"target": "a", "sequence": "A"}] * 2)
    with pytest.raises(InputError, match="has a sequence already"):
        check_sequences(path, ["a"])


def test_pieces_of_sequences():
    found = kmer_vectors(["AAC", "AXA", ""], 2)
    assert found.shape == (3, 400) and found[0, 0] == found[0, 1] == pytest.approx(0.5**0.5)
    assert not found[1].any() and not found[2].any()
    assert kmer_vectors(["AY"], 1)[0].tolist() == pytest.approx([0.5**0.5, *[0] * 18, 0.5**0.5])


@given(
    st.lists(st.integers(0, 30), min_size=30, max_size=200), st.integers(0, 99),
    st.floats(0.05, 0.3), st.floats(0.05, 0.3),
)  # fmt: skip
def test_whole_groups_are_held_out_and_no_more_than_asked(groups, seed, dev, test):
    parts = groups_in_parts(groups, dev, test, seed)
    assert parts == groups_in_parts(groups, dev, test, seed) and set(parts) == set(groups)
    sizes, counts = Counter(groups), Counter(parts[one] for one in groups)
    smallest = max(sizes.values())
    assert counts["test"] <= max(round(test * len(groups)), smallest)
    assert counts["dev"] <= max(round(dev * len(groups)), smallest)
    if len(sizes) >= 3:
        assert set(counts) == {"train", "dev", "test"}


def test_another_seed_holds_out_others():
    groups = list(range(100))
    assert groups_in_parts(groups, 0.1, 0.2, 0) != groups_in_parts(groups, 0.1, 0.2, 1)
    counts = Counter(groups_in_parts(groups, 0.1, 0.2, 0).values())
    assert counts == {"train": 70, "test": 20, "dev": 10}


@given(st.integers(4, 60), st.integers(2, 6), st.integers(1, 3), st.integers(0, 99))
def test_lists_hold_every_value_as_often_as_asked_the_strongest_first(n, size, repeats, seed):
    values = np.round(np.random.default_rng(seed).uniform(4, 9, n), 1)
    lists = ranked_lists(values, size, repeats, 1.0, np.random.default_rng(seed))
    if n < size:
        assert lists == []
        return
    counts = Counter(place for one in lists for place in one.tolist())
    assert set(counts) == set(range(n)) and min(counts.values()) >= repeats
    assert len(lists) == repeats * -(-n // size)
    for one in lists:
        assert len(set(one.tolist())) == size and (np.diff(values[one]) <= 0).all()


def test_without_noise_a_list_holds_neighbours():
    values = np.arange(12.0)
    (first, *_) = ranked_lists(values, 4, 1, 0.0, np.random.default_rng(0))
    assert first.tolist() == [3, 2, 1, 0]
    wide = ranked_lists(values, 4, 40, 100.0, np.random.default_rng(0))
    assert max(np.ptp(values[one]) for one in wide) > 8  # and with much noise it does not


def test_made_up_activities_are_the_same_again_and_have_cliffs():
    config = SyntheticConfig(targets=3, molecules=200)
    rows = synthetic_activities(config)
    assert rows == synthetic_activities(config)
    assert rows != synthetic_activities(config.model_copy(update={"seed": 1}))
    assert len({row.target for row in rows}) == 3 and len({row.smiles for row in rows}) == 200
    assert 400 < len(rows) < 600  # a tenth was not measured
    assert any(row.cliff for row in rows)
    assert 0.5 < np.std([row.pxc50 for row in rows]) < 2
