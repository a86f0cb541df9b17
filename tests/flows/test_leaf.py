"""LEAF end to end on a tiny random teacher and made-up topics; what is shared, what is refused."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from data.errors import InputError
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from flows.leaf import told
from flows.preflight import encoders
from flows.recipe_files import load_recipe
from flows.table import recipe_from
from tests.fixtures.encoders import needs_encoders, save_rows

SIDES = ("documents", "queries")
LAYERS = {"student": {"backbone": {"kind": "layers", "layers": [0, 1]}}}
FRESH = {"backbone": {"kind": "fresh", "depth": 1, "width": 32, "heads": 2}}
LEARNS = {"learning_rate": 5e-3, "epochs": 4}


@pytest.fixture(scope="module")
def run(leaf_recipe, tmp_path_factory):
    """Run it with changes to the student; its summary. Without Prefect, for the seconds."""
    from flows.align import run_recipe

    folder = tmp_path_factory.mktemp("leaf")

    def run(name, **student):
        values = leaf_recipe | {"run": name, "student": leaf_recipe["student"] | student}
        place = run_recipe(recipe_from(values), str(folder / "store"), folder / "runs", quiet=True)
        return read_summary(Path(place) / "summary.json")

    run.store = Store(str(folder / "store"))
    run.runs = folder / "runs"
    return run


@pytest.fixture(scope="module")
def fresh(run):
    """A random student that has learned both."""
    return run("fresh", **FRESH, **LEARNS)


@needs_encoders
def test_empty_texts_are_warned_of(run, fresh):
    assert "empty" not in [one.rule for one in fresh.warnings]
    outcome = SimpleNamespace(texts={"documents": SimpleNamespace(meta={"empty": 3})})
    said = told.warnings(outcome, fresh.measures)[0]
    assert (said.rule, said.found) == ("empty", "Empty texts: 3 of the documents.")


def records(summary, name):
    return [one for one in summary.stages() if one.name == name]


@needs_encoders
def test_a_random_student_learns_and_its_queries_find_the_teachers_documents(fresh):
    kept = {
        mode: fresh.measures[f"kept_{mode}"] for mode in ("asymmetric", "standard", "untrained")
    }
    assert fresh.headline == "kept_asymmetric"
    assert kept["untrained"].value < min(kept["standard"].value, kept["asymmetric"].value)
    assert fresh.measures["cosine"].value > 0.95
    learnt = kept["standard"].ci95[0] > kept["untrained"].value
    assert fresh.verdict.kind == ("good" if learnt else "unclear")
    assert ("not_learnt" in [one.rule for one in fresh.warnings]) is not learnt
    for name, measure in fresh.measures.items():
        assert measure.ci95 is None or measure.ci95[0] <= measure.value <= measure.ci95[1], name


@needs_encoders
def test_what_is_kept_follows_from_the_tables(fresh, run):
    found = {}
    for record in records(fresh, "retrieve"):
        table = run.store.table(Artifact(kind=record.kind, key=record.key, digest=record.artifact))
        rows = [
            row
            for row in table.to_pylist()
            if (row["dimensions"], row["precision"]) == (32, "float32")
        ]
        found[record.role.split()[1]] = np.mean([row["ndcg"] for row in rows])
    assert len(found) == 4 and len(rows) == 24
    for mode in ("asymmetric", "standard", "untrained"):
        share = fresh.measures[f"kept_{mode}"].value
        assert share == pytest.approx(found[mode] / found["teacher"])
        assert fresh.measures[f"ndcg_{mode}"].value == pytest.approx(found[mode])


@needs_encoders
def test_the_grid_has_every_cut_and_precision_and_bytes_of_each(fresh):
    (section,) = (one for one in fresh.sections if one.name == "grid")
    rows = {row.cells[0]: row.cells[1:] for row in section.blocks[0].rows}
    assert len(rows) == 4 * 3 and rows["32, float32"][0].value == 1.0
    assert (rows["16, int8"][-1], rows["4, binary"][-1], rows["32, float32"][-1]) == (16, 1, 128)
    assert rows["4, binary"][0].value < 1


@needs_encoders
def test_the_router_in_the_runs_folder_is_loaded_by_the_library_alone(fresh, run, leaf_recipe):
    from sentence_transformers import SentenceTransformer

    folder = run.runs / "fresh"
    asked = ["of the wexi", "and lo"]
    router = SentenceTransformer(str(folder / "router"), device="cpu")
    student = SentenceTransformer(str(folder / "encoder"), device="cpu")
    teacher = SentenceTransformer(leaf_recipe["teacher"]["model"], device="cpu")
    assert np.allclose(router.encode_query(asked), student.encode(asked), atol=1e-5)
    assert np.allclose(router.encode_document(asked), teacher.encode(asked), atol=1e-5)


@needs_encoders
def test_another_student_finds_the_teachers_vectors(fresh, run):
    """Whatever it is and whatever it learns from; what it learns alone is asked for."""
    summary = run("queries", learns="queries", epochs=1)
    encoded = records(summary, "encode")
    of_teacher = [one for one in encoded if one.role.startswith("teacher")]
    assert of_teacher and all(one.cached for one in of_teacher)
    assert "teacher documents" not in {one.role for one in of_teacher}
    assert not any(one.cached for one in encoded if one.role.startswith("student"))
    assert summary.measures["texts"].value == 240 < fresh.measures["texts"].value == 480
    # Two of a random teacher's layers are so near to it that there is little to learn.
    assert summary.measures["kept_untrained"].value > fresh.measures["kept_untrained"].value


@needs_encoders
def test_vectors_are_made_shard_by_shard(fresh):
    (documents,) = (one for one in records(fresh, "encode") if one.role == "teacher documents")
    assert documents.shards == 3 and documents.counts == {"encoded": 240}


def refused(values):
    from flows.preflight.inputs import check_inputs

    with pytest.raises(InputError) as error:
        check_inputs(recipe_from(values))
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.fixture
def values(leaf_recipe, tmp_path):
    """The recipe, over copies that a test may change."""
    shutil.copytree(leaf_recipe["teacher"]["model"], tmp_path / "teacher")
    shutil.copytree(leaf_recipe["evaluate"]["retrieval"][0]["path"], tmp_path / "topics")
    evaluate = leaf_recipe["evaluate"] | {"retrieval": [{"path": str(tmp_path / "topics")}]}
    return leaf_recipe | {"teacher": {"model": str(tmp_path / "teacher")}, "evaluate": evaluate}


def test_without_the_library_the_recipe_is_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    section = {"retrieval": [{"path": str(tmp_path)}]}
    texts = {side: [{"path": "none.jsonl"}] for side in SIDES}
    values = {"recipe": "leaf", "run": "r", "teacher": {"model": str(tmp_path)}}
    said = refused(values | {"texts": texts, "evaluate": section})
    assert "sentence-transformers" in said and "pip install" in said


@needs_encoders
def test_a_good_recipe_is_not_refused(values):
    from flows.preflight.inputs import check_inputs

    assert check_inputs(recipe_from(values)) == []


@needs_encoders
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"student": {"backbone": {"kind": "layers", "layers": [0, 4]}}},
            "none of the teacher's 4",
        ),
        ({"texts": {side: [{"path": "no.jsonl"}] for side in SIDES}, **LAYERS}, "no such file"),
        ({"teacher": {"model": "/no/such/encoder"}}, "teacher.model"),
        ({"teacher": {"model": ".real/none"}}, "directory; `make real-models` puts it"),
        (
            {"student": {"backbone": {"kind": "model", "model": "/no/such"}}},
            "student.backbone.model",
        ),
    ],
)
def test_what_is_not_there_is_named(values, change, said):
    assert said in refused(values | change)


@needs_encoders
def test_cuts_to_more_dimensions_than_the_teacher_has_are_refused(values, tmp_path):
    """By the configuration of its parts: 32 of the transformer, by one way of pooling or two."""

    def width():
        return encoders.width(tmp_path / "teacher", "teacher.model")

    evaluate = {"evaluate": values["evaluate"] | {"dimensions": [8, 48]}}
    assert "evaluate.dimensions: 48 is more than the 32 that" in refused(values | evaluate)
    assert width() == 32
    pooling = tmp_path / "teacher" / "1_Pooling" / "config.json"
    config = json.loads(pooling.read_text())
    pooling.write_text(json.dumps(config | {"pooling_mode": ["mean", "max"]}))
    assert width() == 64
    legacy = {"word_embedding_dimension": 32} | dict.fromkeys(
        ("pooling_mode_mean_tokens", "pooling_mode_cls_token", "pooling_mode_max_tokens"), True
    )
    pooling.write_text(json.dumps(legacy | {"pooling_mode_weightedmean_tokens": False}))
    assert width() == 96
    assert encoders.width(tmp_path / "teacher" / "1_Pooling", "teacher.model") is None


@needs_encoders
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("policy_dir", "is a LlamaForCausalLM, a language model, and no text encoder"),
        ("llama_reward_dir", "is a LlamaForSequenceClassification, a classifier, as reward models"),
        ("bert_reward_dir", "is a BertForSequenceClassification, a classifier"),
    ],
)
def test_a_model_that_gives_no_vectors_is_refused(values, model, said, request):
    folder = str(request.getfixturevalue(model))
    own = {"student": {"backbone": {"kind": "model", "model": folder}}}
    for field, change in (
        ("teacher.model", {"teacher": {"model": folder}}),
        ("student.backbone.model", own),
    ):
        line = refused(values | change)
        assert line.startswith(f"{field}: ") and said in line


@needs_encoders
def test_another_kind_of_model_of_the_library_is_refused(values, tmp_path):
    (tmp_path / "teacher" / "config_sentence_transformers.json").write_text(
        json.dumps({"model_type": "SparseEncoder"})
    )
    assert "teacher.model: " in refused(values) and "is a SparseEncoder of" in refused(values)


@needs_encoders
def test_weights_and_code_that_could_do_anything_are_refused(values, tmp_path):
    modules = tmp_path / "teacher" / "modules.json"
    parts = json.loads(modules.read_text())
    modules.write_text(json.dumps([*parts, {"idx": 3, "path": "", "type": "own.Module"}]))
    assert "runs its own code" in refused(values)
    modules.write_text("[")
    assert "is damaged" in refused(values)
    modules.write_text(json.dumps(parts))
    for path in (tmp_path / "teacher").rglob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    assert "no .safetensors file" in refused(values)


@needs_encoders
def test_a_folder_that_is_no_collection_and_two_of_one_name_are_refused(values, tmp_path):
    twice = values["evaluate"] | {"similarity": [{"path": str(tmp_path / "topics.jsonl")}]}
    rows = [{"sentence1": "a", "sentence2": "b", "score": k} for k in range(2)]
    save_rows(tmp_path / "topics.jsonl", rows)
    assert "is called 'topics' as" in refused(values | {"evaluate": twice})
    (tmp_path / "topics" / "queries.jsonl").unlink()
    assert "has no queries.jsonl" in refused(values)


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        ("student", {"learns": "queries"}, "texts.queries: name a file"),
        ("student", {"epochs": 4, "cycles": 3}, "student.cycles"),
        ("student", {"backbone": {"kind": "layers", "layers": [2, 0]}}, "each once, in order"),
        ("student", {"backbone": {"kind": "fresh", "width": 10, "heads": 4}}, "does not divide"),
        ("student", {"backbone": {"kind": "static", "layers": [1]}}, "layers"),
        ("evaluate", {"precisions": ["int8"]}, "needs float32"),
        ("evaluate", {"dimensions": [8, 0]}, "evaluate.dimensions: must be numbers of at least 1"),
        ("evaluate", {"dimensions": [8, 8]}, "each once"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, section, changes, said):
    values = {
        "recipe": "leaf", "run": "r", "teacher": {"model": "x"},
        "texts": {"documents": [{"path": "d.jsonl"}]}, "student": {"learns": "documents"},
        "evaluate": {"retrieval": [{"path": "c"}]},
    }  # fmt: skip
    values[section] = values[section] | changes
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=said):
        load_recipe(str(path), [])
