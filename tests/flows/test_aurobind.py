"""AuroBind's fitness half end to end on made-up activities; what is shared, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from data.activities import cells_of
from data.errors import InputError
from data.measures import Measure
from data.ranking import near_pairs
from data.retrieval import spearman
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from flows.aurobind import reading, told
from flows.recipe_files import load_recipe
from flows.table import recipe_from
from tests.fixtures.compounds import TINY_AUROBIND, needs_chem
from tests.repository import ROOT
from tests.test_structure import FILES, imports

LIBRARIES = {"rdkit", "lightgbm", "MoleculeACE"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run it with changes; its summary. Without Prefect, for the seconds."""
    from flows.align import run_recipe

    folder = tmp_path_factory.mktemp("aurobind")

    def run(name, **changes):
        values = TINY_AUROBIND | {"run": name} | changes
        place = run_recipe(recipe_from(values), str(folder / "store"), folder / "runs", quiet=True)
        return read_summary(Path(place) / "summary.json")

    run.store = Store(str(folder / "store"))
    run.runs = folder / "runs"
    return run


@pytest.fixture(scope="module")
def tiny(run):
    return run("tiny")


def records(summary, name):
    return {one.role: one for one in summary.stages() if one.name == name}


def table(run, summary, name, role=""):
    record = records(summary, name)[role]
    return run.store.table(Artifact(kind=record.kind, key=record.key, digest=record.artifact))


def cells(run, summary, part):
    names = ("make_activities", "part_activities", "describe_molecules", "describe_targets")
    return cells_of(*(table(run, summary, name) for name in names), part)


@needs_chem
def test_figures_follow_from_the_tables(tiny, run):
    test = cells(run, tiny, "test")
    wanted = {}
    for who in ("listwise", "longer", "teacher", "ranker"):
        said = table(run, tiny, "predict_held_out", who)
        value = dict(zip(said["activity_id"].to_pylist(), said["value"].to_pylist(), strict=True))
        found = np.array([value[name] for name in test.ids])
        rows = [test.of(number) for number in range(3)]
        near = [near_pairs(test.value[r], found[r], 0.3, 1.0)[0] for r in rows]
        ranks = [spearman(test.value[r], found[r]) for r in rows]
        wanted[who] = np.mean(near)
        assert tiny.measures[f"near_accuracy_{who}"].value == pytest.approx(np.mean(near))
        assert tiny.measures[f"spearman_{who}"].value == pytest.approx(np.mean(ranks))
    gain = tiny.measures["near_gain"]
    assert tiny.headline == "near_gain" and gain.n == 3 == len(gain.parts)
    assert gain.value == pytest.approx(100 * (wanted["listwise"] - wanted["longer"]))
    assert gain.ci95[0] <= gain.value <= gain.ci95[1]
    assert "rmse_ranker" not in tiny.measures and "rmse_listwise" in tiny.measures


@needs_chem
def test_no_scaffold_is_on_two_sides(tiny, run):
    scaffolds = table(run, tiny, "describe_molecules")["scaffold"].to_pylist()
    sides = [
        {scaffolds[row] for row in cells(run, tiny, part).molecule} - {""}
        for part in ("train", "dev", "test")
    ]
    assert all(sides) and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


@needs_chem
def test_regression_goes_on_for_as_many_updates_on_the_same_lists(tiny):
    tuned = records(tiny, "tune_fitness")
    assert set(tuned) == {"longer", "listwise"} and tuned["longer"].measures
    assert tuned["longer"].counts == tuned["listwise"].counts
    assert tiny.measures["updates"].value == tuned["listwise"].counts["steps"] > 0


@needs_chem
def test_the_unsure_are_in_no_list(tiny, run):
    found = table(run, tiny, "estimate_confidence").to_pylist()
    sure = {row["activity_id"] for row in found if row["confidence"] >= 0.25}
    assert 0.7 < len(sure) / len(found) < 0.8
    listed = table(run, tiny, "rank_lists")
    assert set(listed["activity_id"].to_pylist()) == sure
    spread = {row["activity_id"]: row["spread"] for row in found}
    left_out = [spread[name] for name in spread if name not in sure]
    assert min(left_out) >= max(spread[name] for name in sure)


