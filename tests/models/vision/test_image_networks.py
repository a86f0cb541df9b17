"""Image networks: losses in closed form, random changes, what is saved, backbones of a library."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from data.errors import InputError
from data.image_schemas import IMAGE_PROMPTS, IMAGE_VECTORS
from data.images import pixels, to_learn
from data.recipes.images import CnnBackbone, ModelBackbone
from data.recipes.recipe import RuntimeConfig, Schedule
from data.schemas import VECTORS
from data.store.digests import tree_digest
from data.tables import write_table
from tests.fixtures.images import CLASSES, needs_pillow, shapes

pytestmark = needs_pillow
RUNTIME = RuntimeConfig(device="cpu")
SMALL = CnnBackbone(kind="cnn", width=8, depth=2)


def begun(seed=0):
    from models.vision.towers import begin

    return begin(SMALL, 16, None, seed)


@pytest.fixture(scope="module")
def images():
    from data.readers.parts import of_image

    rows = [
        {
            "prompt_id": f"{number:03d}",
            "messages": of_image(row["image"]).messages,
            "dataset": row["domain"],
            "label": row["label"],
            "image": row["image"],
        }
        for number, row in enumerate(shapes(8, seed=4))
    ]
    return pa.Table.from_pylist(rows, IMAGE_PROMPTS)


@pytest.fixture(scope="module")
def task(images, tmp_path_factory):
    """Files that a training on vectors reads: a vector of its own for every class."""
    from models.vision.learning import Task

    folder = tmp_path_factory.mktemp("task")
    write_table(folder / "images.parquet", images, IMAGE_PROMPTS)
    own = dict(zip(CLASSES, np.eye(3, 6, dtype=np.float32).tolist(), strict=True))
    labels = images["label"].to_pylist()
    vectors = pa.table(
        [images["prompt_id"], pa.array([own[one] for one in labels], pa.list_(pa.float32()))],
        schema=IMAGE_VECTORS,
    )
    write_table(folder / "vectors.parquet", vectors, IMAGE_VECTORS)
    texts = [{"text_id": name, "vector": own[name]} for name in sorted(CLASSES)]
    write_table(folder / "texts.parquet", pa.Table.from_pylist(texts, VECTORS), VECTORS)
    return Task(
        kind="vectors",
        images=str(folder / "images.parquet"),
        vectors=str(folder / "vectors.parquet"),
        prototypes=str(folder / "texts.parquet"),
    )


def trained(out, start, task, images, seed=0, runtime=RUNTIME, keeps=None, **changes):
    """What was measured, and the tower. `keeps`: on_progress and checkpoints."""
    from models.vision.learning import train_tower
    from models.vision.towers import load_tower, save_tower

    for folder in (start, out):
        folder.mkdir(parents=True, exist_ok=True)
    if not any(start.iterdir()):
        save_tower(begun(), start)
    config = Schedule(**{"learning_rate": 5e-3, "epochs": 1, "batch_size": 16} | changes)
    rows = to_learn(images, "night", 0.2)
    meta = train_tower(
        out,
        tower=start,
        rows=rows,
        task=task,
        config=config,
        runtime=runtime,
        seed=seed,
        **keeps or {},
    )
    return meta, load_tower(out)


def test_the_loss_is_the_mean_of_two_cosines():
    from models.vision.losses import to_vectors

    found = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    image, text = torch.tensor([[5.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 7.0]])
    # Cosines with the image's vector 1 and 0, with the text's 0 and 1.
    assert to_vectors(found, image, text, 0.5).item() == pytest.approx(-0.5)
    assert to_vectors(found, image, text, 1.0).item() == pytest.approx(-0.5)
    assert to_vectors(found[:1], image[:1], text[:1], 0.3).item() == pytest.approx(-0.3)
    assert to_vectors(found, found, 2 * found, 0.1).item() == pytest.approx(-1.0)


def test_the_loss_is_torchs_cosine_similarity():
    from models.vision.losses import to_vectors

    generator = torch.Generator().manual_seed(0)
    found, image, text = (torch.randn(5, 7, generator=generator) for _ in range(3))
    wanted = -(0.25 * F.cosine_similarity(found, image) + 0.75 * F.cosine_similarity(found, text))
    assert to_vectors(found, image, text, 0.25).item() == pytest.approx(wanted.mean().item())


def test_logit_distillation_is_cross_entropy_at_one_end_and_a_divergence_at_the_other():
    from models.vision.losses import to_distribution

    generator = torch.Generator().manual_seed(0)
    mine, its = (torch.randn(4, 3, generator=generator) for _ in range(2))
    labels = torch.tensor([0, 2, 1, 1])
    hard = F.cross_entropy(mine, labels).item()
    p, q = its.softmax(-1), mine.softmax(-1)
    soft = (p * (p / q).log()).sum(-1).mean().item()
    assert to_distribution(mine, its, labels, 1.0).item() == pytest.approx(hard)
    assert to_distribution(mine, its, labels, 0.0).item() == pytest.approx(soft)
    assert to_distribution(mine, its, labels, 0.25).item() == pytest.approx(
        0.25 * hard + 0.75 * soft
    )
    assert to_distribution(its, its, labels, 0.0).item() == pytest.approx(0, abs=1e-6)


def test_the_contrastive_loss_in_its_limits():
    from models.vision.losses import contrastive

    apart, one = torch.eye(4), torch.ones(4, 2)
    numbers = torch.arange(4)
    assert contrastive(one, one, numbers, 0.1).item() == pytest.approx(math.log(4))
    assert contrastive(apart, apart, numbers, 0.05).item() == pytest.approx(0, abs=1e-6)
    # Two pairs of equal captions: each shares its mass with the other, log 2 is the least.
    same, captions = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1])
    assert contrastive(same, same, captions, 0.02).item() == pytest.approx(math.log(2))


def test_changes_keep_the_range_and_are_the_same_in_any_batch(images):
    from models.vision.pixels import CHANCES, chances, changed, read_pixels

    found = read_pixels(images["image"].to_pylist()[:12], 16).float() / 255
    by = chances(3, 1, 12)
    assert by.shape == (12, CHANCES) and (by == chances(3, 1, 12)).all()
    assert not (by == chances(3, 2, 12)).any() and not (by == chances(4, 1, 12)).any()
    whole = changed(found, by)
    assert whole.min() >= 0 and whole.max() <= 1 and not torch.allclose(whole, found)
    assert torch.allclose(changed(found[5:8], by[5:8]), whole[5:8], atol=1e-6)


def test_what_each_chance_does():
    from models.vision.pixels import changed

    found = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6
    still = torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.9, 0.5, 0.5, 0.5, 0.9, 0.0]])
    assert torch.allclose(changed(found, still), found, atol=1e-5)

    def with_(place, value):
        by = still.clone()
        by[0, place] = value
        return changed(found, by)

    assert torch.allclose(with_(4, 0.1), found.flip(3), atol=1e-5)  # mirror image
    assert torch.allclose(with_(5, 1.0), 1.3 * found, atol=1e-5)  # brighter
    grey = with_(8, 0.0)
    assert torch.allclose(grey[:, 0], grey[:, 1], atol=1e-6)
    assert not torch.allclose(with_(0, 0.0), found, atol=1e-2)  # 0.7 of the area


@pytest.mark.parametrize("change", ["none", "projection", "head"])
def test_a_tower_is_read_back_as_it_was(tmp_path, change):
    from models.vision.towers import load_tower, save_tower

    tower = begun()
    if change == "projection":
        tower = tower.with_projection(5, seed=1)
    elif change == "head":
        tower = tower.with_head(CLASSES, seed=1)
    for name in "ab":
        (tmp_path / name).mkdir()
        save_tower(tower, tmp_path / name)
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "b")
    found = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    again, classify = load_tower(tmp_path / "a"), change == "head"
    assert again.shape == tower.shape and again.given == (5 if change == "projection" else 32)
    assert torch.allclose(again(found, classify), tower(found, classify))


def test_a_row_does_not_depend_on_the_others_and_the_seed_decides_the_weights(images):
    from models.vision.towers import seen

    files = images["image"].to_pylist()[:6]
    tower = begun(seed=1)
    found = seen(tower, files, RUNTIME)
    assert torch.allclose(seen(tower, files[2:3], RUNTIME), found[2:3], atol=1e-5)
    assert torch.equal(seen(begun(seed=1), files, RUNTIME), found)
    assert not torch.allclose(seen(begun(seed=2), files, RUNTIME), found)


def test_a_training_learns_and_equal_seeds_give_equal_bytes(task, images, tmp_path):
    meta, tower = trained(tmp_path / "a", tmp_path / "start", task, images, epochs=8)
    assert meta["final_loss"] < meta["first_loss"] - 0.3 and tower.shape.dimensions == 6
    assert meta["parameters"] == sum(one.numel() for one in tower.parameters())
    trained(tmp_path / "b", tmp_path / "start", task, images, epochs=1)
    trained(tmp_path / "c", tmp_path / "start", task, images, epochs=1)
    trained(tmp_path / "d", tmp_path / "start", task, images, epochs=1, seed=1)
    digests = [tree_digest(tmp_path / name) for name in "bcd"]
    assert digests[0] == digests[1] != digests[2]


class StopError(Exception):
    """As if the process had been ended."""


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(task, images, tmp_path):
    """Images are changed at random as they would have been."""

    def stop(done, total):
        if done >= 5:
            raise StopError

    start, often = tmp_path / "start", RuntimeConfig(device="cpu", checkpoint_minutes=0)
    given = {"runtime": often, "epochs": 3}
    trained(tmp_path / "whole", start, task, images, epochs=3)
    keeps = {"checkpoints": tmp_path / "scratch", "on_progress": stop}
    with pytest.raises(StopError):
        trained(tmp_path / "a", start, task, images, keeps=keeps, **given)
    keeps["on_progress"] = None
    meta, _ = trained(tmp_path / "b", start, task, images, keeps=keeps, **given)
    assert 0 < meta["resumed_from_step"] < meta["steps"] == 9
    assert tree_digest(tmp_path / "b") == tree_digest(tmp_path / "whole")


def test_parts_of_a_batch_add_up_to_it(task, images, tmp_path):
    """Whatever `runtime.train_micro_batch` is."""
    (whole, _), (parts, _) = (
        trained(tmp_path / str(size), tmp_path / "start", task, images, runtime=runtime)
        for size, runtime in (
            (0, RUNTIME),
            (5, RUNTIME.model_copy(update={"train_micro_batch": 5})),
        )
    )
    assert whole["losses"] == pytest.approx(parts["losses"], abs=2e-3)


def test_every_epoch_changes_images_anew(images):
    from models.batching import LengthGroups
    from models.vision.learning import Collator
    from models.vision.pixels import read_pixels

    sampler = LengthGroups([0, 0], 2, seed=0)
    found = read_pixels(images["image"].to_pylist()[5:7], 16)
    collate = Collator(found, [5, 6], {"label": torch.tensor([7, 9])}, sampler, False, seed=0)
    rows = [{"row": 6}, {"row": 5}]
    assert collate(rows)["label"].tolist() == [9, 7]
    first, again = collate(rows)["pixels"], collate(rows)["pixels"]
    sampler.set_epoch(1)
    assert torch.equal(first, again) and not torch.allclose(collate(rows)["pixels"], first)


def test_turned_images_are_told_by_their_turn(images):
    from models.batching import LengthGroups
    from models.vision.learning import Collator
    from models.vision.pixels import read_pixels

    sampler, numbers = LengthGroups([0] * len(images), 4, seed=0), list(range(len(images)))
    found = read_pixels(images["image"].to_pylist(), 16)
    plain, turned = (
        Collator(found, numbers, {}, sampler, turns, seed=0)([{"row": row} for row in numbers])
        for turns in (False, True)
    )
    assert set(turned["label"].tolist()) == {0, 1, 2, 3}
    for before, after, turn in zip(plain["pixels"], turned["pixels"], turned["label"], strict=True):
        assert torch.equal(torch.rot90(before, int(turn), (1, 2)), after)


def test_pretraining_leaves_a_backbone_alone(images, task, tmp_path):
    turns = task.model_copy(update={"kind": "turns"})
    meta, tower = trained(tmp_path / "a", tmp_path / "start", turns, images)
    assert (
        tower.head is None
        and tower.given == 32
        and meta["images"] == len(to_learn(images, "night", 0.2))
    )


def test_vectors_of_other_dimensions_are_refused(task, images, tmp_path):
    from models.vision.towers import save_tower

    (tmp_path / "start").mkdir()
    save_tower(begun().with_projection(4, seed=0), tmp_path / "start")
    with pytest.raises(InputError, match="has 4 dimensions and the teacher's vectors 6"):
        trained(tmp_path / "a", tmp_path / "start", task, images)


def test_an_image_model_of_transformers_is_a_backbone(tmp_path, images):
    from transformers import ResNetConfig, ResNetModel

    from models.vision.towers import begin, load_tower, save_tower, seen

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    ResNetModel(config).save_pretrained(tmp_path / "resnet")
    backbone = ModelBackbone(kind="model", model="resnet")
    tower = begin(backbone, 32, tmp_path / "resnet", seed=0)
    assert tower.given == 16
    norms = [one for one in tower.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    tower.train()
    assert norms and not any(one.training for one in norms)
    (tmp_path / "saved").mkdir()
    save_tower(tower, tmp_path / "saved")
    files = images["image"].to_pylist()[:2]
    again = load_tower(tmp_path / "saved")
    assert torch.allclose(seen(again, files, RUNTIME), seen(tower, files, RUNTIME), atol=1e-5)
    with pytest.raises(InputError, match="transformers cannot load"):
        begin(backbone, 32, tmp_path, seed=0)


def test_pixels_of_a_batch_are_those_of_its_images(images):
    from models.vision.pixels import read_pixels

    files = images["image"].to_pylist()[:3]
    found = read_pixels(files, 16)
    assert found.dtype == torch.uint8 and found.shape == (3, 3, 16, 16)
    assert (found[1].permute(1, 2, 0).numpy() == pixels(files[1], 16)).all()
