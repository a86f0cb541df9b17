"""VL2V-ADiP end to end on drawn shapes in three styles; what is shared, what is refused."""

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from data.errors import InputError
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from flows.preflight import vision
from flows.recipe_files import load_recipe
from flows.table import recipe_from
from tests.fixtures.encoders import needs_encoders, save_encoder_teacher
from tests.fixtures.images import CLASSES, SMALL, STYLES, WORDS, images_of, needs_pillow

TARGETS = ["outline", "night"]


@pytest.fixture(scope="module")
def contrastive(shapes_dir, once):
    """A stand-in for a teacher, trained on other shapes of all styles."""
    words = {"layers": 1, "words": WORDS, "apart": 50.0}
    text = once("shape-words", lambda folder: save_encoder_teacher(folder, **words))
    return {
        "kind": "contrastive",
        "text": str(text / "teacher"),
        "images": images_of(shapes_dir, "pretrain"),
        "width": 8,
        "depth": 2,
        "size": 16,
        "caption": "{class} {domain}",
        "epochs": 12,
        "batch_size": 16,
        "learning_rate": 5e-3,
    }


@pytest.fixture(scope="module")
def run(shapes_dir, tmp_path_factory):
    """Run it with changes; its summary. Without Prefect, for the seconds."""
    from flows.align import run_recipe

    folder = tmp_path_factory.mktemp("vl2v")

    def run(name, **changes):
        student = SMALL | changes.pop("student", {})
        values = {"recipe": "vl2v", "run": name, "images": images_of(shapes_dir, "benchmark")}
        values |= {"targets": ["night"], "student": student} | changes
        values.setdefault("prototypes", {"templates": ["{class}"]})
        place = run_recipe(recipe_from(values), str(folder / "store"), folder / "runs", quiet=True)
        return read_summary(Path(place) / "summary.json")

    run.store, run.runs = Store(str(folder / "store")), folder / "runs"
    return run


@pytest.fixture(scope="module")
def adip(run, contrastive):
    student = {"align": {"epochs": 3, "batch_size": 8}}
    student |= {"distil": {"epochs": 15, "batch_size": 8, "learning_rate": 5e-3}}
    return run("adip", teacher=contrastive, targets=TARGETS, student=student)


def records(summary, name):
    return [one for one in summary.stages() if one.name == name]


def rows_of(run, record):
    found = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
    return run.store.table(found).to_pylist()


@needs_pillow
@needs_encoders
def test_teacher_and_student_learn_shapes_and_the_figures_are_those_of_the_targets(adip):
    measures = adip.measures
    assert adip.headline == "ood_accuracy" and not adip.stopped
    by_chance = 1 / len(CLASSES)
    assert measures["zero_shot"].ci95[0] > by_chance + 0.1  # the stand-in has learned
    assert measures["id_accuracy"].value > by_chance + 0.1
    assert measures["ood_accuracy"].ci95[1] > by_chance
    assert set(measures["ood_accuracy"].parts) == set(TARGETS)
    assert measures["ood_accuracy"].value == pytest.approx(
        sum(measures[f"ood_{name}"].value for name in TARGETS) / 2
    )


@needs_pillow
@needs_encoders
def test_the_target_is_measured_whole_and_nothing_of_it_is_learned(adip, run):
    for record, target in zip(records(adip, "recognise"), TARGETS, strict=True):
        rows = rows_of(run, record)
        measured = [row for row in rows if row["part"] == "target"]
        assert {row["dataset"] for row in measured} == {target} and len(measured) == 72
        held_out = [row for row in rows if row["part"] == "source"]
        assert {row["dataset"] for row in held_out} == set(STYLES) - {target}
        distil = next(one for one in records(adip, "learn_vectors") if one.round == record.round)
        assert distil.counts["images"] == 144 - len(held_out) and 15 < len(held_out) < 45
        right = sum(row["label"] == row["predicted"] for row in measured) / 72
        assert adip.measures[f"ood_{target}"].value == pytest.approx(right)


