"""Losses in closed form, networks that learn a made-up order, compounds as RDKit has them."""

import itertools
import math

import numpy as np
import pytest
import torch

from data.activities import Cells
from data.errors import TrainingError
from data.fingerprints import SetBits, bits
from data.recipes.fitness import (
    FastConfig,
    FingerprintConfig,
    FitConfig,
    PreferenceConfig,
    RankerConfig,
    SyntheticConfig,
)
from data.recipes.recipe import RuntimeConfig
from data.retrieval import spearman
from models.fitness.fast import Prior, fit_fast, predict_fast, speeds
from models.fitness.losses import fast_loss, listmle, squared_error
from models.fitness.networks import Fast, load_fast, load_teacher
from models.fitness.training import Compounds, fit_teacher, predict, tune_teacher
from tests.fixtures.compounds import needs_chem

RUNTIME = RuntimeConfig(device="cpu")


def scores(*values):
    return torch.tensor([values], dtype=torch.float64)


# ListMLE


@pytest.mark.parametrize("tau", [0.1, 1.0])
@pytest.mark.parametrize("gap", [-0.7, 0.0, 0.2])
def test_of_two_it_is_half_the_pairwise_logistic_loss(gap, tau):
    found = listmle(scores(gap, 0.0), scores(2.0, 1.0), tau)
    assert found.item() == pytest.approx(math.log1p(math.exp(-gap / tau)) / 2)


def test_the_likelihoods_of_all_orders_add_up_to_one():
    said = scores(0.3, -0.2, 0.9, 0.1)
    total = sum(
        math.exp(-4 * listmle(said, scores(*map(float, order)), 0.5).item())
        for order in itertools.permutations(range(4))
    )
    assert total == pytest.approx(1)


def test_it_is_the_sum_over_places_of_the_formula():
    said, true = [0.3, -0.2, 0.9], [5.0, 7.0, 6.0]
    wanted, tau = 0.0, 0.25
    for place in range(3):
        below = [said[j] / tau for j in range(3) if true[j] <= true[place]]
        wanted += math.log(sum(map(math.exp, below))) - said[place] / tau
    assert listmle(scores(*said), scores(*true), tau).item() == pytest.approx(wanted / 3)


def test_how_a_list_is_written_down_does_not_matter_ties_neither():
    said, true = torch.randn(1, 6, dtype=torch.float64), scores(5.0, 6.0, 6.0, 6.0, 7.0, 5.0)
    found = listmle(said, true, 0.3).item()
    for seed in range(5):
        order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
        assert listmle(said[:, order], true[:, order], 0.3).item() == pytest.approx(found)


def test_equal_values_want_equal_scores():
    true, said = scores(6.0, 6.0, 6.0), scores(0.0, 0.0, 0.0).requires_grad_()
    even = listmle(said, true, 1.0)
    even.backward()
    assert even.item() == pytest.approx(math.log(3)) and said.grad.abs().max() < 1e-12
    assert listmle(scores(0.5, 0.0, -0.5), true, 1.0) > even


def test_a_constant_added_changes_nothing_and_the_gradient_pulls_the_order_right():
    said, true = scores(0.1, 0.2, 0.3).requires_grad_(), scores(3.0, 2.0, 1.0)
    found = listmle(said, true, 0.5)
    assert listmle(said + 7, true, 0.5).item() == pytest.approx(found.item())
    found.backward()
    assert said.grad[0, 0] < 0 < said.grad[0, 2] and said.grad.sum().abs() < 1e-12


def test_a_temperature_is_a_unit_of_the_scores():
    said, true = scores(0.4, 0.1, 0.2), scores(1.0, 3.0, 2.0)
    assert listmle(said, true, 0.1).item() == pytest.approx(listmle(10 * said, true, 1.0).item())
    assert listmle(100 * true, true, 0.1).item() == pytest.approx(0, abs=1e-9)


def test_errors_and_what_the_student_learns():
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])
    assert squared_error(one, other).item() == 2
    features = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = fast_loss(features, torch.zeros(2, 2), one, other, 0.5, 2.0)
    assert found.item() == pytest.approx(0.5 * 0.25 + 2.0 * 1.0)


# Networks


def world(n=400, width=128, targets=2, seed=0):
    """Compounds of random bits and a value that is a sum over them, another for each target."""
    rng = np.random.default_rng(seed)
    whole = (rng.random((n, width)) < 0.2).astype(np.uint8)
    weights = rng.normal(size=(targets, width))
    target = rng.integers(0, targets, n)
    value = 6 + 0.3 * (whole * weights[target]).sum(axis=1)
    molecule = np.arange(n)
    names = [f"t{k}" for k in range(targets)]
    cells = Cells([str(k) for k in range(n)], names, molecule, target, value, np.zeros(n, bool))
    return np.packbits(whole, axis=1), np.eye(targets, dtype=np.float32), cells


