"""The two-parameter logistic model: known parameters come back, and the posterior is what it says.

`girth`, the usual library for it, is not installed here; the oracle is simulation.
"""

import numpy as np
import pytest
import torch

from models.item_response import A_SPREAD, B_SPREAD, _abilities, fit_2pl, log_likelihoods


def simulated(a, b, persons, seed):
    rng = np.random.default_rng(seed)
    ability = rng.normal(size=persons)
    chance = 1 / (1 + np.exp(-a * (ability[:, None] - b)))
    return ability, (rng.random(chance.shape) < chance).astype(float)


def test_known_parameters_come_back():
    a, b = np.linspace(0.4, 2.5, 20), np.tile(np.linspace(-1.5, 1.5, 5), 4)
    ability, right = simulated(a, b, 4_000, seed=0)
    fit = fit_2pl(right)
    # Standard errors with so many persons are some 0.05; priors pull a little.
    assert np.abs(fit.discrimination - a).max() < 0.25
    assert np.corrcoef(fit.discrimination, a)[0, 1] > 0.98
    assert np.abs(fit.difficulty - b)[a > 0.8].max() < 0.15
    assert np.corrcoef(fit.ability, ability)[0, 1] > 0.9


def test_an_item_that_tells_nothing_is_of_low_discrimination():
    """Of few persons: the items that only the able answer are found among coins."""
    rng = np.random.default_rng(1)
    ability = np.linspace(-2, 2, 30)
    good = (ability[:, None] > np.array([-0.5, 0.0, 0.5])).astype(float)
    coins = (rng.random((30, 9)) < 0.5).astype(float)
    fit = fit_2pl(np.hstack([good, coins]))
    assert set(np.argsort(-fit.discrimination)[:3]) == {0, 1, 2}
    assert fit.difficulty[0] < fit.difficulty[1] < fit.difficulty[2]


def test_an_item_that_all_answer_alike_is_finite_and_stays_near_the_prior():
    fit = fit_2pl(np.array([[1.0, 0.0, 1.0]] * 5 + [[1.0, 0.0, 0.0]] * 5))
    assert np.isfinite([*fit.discrimination, *fit.difficulty, *fit.ability]).all()
    assert fit.difficulty[0] < 0 < fit.difficulty[1]


def test_the_loss_is_the_negative_log_posterior_and_its_gradient_vanishes():
    a, b = np.array([0.8, 1.5, 1.0]), np.array([-0.5, 0.2, 1.0])
    _, right = simulated(a, b, 50, seed=2)
    fit = fit_2pl(right)
    nodes = np.linspace(-5, 5, 61)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()

    def negative(a, b):
        chance = 1 / (1 + np.exp(-a * (nodes[:, None] - b)))  # (nodes, items)
        each = [
            (weights * np.prod(np.where(row == 1, chance, 1 - chance), axis=1)).sum()
            for row in right
        ]
        prior = (np.log(a) / A_SPREAD) ** 2 / 2 + (b / B_SPREAD) ** 2 / 2
        return prior.sum() - np.log(each).sum()

    assert fit.loss == pytest.approx(negative(fit.discrimination, fit.difficulty), rel=1e-9)
    for shift in (1e-3, -1e-3):
        assert negative(fit.discrimination * np.exp(shift), fit.difficulty) > fit.loss
        assert negative(fit.discrimination, fit.difficulty + shift) > fit.loss


def test_the_likelihood_at_known_values():
    _, weights = _abilities()
    assert float(weights.exp().sum()) == pytest.approx(1)
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    a, b = torch.tensor([1.0, 2.0]).double(), torch.tensor([0.0, 1.0]).double()
    found = log_likelihoods(one, a, b, torch.tensor([0.0]).double())
    assert found.item() == pytest.approx(np.log(0.5) + np.log(1 - 1 / (1 + np.exp(2))))


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.array([1.0, 0.0]), np.array([[0.5, 1.0]])])
def test_what_are_no_answers_is_refused(bad):
    with pytest.raises(ValueError, match="persons x items of 0 and 1"):
        fit_2pl(bad)