@needs_pillow
@needs_encoders
def test_stage_1_learns_the_projection_alone_and_stage_2_the_backbone_alone(adip, run):
    from safetensors.torch import load_file

    def weights(record):
        found = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
        return load_file(run.store.path(found) / "model.safetensors")

    (start,) = (weights(one) for one in records(adip, "pretrain_backbone") if one.round == 1)
    aligned, distilled = (weights(one) for one in records(adip, "learn_vectors")[:2])
    assert set(aligned) == set(distilled) == {*start, "projection.weight"}
    assert all((aligned[name] == start[name]).all() for name in start)
    assert (distilled["projection.weight"] == aligned["projection.weight"]).all()
    assert not (distilled["backbone.stem.weight"] == aligned["backbone.stem.weight"]).all()


@needs_pillow
@needs_encoders
def test_other_methods_find_the_teacher_and_its_vectors(adip, run, contrastive):
    """Whatever the student: the teacher is trained once, and sees every image once."""
    zero = run("zero", teacher=contrastive, targets=TARGETS, method="zero_shot")
    assert all(one.cached for one in zero.stages())
    assert zero.measures["ood_accuracy"].value == adip.measures["zero_shot"].value
    assert list(zero.links) == ["prototypes"] and "zero-shot" in zero.verdict.short
    erm = run("erm", teacher=contrastive, method="erm")
    shared = ("import_images", "contrast", "encode", "see", "prototypes", "recognise_by_teacher")
    assert all(one.cached for name in shared for one in records(erm, name))
    (learned,) = records(erm, "learn_classes")
    assert not learned.cached
    own = run("self", teacher=contrastive, method="self")
    teacher = run.store.path(
        next(
            Artifact(kind=one.kind, key=one.key, digest=one.artifact)
            for one in records(own, "copy_teacher")
        )
    )
    assert json.loads((teacher / "tower.json").read_text())["dimensions"] == 32


@needs_pillow
@pytest.mark.parametrize("method", ["one_stage", "logits", "self"])
def test_a_clip_of_transformers_teaches_by_its_vectors(run, clip_dir, method):
    teacher = {"kind": "folder", "model": str(clip_dir)}
    summary = run(f"clip-{method}", teacher=teacher, method=method)
    assert summary.finished and summary.measures["ood_accuracy"].n == 72
    assert [one.name for one in summary.stages()].count("see") == 1
    assert records(summary, "read_texts") and not records(summary, "encode")
    assert not any(one.rule == "broken_images" for one in summary.warnings)


@needs_pillow
def test_the_teacher_sees_images_shard_by_shard(run, clip_dir):
    teacher = {"kind": "folder", "model": str(clip_dir)}
    summary = run(
        "shards",
        teacher=teacher,
        method="zero_shot",
        runtime={"shard_prompts": 100},
        prototypes={"templates": ["a {class}", "a photo of a {class}"]},
    )
    (seen,) = records(summary, "see")
    assert seen.counts == {"seen": 216} and (seen.shards == 3 or seen.cached)


@needs_pillow
def test_a_broken_image_is_refused_or_counted(run, clip_dir, shapes_dir, tmp_path):
    rows = pq.read_table(shapes_dir / "shapes.parquet").to_pylist()
    rows[3]["image"] = rows[3]["image"][:60]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "damaged.parquet")
    images = {"path": str(tmp_path / "damaged.parquet"), "split": "benchmark"}
    teacher = {"kind": "folder", "model": str(clip_dir)}
    with pytest.raises(InputError, match="row 4: no image that can be read") as error:
        run("damaged", teacher=teacher, images=images, method="zero_shot")
    assert "\n" not in str(error.value)
    images["broken"] = "drop"
    summary = run("dropped", teacher=teacher, images=images, method="zero_shot")
    assert summary.measures["prompts"].value == 215
    (said,) = (one.found for one in summary.warnings if one.rule == "broken_images")
    assert said.endswith("dropped: 1.")


def refused(values):
    from flows.preflight.inputs import check_inputs

    with pytest.raises(InputError) as error:
        check_inputs(recipe_from(values))
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.fixture
def values(clip_dir, shapes_dir, tmp_path):
    """A recipe with a copy of the teacher that a test may change."""
    shutil.copytree(clip_dir, tmp_path / "clip")
    return {
        "recipe": "vl2v",
        "run": "r",
        "images": images_of(shapes_dir, "benchmark"),
        "targets": ["night"],
        "teacher": {"kind": "folder", "model": str(tmp_path / "clip")},
        "student": SMALL,
    }