@needs_chem
def test_hits_are_the_students_best_in_the_teachers_order(tiny, run):
    hits = table(run, tiny, "screen").to_pylist()
    scores = table(run, tiny, "score_library", "student").to_pylist()
    described = {x["molecule_id"]: x for x in table(run, tiny, "describe_molecules").to_pylist()}
    learned = {
        row["molecule_id"]
        for row, part in zip(
            table(run, tiny, "make_activities").to_pylist(),
            table(run, tiny, "part_activities")["part"].to_pylist(),
            strict=True,
        )
        if part != "test"
    }
    for target in {hit["target"] for hit in hits}:
        mine = [hit for hit in hits if hit["target"] == target]
        library = [row["value"] for row in scores if row["target"] == target]
        assert len(mine) == round(0.5 * len(library))
        assert min(hit["fast_value"] for hit in mine) >= np.median(library) - 1e-9
        values = [hit["value"] for hit in mine]
        assert values == sorted(values, reverse=True)
        assert sum(not hit["out"] for hit in mine) <= 3
    for hit in hits:
        assert hit["molecule_id"] not in learned
        assert (hit["out"] == "weight") == (described[hit["molecule_id"]]["weight"] < 120)
    linked = run.runs / "tiny" / "hits.parquet"
    assert linked.exists() and (run.runs / "tiny" / "fitness" / "model.safetensors").is_file()


@needs_chem
def test_the_library_may_be_the_part_that_settings_are_chosen_on(tiny, run):
    other = run("dev", cascade=TINY_AUROBIND["cascade"] | {"part": "dev"})
    assert records(other, "distil_fast")[""].cached
    found = [
        set(table(run, one, "score_library", "student")["molecule_id"].to_pylist())
        for one in (tiny, other)
    ]
    assert found[0] and found[1] and not found[0] & found[1]


@needs_chem
def test_another_temperature_finds_the_teacher_the_lists_and_every_control(tiny, run):
    other = run("warm", preference={"batch_lists": 8, "temperature": 1.0, "anchor": 1.0})
    for name in ("fit_fitness", "estimate_confidence", "rank_lists", "fit_ranker"):
        assert all(one.cached for one in records(other, name).values()), name
    tuned, said = records(other, "tune_fitness"), records(other, "predict_held_out")
    assert tuned["longer"].cached and not tuned["listwise"].cached
    assert said["longer"].cached and not said["listwise"].cached
    assert other.measures["near_accuracy_longer"] == tiny.measures["near_accuracy_longer"]


@needs_chem
def test_without_a_filter_a_ranker_and_a_student_nothing_is_made_for_them(run):
    plain = run("plain", lists={"size": 4}, ranker=None, student=None)
    made = {one.name for one in plain.stages()}
    gone = {"estimate_confidence", "fit_ranker", "distil_fast", "screen", "clock"}
    assert not made & gone and "screening" not in {one.name for one in plain.sections}
    assert list(records(plain, "fit_fitness")) == [""]
    assert "recall" not in plain.measures and "fast" not in plain.links


