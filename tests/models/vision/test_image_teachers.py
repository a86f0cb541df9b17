"""Vision-language teachers: their vectors are those of the library, whatever is beside them."""

import json
import shutil
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from tests.fixtures.images import needs_pillow, shapes

pytestmark = needs_pillow
RUNTIME = RuntimeConfig(device="cpu")


def test_a_clip_gives_the_vectors_that_transformers_gives(clip_dir):
    import io

    from PIL import Image
    from transformers import AutoTokenizer, CLIPModel

    from models.vision.teachers import image_vectors, load_teacher, own_tower, text_vectors
    from models.vision.towers import seen

    files = [row["image"] for row in islice(shapes(8, seed=4), 3)]
    teacher = load_teacher(clip_dir, RUNTIME)
    found, texts = image_vectors(teacher, files), text_vectors(teacher, ["a circle", "a square"])
    assert found.shape == (3, 16) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    model = CLIPModel.from_pretrained(clip_dir).eval()
    # The processor's own arithmetic: bicubic to 32 pixels, then (x / 255 - 0.5) / 0.25.
    raw = [Image.open(io.BytesIO(one)).resize((32, 32), Image.Resampling.BICUBIC) for one in files]
    given = (np.stack([np.asarray(one) for one in raw]) / 255 - 0.5) / 0.25
    values = torch.from_numpy(given.transpose(0, 3, 1, 2)).float()
    read = AutoTokenizer.from_pretrained(clip_dir)(["a circle", "a square"], return_tensors="pt")
    with torch.no_grad():
        whole = model(pixel_values=values, **read)
    assert np.allclose(found, whole.image_embeds.numpy(), atol=1e-4)
    assert np.allclose(texts, whole.text_embeds.numpy(), atol=1e-5)
    tower = own_tower(clip_dir, RUNTIME)
    assert tower.given == 16 and tower.shape.mean == (0.5, 0.5, 0.5)
    own = F.normalize(seen(tower, files, RUNTIME), dim=-1).numpy()
    assert np.allclose(own, found, atol=0.05)  # bilinear in place of bicubic


def test_the_vector_of_a_text_of_siglip_does_not_depend_on_the_others(clip_dir, tmp_path):
    from transformers import SiglipConfig, SiglipModel

    from models.vision.teachers import load_teacher, text_vectors

    shutil.copytree(clip_dir, tmp_path / "siglip")
    inner = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    words = len(json.loads((clip_dir / "tokenizer.json").read_text())["model"]["vocab"])
    text = {"vocab_size": words, "max_position_embeddings": 16, "pad_token_id": 0}
    text |= {"bos_token_id": 2, "eos_token_id": 3, "projection_size": 32}
    torch.manual_seed(0)
    config = SiglipConfig(
        text_config=inner | text, vision_config=inner | {"image_size": 32, "patch_size": 8}
    )
    SiglipModel(config).save_pretrained(tmp_path / "siglip")
    teacher = load_teacher(tmp_path / "siglip", RUNTIME)
    alone = text_vectors(teacher, ["a circle"])
    beside = text_vectors(teacher, ["a circle", "a circle beside a square and a circle"])
    assert np.allclose(alone[0], beside[0], atol=1e-5)


def test_many_texts_have_the_vectors_of_few(clip_dir):
    from models.vision.teachers import load_teacher, text_vectors

    teacher = load_teacher(clip_dir, RUNTIME)
    texts = ["a circle", "a square"] * 40  # more than go at once
    found = text_vectors(teacher, texts)
    assert found.shape == (80, 16) and np.allclose(found[-2:], found[:2], atol=1e-6)


def test_a_folder_that_is_no_teacher_is_refused_in_one_line(tmp_path):
    from models.vision.teachers import load_teacher

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(InputError, match="transformers cannot load") as error:
        load_teacher(tmp_path, RUNTIME)
    assert "\n" not in str(error.value)