CONFIG = FitConfig(width=64, trunk=32, epochs=30, batch_size=32, learning_rate=3e-3, dropout=0)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher")
    fingerprints, vectors, cells = world()
    compounds = Compounds.of(fingerprints, vectors, RUNTIME)
    meta = fit_teacher(out, compounds=compounds, cells=cells, config=CONFIG, share=1.0, seed=0)
    return out, fingerprints, compounds, cells, meta


def said_by(folder, compounds, cells):
    model = load_teacher(folder, torch.device("cpu"))
    return predict(model, compounds, cells.molecule, cells.target)


def test_a_teacher_learns_values_of_every_target(fitted):
    out, _, compounds, cells, meta = fitted
    found = said_by(out, compounds, cells)
    assert np.sqrt(np.square(found - cells.value).mean()) < 0.2 * cells.value.std()
    assert meta["steps"] == 30 * (400 // 32) and meta["learned"] == 400
    assert meta["parameters"] == 128 * 64 + 64 + 2 * 64 + 64 * 32 + 32 + 32 + 1


def test_the_same_seed_gives_the_same_weights_and_a_share_another_set(fitted, tmp_path):
    _, _, compounds, cells, _ = fitted
    files, short = [], CONFIG.model_copy(update={"epochs": 1})
    for name, share, seed in (("a", 1.0, 1), ("b", 1.0, 1), ("c", 0.5, 1), ("d", 1.0, 2)):
        (tmp_path / name).mkdir()
        meta = fit_teacher(tmp_path / name, compounds=compounds, cells=cells, config=short,
                           share=share, seed=seed)  # fmt: skip
        assert meta["learned"] == round(share * 400)
        files.append((tmp_path / name / "model.safetensors").read_bytes())
    assert files[0] == files[1] and len(set(files)) == 3


def listed(cells, size=4, n=200, seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.choice(cells.of(k % 2), size, replace=False) for k in range(n)]
    return np.stack(rows)


@pytest.mark.parametrize("objective", ["listwise", "regression"])
def test_lists_of_a_reversed_order_turn_a_teacher_round(fitted, tmp_path, objective):
    """Whatever the loss: the values are what is learned, and they are not those it began with."""
    out, _, compounds, cells, _ = fitted
    other = Cells(cells.ids, cells.targets, cells.molecule, cells.target, 12 - cells.value,
                  cells.cliff)  # fmt: skip
    config = PreferenceConfig(temperature=0.5, learning_rate=3e-3, batch_lists=4)
    meta = tune_teacher(
        tmp_path, start=out, compounds=compounds, cells=other, lists=listed(cells, n=800),
        config=config, objective=objective, runtime=RUNTIME, seed=0,
    )  # fmt: skip
    found, rows = said_by(tmp_path, compounds, other), cells.of(0)
    assert spearman(said_by(out, compounds, cells)[rows], cells.value[rows]) > 0.9
    assert spearman(found[rows], cells.value[rows]) < -0.5
    assert meta["steps"] == 200 and meta["lists"] == 800


def test_an_anchor_keeps_the_scale_that_lists_alone_leave(fitted, tmp_path):
    out, _, compounds, cells, _ = fitted
    errors = {}
    for anchor in (0.0, 10.0):
        config = PreferenceConfig(temperature=3.0, anchor=anchor, learning_rate=3e-3)
        folder = tmp_path / str(anchor)
        folder.mkdir()
        tune_teacher(
            folder, start=out, compounds=compounds, cells=cells, lists=listed(cells, n=3200),
            config=config, objective="listwise", runtime=RUNTIME, seed=0,
        )  # fmt: skip
        errors[anchor] = np.abs(said_by(folder, compounds, cells) - cells.value).mean()
    assert errors[10.0] < 0.5 * errors[0.0]


def test_a_loss_that_is_not_finite_is_an_error(fitted, tmp_path):
    _, _, compounds, cells, _ = fitted
    config = CONFIG.model_copy(update={"learning_rate": 1e18})
    with pytest.raises(TrainingError, match="the loss is .* at step"):
        fit_teacher(tmp_path, compounds=compounds, cells=cells, config=config, share=1, seed=0)


@pytest.mark.parametrize("centroids", [0, 3])
def test_a_fast_student_learns_what_its_teacher_says(fitted, tmp_path, centroids):
    out, fingerprints, compounds, cells, _ = fitted
    teacher, cpu = load_teacher(out, torch.device("cpu")), torch.device("cpu")
    rng = np.random.default_rng(0)
    molecule, target = np.tile(cells.molecule, 2), np.repeat([0, 1], 400)
    features = rng.normal(size=(2, 3, 32)).astype(np.float32)
    prior = Prior.of(features, rng.integers(0, 3, 400), cpu) if centroids else None
    config = FastConfig(width=32, epochs=40, batch_size=64, learning_rate=5e-3)
    set_bits = SetBits.of(fingerprints)
    given = {"compounds": compounds, "set_bits": set_bits, "prior": prior}
    meta = fit_fast(tmp_path, teacher=teacher, **given, molecule=molecule, target=target,
                    config=config, seed=0)  # fmt: skip
    assert meta["pairs"] == 800
    student = load_fast(tmp_path, cpu)
    found = predict_fast(student, **given, molecule=molecule, target=target)
    taught = predict(teacher, compounds, molecule, target)
    for rows in (slice(0, 400), slice(400, 800)):
        assert spearman(found[rows], taught[rows]) > 0.9
    fast = speeds(teacher, student, compounds, set_bits, prior, cells.molecule, repeats=1)
    assert set(fast) == {"teacher", "student"} and min(fast.values()) > 0


def test_reading_set_bits_alone_is_a_product_with_all_of_them():
    fingerprints, vectors, _ = world(n=20)
    torch.manual_seed(0)
    model = Fast(128, 2, 8, 4, given=False)
    numbers, starts = SetBits.of(fingerprints).take(np.arange(20))
    target = torch.from_numpy(vectors[:1])
    with torch.no_grad():
        added = model.context(target, None)
        found = model.hidden((torch.from_numpy(numbers), torch.from_numpy(starts)), added)
        whole = torch.from_numpy(bits(fingerprints)).float() @ model.molecule.weight + added
        wanted = torch.relu(model.second(torch.relu(whole)))
    assert torch.allclose(found, wanted, atol=1e-5)


# Libraries


@needs_chem
def test_lambdarank_orders_within_a_target_and_is_the_same_again(tmp_path):
    from models.fitness.ranker import MODEL, fit_ranker, predict_ranker

    fingerprints, vectors, cells = world()
    texts = []
    for name in "ab":
        (tmp_path / name).mkdir()
        fit_ranker(tmp_path / name, fingerprints, vectors, cells, RankerConfig(trees=30), 0)
        texts.append((tmp_path / name / MODEL).read_text())
    assert texts[0] == texts[1]
    found = predict_ranker(tmp_path / "a", fingerprints, vectors, cells.molecule, cells.target)
    for target in range(2):
        rows = cells.of(target)
        assert spearman(found[rows], cells.value[rows]) > 0.6


@needs_chem
def test_a_target_of_more_compounds_than_lightgbm_takes_is_parted(tmp_path):
    from models.fitness.ranker import fit_ranker, predict_ranker

    fingerprints, vectors, cells = world(n=10_003, width=64, targets=1)
    config = RankerConfig(trees=5, leaves=4)
    assert fit_ranker(tmp_path, fingerprints, vectors, cells, config, 0)["learned"] == 10_003
    found = predict_ranker(tmp_path, fingerprints, vectors, cells.molecule, cells.target)
    assert spearman(found, cells.value) > 0.3


@needs_chem
def test_compounds_as_rdkit_has_them():
    from models.fitness.chemistry import Describer, canonical

    assert canonical("OCC") == canonical("C(O)C") == "CCO"
    assert canonical("C1CC") is None and canonical("") is None and canonical("not one") is None
    aspirin = Describer(FingerprintConfig())("CC(=O)Oc1ccccc1C(=O)O")
    assert aspirin.scaffold == "c1ccccc1" and aspirin.weight == pytest.approx(180.16, abs=0.01)
    assert (aspirin.donors, aspirin.acceptors) == (1, 3) and len(aspirin.fingerprint) == 128
    assert Describer(FingerprintConfig())("CCO").scaffold == ""


@needs_chem
def test_every_made_up_compound_is_one():
    from data.synthetic_activities import synthetic_activities
    from models.fitness.chemistry import canonical

    rows = synthetic_activities(SyntheticConfig(targets=2, molecules=2_000))
    assert all(canonical(smiles) for smiles in {row.smiles for row in rows})