def save_activities(folder, n=72, wrong=0, spread=40):
    """Four targets over alkyl benzenes and others, of so many values; the first rows of no known
    chemistry."""
    cores = ("c1ccccc1", "c1ccncc1", "c1ccsc1", "C1CCCCC1", "c1ccc2ccccc2c1", "C1CCOCC1")
    rows = [
        {
            "smiles": "C" * (k // 6 + 1) + cores[k % 6] if k >= wrong else f"no SMILES {k}",
            "target": target,
            "group": target[0],
            "pxc50": 4 + (k * 7 + number * 3) % spread / 10,
        }
        for k in range(n)
        for number, target in enumerate(("a1", "a2", "b1", "c1"))
    ]
    path = folder / "activities.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


OWN = {"ranker": None, "student": None, "lists": {"size": 4}}


@needs_chem
def test_without_a_near_pair_the_report_says_that_nothing_was_measured(run, tmp_path):
    summary = run("alike", activities={"path": str(save_activities(tmp_path, spread=1))}, **OWN)
    assert summary.measures["near_gain"].n == 0 and summary.verdict.kind == "unclear"
    assert summary.verdict.line == "No near pair was held out, so nothing could be measured"
    assert not any("made up" in line for line in summary.verdict.meaning)


@needs_chem
def test_activities_that_are_made_up_are_said_to_be(tiny):
    assert any("made up" in line for line in tiny.verdict.meaning)


@needs_chem
@pytest.mark.parametrize(
    ("lacks", "advice"),
    [
        ({"times_faster": 19.0}, "A smaller student.width"),
        ({"recall": 0.7}, "Give it more student.epochs"),
        ({"recall": 0.7, "times_faster": 19.0}, "Give it more student.epochs"),
    ],
)
def test_a_fast_student_that_lacks_something_is_told_what_would_mend_that(lacks, advice):
    good = {"ef5_kept": 0.95, "recall": 0.9, "times_faster": 30.0}
    found = {name: Measure(value=value, short=name) for name, value in (good | lacks).items()}
    (said,) = told._of_fast_student(found)
    assert said.reason.startswith(advice)
    assert ("smaller student.width" in said.reason) == ("times_faster" in lacks)


@needs_chem
def test_unreadable_smiles_are_counted_and_many_are_refused(run, tmp_path):
    path = save_activities(tmp_path, wrong=3)
    activities = {"path": str(path), "max_unreadable": 0.1}
    summary = run("own", activities=activities, **OWN)
    counts = records(summary, "import_activities")[""].counts
    assert counts["unreadable"] == 12 and counts["rows"] == 288 and counts["targets"] == 4
    assert "unreadable" in [one.rule for one in summary.warnings]
    with pytest.raises(InputError, match="SMILES of 12 of 288 rows, the first at .*line 1") as said:
        run("strict", activities=activities | {"max_unreadable": 0.01}, **OWN)
    assert "\n" not in str(said.value)


@needs_chem
@pytest.mark.parametrize(
    ("n", "said"),
    [(12, "split.test: no target has 10"), (5, "too few to hold some out")],
)
def test_too_few_to_hold_out_are_refused_before_anything_is_trained(run, tmp_path, n, said):
    path = save_activities(tmp_path, n=n)
    if n == 5:  # one scaffold
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row | {"smiles": f"{'C' * k}c1ccccc1"} for k, row in enumerate(rows, start=1)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=said):
        run(f"few-{n}", activities={"path": str(path)}, **OWN)


@needs_chem
def test_targets_that_are_held_out_are_known_by_their_sequences(run, tmp_path):
    path, sequences = save_activities(tmp_path), tmp_path / "sequences.csv"
    rows = [f"{name},{'ACDEFGHIKL' * (k + 1)}" for k, name in enumerate(("a1", "a2", "b1", "c1"))]
    sequences.write_text("target,sequence\n" + "\n".join(rows) + "\n")
    summary = run(
        "unseen",
        activities={"path": str(path), "sequences": str(sequences)},
        split={"by": "target", "dev": 0.25, "test": 0.25},
        targets={"kind": "kmers", "k": 1},
        **OWN,
    )
    said = table(run, summary, "part_activities").to_pylist()
    sides = {}
    for row in said:
        sides.setdefault(row["activity_id"].split(":")[0], set()).add(row["part"])
    assert all(len(parts) == 1 for parts in sides.values()) and sides["a1"] == sides["a2"]
    assert set.union(*sides.values()) == {"train", "dev", "test"}


