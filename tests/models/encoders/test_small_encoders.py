"""Text encoders on a tiny random teacher: what a student begins as, how it learns, how it is kept.

sentence-transformers is the oracle of the loss, of quantised vectors and of the evaluation.
"""

import json

import numpy as np
import pyarrow as pa
import pytest

from data.errors import InputError
from data.recipes.encoders import (
    EncoderStudent,
    FreshBackbone,
    LayersBackbone,
    OwnBackbone,
    StaticBackbone,
)
from data.recipes.recipe import RuntimeConfig
from data.retrieval import best, kept, ndcg, spearman
from data.schemas import VECTORS
from data.store.digests import tree_digest
from data.tables import write_table
from tests.fixtures.encoders import TOPICS, needs_encoders, topic_texts

pytestmark = needs_encoders
RUNTIME = RuntimeConfig(device="cpu")
PROMPTS = {"query": "", "document": ""}
CONFIG = EncoderStudent(
    backbone=StaticBackbone(kind="static"), learning_rate=1e-2, epochs=2, batch_size=8
)


def begun(out, teacher, backbone, **changes):
    from models.encoders.starting import start_student

    options = {"own": None, "max_length": 64, "prompts": PROMPTS, "runtime": RUNTIME, "seed": 0}
    return start_student(out, teacher=teacher, backbone=backbone, **options | changes)


def vectors(folder, texts, prompt=""):
    from models.encoders.loading import encode, load_encoder

    return encode(load_encoder(folder, RUNTIME), texts, prompt, RUNTIME)


def saved_vectors(path, found):
    lists = pa.array([row.tolist() for row in found], VECTORS.field("vector").type)
    table = pa.table([[str(k) for k in range(len(found))], lists], schema=VECTORS)
    write_table(path, table, VECTORS)
    return path


@pytest.fixture(scope="module")
def texts():
    return topic_texts(40, 10, seed=1)


@pytest.fixture(scope="module")
def targets(encoder_teacher, texts, tmp_path_factory):
    """The file of the teacher's vectors of these texts."""
    path = tmp_path_factory.mktemp("targets") / "data.parquet"
    return saved_vectors(path, vectors(encoder_teacher, texts))


@pytest.fixture(scope="module")
def fresh(encoder_teacher, tmp_path_factory):
    """A random student of other dimensions than the teacher's."""
    out = tmp_path_factory.mktemp("fresh")
    begun(out, encoder_teacher, FreshBackbone(kind="fresh", depth=1, width=16, heads=2))
    return out


def test_vectors_have_length_1_and_do_not_depend_on_what_else_is_encoded(encoder_teacher, texts):
    found = vectors(encoder_teacher, texts)
    assert found.shape == (40, 32) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found[7], vectors(encoder_teacher, texts[7:8])[0], atol=1e-5)
    asked = vectors(encoder_teacher, texts[:2], prompt="of ")
    assert np.allclose(
        asked, vectors(encoder_teacher, ["of " + one for one in texts[:2]]), atol=1e-5
    )


def test_all_layers_are_the_teacher_and_some_are_its_own(encoder_teacher, texts, tmp_path):
    from models.encoders.loading import load_encoder

    begun(tmp_path / "all", encoder_teacher, LayersBackbone(kind="layers", layers=(0, 1, 2, 3)))
    assert np.allclose(vectors(tmp_path / "all", texts), vectors(encoder_teacher, texts), atol=1e-5)
    two = LayersBackbone(kind="layers", layers=(0, 3))
    counts = begun(tmp_path / "two", encoder_teacher, two)
    own = load_encoder(tmp_path / "two", RUNTIME)[0].auto_model
    whole = load_encoder(encoder_teacher, RUNTIME)[0].auto_model
    assert own.config.num_hidden_layers == len(own.encoder.layer) == 2
    for mine, its in ((0, 0), (1, 3)):
        a, b = own.encoder.layer[mine].state_dict(), whole.encoder.layer[its].state_dict()
        assert all((a[name] == b[name]).all() for name in b)
    assert counts["parameters"] < counts["teacher_parameters"]