@needs_pillow
def test_a_good_recipe_is_not_refused(values):
    from flows.preflight.inputs import check_inputs

    assert check_inputs(recipe_from(values)) == []


def test_without_pillow_the_recipe_is_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(vision, "find_spec", lambda name: None)
    values = {"recipe": "vl2v", "run": "r", "images": {"path": "x.parquet"}, "targets": ["a"]}
    said = refused(values | {"teacher": {"kind": "folder", "model": str(tmp_path)}})
    assert "Pillow" in said and "pip install" in said


@needs_pillow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": {"path": "no.parquet"}}, "images.path: no such file"),
        ({"targets": ["nigth"]}, "'nigth' is no domain of the images"),
        ({"teacher": {"kind": "folder", "model": "/no/such"}}, "teacher.model"),
        (
            {"student": {"backbone": {"kind": "model", "model": "/no/such"}}},
            "student.backbone.model",
        ),
    ],
)
def test_what_is_not_there_is_named(values, changes, said):
    assert said in refused(values | changes)


@needs_pillow
@pytest.mark.parametrize(
    ("share", "said"),
    [(0.9999, "none outside of 'night' to learn from; lower it"), (1e-9, "holds out .*; raise it")],
)
def test_a_share_that_leaves_no_image_is_refused(values, share, said):
    assert re.search(
        f"evaluate.held_out: .*{said}", refused(values | {"evaluate": {"held_out": share}})
    )


@needs_pillow
def test_a_clip_needs_its_processor_and_tokenizer(values, tmp_path):
    from flows.preflight.inputs import check_inputs

    folder = tmp_path / "clip"
    # transformers 5 writes one file for both halves of a processor.
    (folder / "preprocessor_config.json").rename(folder / "processor_config.json")
    assert check_inputs(recipe_from(values)) == []
    (folder / "processor_config.json").rename(folder / "away.json")
    assert "has no image processor" in refused(values)
    (folder / "away.json").rename(folder / "processor_config.json")
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer" in refused(values)


@needs_pillow
def test_a_split_that_is_not_there_is_named(values):
    values["images"]["split"] = "bench"
    assert "holds no image of the split 'bench'" in refused(values)


@needs_pillow
@needs_encoders
def test_images_that_the_teacher_learns_are_none_that_students_are_measured_on(values, contrastive):
    teacher = contrastive | {"images": values["images"]}
    assert "216 of its images are among those" in refused(values | {"teacher": teacher})


@needs_pillow
def test_a_teacher_of_another_library_or_kind_is_refused(values, tmp_path):
    folder = tmp_path / "clip"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    assert "method self trains a CLIP" in refused(values | {"method": "self"})
    (folder / "open_clip_config.json").write_text("{}")
    assert "cannot train" in refused(values | {"method": "self"})
    if vision.find_spec("open_clip") is None:
        assert "pip install open_clip_torch" in refused(values)
    (folder / "open_clip_config.json").unlink()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "sees no images beside texts" in refused(values)
    (folder / "model.safetensors").rename(folder / "model.bin")
    assert "no .safetensors file" in refused(values)


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        ("targets", ["a", "a"], "targets: each once"),
        ("targets", [], "targets"),
        ("prototypes", {"templates": ["a photo"]}, "must say where the class stands"),
        ("prototypes", {"templates": ["a {domain} of a {class}"]}, "names the domain"),
        ("method", "both", "method"),
        ("image_weight", 1.5, "image_weight"),
        ("student", {"size": 8}, "student.size"),
        ("student", {"backbone": {"kind": "cnn", "width": 12}}, "width"),
        ("evaluate", {"held_out": 0.0}, "held_out"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, section, changes, said):
    values = {
        "recipe": "vl2v", "run": "r", "images": {"path": "x.parquet"}, "targets": ["a"],
        "teacher": {"kind": "folder", "model": "x"}, section: changes,
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=said):
        load_recipe(str(path), [])