def refused(changes):
    from flows.preflight.inputs import check_inputs

    with pytest.raises(InputError) as error:
        check_inputs(recipe_from(TINY_AUROBIND | changes))
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("rdkit", "RDKit", ""), ("lightgbm", "LightGBM", ", or set ranker=null")],
)
def test_without_a_library_the_recipe_is_refused_in_one_line(monkeypatch, module, name, extra):
    found = reading.find_spec
    monkeypatch.setattr(reading, "find_spec", lambda one: None if one == module else found("json"))
    said = refused({})
    assert f"needs {name}, which is not installed" in said
    assert said.endswith(f"`pip install 'tsalign[chem]'`{extra}")
    if module == "lightgbm":
        reading.check_installed(ranker=False)


@needs_chem
def test_tables_that_do_not_do_are_refused_before_anything_runs(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("smiles,target,pxc50\nCC,a,5\n")
    assert "holds 1 activities; bring 20" in refused({"activities": {"path": str(path)}})
    path.write_text("smiles,target,pxc50\nCC,a,5000\n")
    assert "set activities.columns.unit" in refused({"activities": {"path": str(path)}})
    assert "no such file" in refused({"activities": {"path": str(tmp_path / "gone.csv")}})
    path.write_text("smiles,target,pxc50\n" + "CC,a,5\n" * 30)
    (tmp_path / "s.csv").write_text("target,sequence\nb,ACD\n")
    activities = {"path": str(path), "sequences": str(tmp_path / "s.csv")}
    assert "has none of 'a'" in refused({"activities": activities, "targets": {"kind": "kmers"}})


@needs_chem
def test_a_good_recipe_is_not_refused():
    from flows.preflight.inputs import check_inputs

    assert check_inputs(recipe_from(TINY_AUROBIND)) == []


@needs_chem
def test_lists_that_no_target_fills_are_refused_before_anything_is_learned():
    from flows.preflight.inputs import check_inputs

    with pytest.raises(InputError, match="lists.size: 60,000 compounds of one target in a list"):
        check_inputs(recipe_from(TINY_AUROBIND | {"lists": {"size": 60_000}}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": {"by": "target"}}, "split.by: of a target that is held out a name says nothing"),
        ({"targets": {"kind": "kmers"}}, "activities.sequences: targets.kind kmers needs them"),
        (
            {"targets": {"kind": "kmers"}, "activities": {"path": "synthetic", "sequences": "s"}},
            "targets.kind: targets that are made up have no sequences",
        ),
        (
            {"activities": {"path": "synthetic", "sequences": "s"}},
            "activities.sequences: only targets.kind kmers reads them",
        ),
        ({"split": {"dev": 0.5, "test": 0.4}}, "leave at least a tenth"),
        ({"molecules": {"bits": 100}}, "molecules.bits: must be a multiple of 64"),
        ({"evaluate": {"near": [1.0, 0.3]}}, "evaluate.near: must be two distances"),
        ({"preference": {"temperature": 0}}, "preference.temperature"),
        ({"activities": {"path": "synthetic", "columns": {"unit": "molar"}}}, "unit"),
        (
            {"activities": {"path": "moleculeace", "columns": {"value": "y"}}},
            "activities.columns: those of 'moleculeace' are known",
        ),
        ({"lists": {"min_confidence": 1.0}}, "lists.min_confidence"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, changes, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(TINY_AUROBIND | changes))
    with pytest.raises(InputError, match=said):
        load_recipe(str(path), [])


@pytest.mark.parametrize("name", ["aurobind", "aurobind_davis"])
def test_the_recipes_of_this_project_are_read(name):
    recipe = load_recipe(str(ROOT / "recipes" / f"{name}.yaml"), [])
    assert recipe.recipe == "aurobind" and "Structures are not predicted" in recipe.about()


def test_only_two_files_import_the_libraries():
    """What needs neither runs without them."""
    found = {
        str(path.relative_to(ROOT)): {name.split(".")[0] for name in imports(path)} & LIBRARIES
        for path in FILES
    }
    assert {path: names for path, names in found.items() if names} == {
        "models/fitness/chemistry.py": {"rdkit"},
        "models/fitness/ranker.py": {"lightgbm"},
    }