def test_a_static_student_is_the_mean_of_the_teachers_token_vectors(encoder_teacher, tmp_path):
    from models.encoders.loading import load_encoder

    begun(tmp_path, encoder_teacher, StaticBackbone(kind="static"))
    source = load_encoder(encoder_teacher, RUNTIME)[0]
    ids = source.tokenizer("of the of", add_special_tokens=False)["input_ids"]
    mean = source.auto_model.get_input_embeddings().weight[ids].mean(dim=0).detach().numpy()
    found = vectors(tmp_path, ["of the of"])[0]
    assert np.allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_other_dimensions_get_a_linear_map_and_no_other_do(encoder_teacher, fresh, tmp_path):
    parts = [
        one["type"].rpartition(".")[2] for one in json.loads((fresh / "modules.json").read_text())
    ]
    assert parts == ["Transformer", "Pooling", "Dense", "Normalize"]
    dense = json.loads((fresh / "2_Dense" / "config.json").read_text())
    assert (dense["in_features"], dense["out_features"], dense["bias"]) == (16, 32, False)
    assert dense["activation_function"].endswith("Identity")
    begun(tmp_path, encoder_teacher, OwnBackbone(kind="model", model="x"), own=encoder_teacher)
    parts = [
        one["type"].rpartition(".")[2]
        for one in json.loads((tmp_path / "modules.json").read_text())
    ]
    assert parts == ["Transformer", "Pooling", "Normalize"]


def test_a_layer_that_is_not_there_is_refused(encoder_teacher, tmp_path):
    with pytest.raises(InputError, match="7 is none of the teacher's 4 layers"):
        begun(tmp_path, encoder_teacher, LayersBackbone(kind="layers", layers=(0, 7)))


def test_the_loss_is_mse_loss_times_the_dimensions_and_2_less_two_cosines(fresh, texts, targets):
    import torch
    from sentence_transformers.sentence_transformer.losses import MSELoss

    from models.encoders.loading import load_encoder
    from models.encoders.regression import read_vectors, squared_error

    model, wanted = load_encoder(fresh, RUNTIME), torch.from_numpy(read_vectors([targets]))
    with torch.no_grad():
        features = model.preprocess(texts)
        oracle = MSELoss(model)([dict(features)], wanted)
        found = model(features)["sentence_embedding"]
    mine = squared_error(found, wanted)
    assert mine.item() == pytest.approx(32 * oracle.item(), rel=1e-5)
    assert mine.item() == pytest.approx(2 - 2 * (found * wanted).sum(dim=1).mean().item(), abs=1e-5)


def test_rates_rise_and_fall_in_every_cycle():
    from models.encoders.regression import rate

    shares = [rate(step, steps=12, cycles=3, warm_up=1) for step in range(12)]
    assert shares[:4] == shares[4:8] == shares[8:]
    assert shares[:4] == pytest.approx([1 / 2, 1, 2 / 3, 1 / 3])
    assert [rate(step, steps=4, cycles=1, warm_up=0) for step in range(4)] == [1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("kind", ["fresh", "static"])
def test_what_has_learned_is_nearer_to_the_teacher_on_other_texts(
    kind, encoder_teacher, texts, targets, fresh, tmp_path
):
    from models.encoders.regression import train_on_vectors

    start = fresh
    if kind == "static":
        start = tmp_path / "start"
        begun(start, encoder_teacher, StaticBackbone(kind="static"))
    meta = train_on_vectors(
        tmp_path / "out", student=start, texts=texts, vectors=[targets],
        config=CONFIG.model_copy(update={"epochs": 6, "cycles": 2}), runtime=RUNTIME, seed=0,
    )  # fmt: skip
    assert meta["texts"] == meta["rows"] == 40 and meta["steps"] == 30
    assert meta["final_loss"] < meta["first_loss"]
    others = topic_texts(30, 10, seed=9)
    wanted = vectors(encoder_teacher, others)
    before, after = (
        (vectors(one, others) * wanted).sum(axis=1).mean() for one in (start, tmp_path / "out")
    )
    assert after > before + 0.05


class Killed(Exception):
    pass


def test_a_training_goes_on_where_it_was_killed(fresh, texts, targets, tmp_path):
    from models.encoders.regression import train_on_vectors

    def train(name, kill_at=None):
        def on_progress(done, planned):
            if done == kill_at:
                raise Killed

        return train_on_vectors(
            tmp_path / name, student=fresh, texts=texts, vectors=[targets], config=CONFIG,
            runtime=RUNTIME.model_copy(update={"checkpoint_minutes": 0.0}), seed=0,
            checkpoints=tmp_path / f"{name}-scratch", on_progress=on_progress,
        )  # fmt: skip

    train("whole")
    with pytest.raises(Killed):
        train("killed", kill_at=6)
    assert train("killed")["resumed_from_step"] > 0
    assert tree_digest(tmp_path / "killed") == tree_digest(tmp_path / "whole")


def test_texts_and_dimensions_that_do_not_fit_are_refused(fresh, texts, tmp_path):
    from models.encoders.regression import train_on_vectors

    path = saved_vectors(tmp_path / "data.parquet", np.ones((2, 5), np.float32))
    options = {"student": fresh, "config": CONFIG, "runtime": RUNTIME, "seed": 0}
    with pytest.raises(InputError, match="32 dimensions and the teacher's vectors 5"):
        train_on_vectors(tmp_path / "a", texts=texts[:2], vectors=[path], **options)
    with pytest.raises(InputError, match="none to learn from"):
        train_on_vectors(tmp_path / "b", texts=[], vectors=[path], **options)


def test_the_router_gives_each_side_its_own_vectors_to_any_user(
    encoder_teacher, fresh, texts, tmp_path
):
    from sentence_transformers import SentenceTransformer

    from models.encoders.router import save_router

    prompts = {"query": "of ", "document": ""}
    save_router(tmp_path, student=fresh, teacher=encoder_teacher, prompts=prompts, runtime=RUNTIME)
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    asked = loaded.encode_query(texts, show_progress_bar=False)
    assert np.allclose(asked, vectors(fresh, texts, "of "), atol=1e-5)
    found = loaded.encode_document(texts, show_progress_bar=False)
    assert np.allclose(found, vectors(encoder_teacher, texts), atol=1e-5)
    assert loaded.similarity_fn_name == "cosine"
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert any(name.startswith("query_0_") for name in folders) or folders == {"0_Router"}


def test_a_folder_that_is_no_encoder_is_refused(tmp_path):
    from models.encoders.loading import load_encoder

    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded as a text encoder"):
        load_encoder(tmp_path, RUNTIME)


def test_quantised_documents_are_those_of_sentence_transformers(encoder_teacher):
    from sentence_transformers.util import quantize_embeddings

    found = vectors(encoder_teacher, topic_texts(150, 10, seed=2))
    low, high = found.min(axis=0), found.max(axis=0)
    levels = quantize_embeddings(found, "int8").astype(np.float32) + 128
    assert np.allclose(kept(found, "int8"), levels * ((high - low) / 255) + low, atol=1e-6)
    bits = np.unpackbits(
        (quantize_embeddings(found, "binary").astype(int) + 128).astype(np.uint8), axis=1
    )
    assert np.array_equal(kept(found, "binary") > 0, bits[:, :32].astype(bool))


def test_figures_are_those_of_the_librarys_evaluators(encoder_teacher):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import (
        EmbeddingSimilarityEvaluator,
        InformationRetrievalEvaluator,
    )

    model = SentenceTransformer(str(encoder_teacher), device="cpu")
    asked = {f"q{k}": text for k, text in enumerate(topic_texts(TOPICS, 4, seed=3))}
    corpus = {f"d{k}": text for k, text in enumerate(topic_texts(4 * TOPICS, 12, seed=4))}
    relevant = {q: {f"d{k + TOPICS * i}" for i in range(4)} for k, q in enumerate(asked)}
    oracle = InformationRetrievalEvaluator(
        asked, corpus, relevant, show_progress_bar=False, ndcg_at_k=[10], write_csv=False
    )(model)
    queries, documents = (vectors(encoder_teacher, list(x.values())) for x in (asked, corpus))
    ranked = best(queries, documents, list(corpus), 10)
    mine = [
        ndcg(names, dict.fromkeys(relevant[q], 1), 10)
        for q, names in zip(asked, ranked, strict=True)
    ]
    (value,) = (value for name, value in oracle.items() if name.endswith("cosine_ndcg@10"))
    assert np.mean(mine) == pytest.approx(value, abs=1e-6)
    left, right = topic_texts(20, 8, seed=5), topic_texts(20, 8, seed=6)
    scores = np.random.default_rng(0).random(20).tolist()
    judged = EmbeddingSimilarityEvaluator(
        left, right, scores, show_progress_bar=False, write_csv=False
    )
    (value,) = (v for name, v in judged(model).items() if name.endswith("spearman_cosine"))
    cosines = (vectors(encoder_teacher, left) * vectors(encoder_teacher, right)).sum(axis=1)
    assert spearman(cosines, scores) == pytest.approx(value, abs=1e-6)
