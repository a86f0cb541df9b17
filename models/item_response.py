"""The two-parameter logistic item response model, fitted by marginal maximum a posteriori.

    P(x_ij = 1) = 1 / (1 + exp(-a_i (theta_j - b_i)))      (Birnbaum 1968)

a_i is the discrimination of item i, b_i its difficulty, theta_j the ability of person j. Abilities
are integrated out over a standard normal distribution (Bock and Aitkin 1981); with few persons the
items need priors, here ln a ~ N(0, 0.5^2) and b ~ N(0, 1.5^2) (after Mislevy 1986). ARTE's paper
names the model, and two estimators that contradict each other; this one is this project's choice.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

A_SPREAD, B_SPREAD = 0.5, 1.5  # standard deviations of the priors of ln a and of b
_NODES = 61


class Fit(NamedTuple):
    """Items and persons in their order."""

    discrimination: np.ndarray  # (items,)
    difficulty: np.ndarray  # (items,)
    ability: np.ndarray  # (persons,), mean of the posterior
    loss: float  # negative log posterior, nats


def fit_2pl(responses: np.ndarray, steps: int = 200) -> Fit:
    """Fit to answers of persons to items.

    Args:
        responses: (persons, items) of 1, right, and 0.
        steps: Iterations of L-BFGS at most.

    Raises:
        ValueError: there is no person or item, or an answer that is neither.
    """
    right = torch.as_tensor(responses, dtype=torch.float64)
    if right.ndim != 2 or not right.numel() or not ((right == 0) | (right == 1)).all():
        raise ValueError("responses: must be persons x items of 0 and 1")
    nodes, weights = _abilities()
    log_a = torch.zeros(right.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(right.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log_a, b], max_iter=steps, line_search_fn="strong_wolfe", tolerance_grad=1e-9
    )

    def loss() -> Tensor:
        joint = log_likelihoods(right, log_a.exp(), b, nodes) + weights
        prior = (log_a / A_SPREAD).square().sum() / 2 + (b / B_SPREAD).square().sum() / 2
        return prior - torch.logsumexp(joint, dim=1).sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        joint = log_likelihoods(right, log_a.exp(), b, nodes) + weights
        ability = torch.softmax(joint, dim=1) @ nodes
        return Fit(log_a.exp().numpy(), b.numpy().copy(), ability.numpy(), float(loss()))


def log_likelihoods(right: Tensor, a: Tensor, b: Tensor, nodes: Tensor) -> Tensor:
    """ln P(answers | theta) of every person at every node; shape (persons, nodes)."""
    logits = a * (nodes[:, None] - b)  # (nodes, items)
    return right @ logsigmoid(logits).T + (1 - right) @ logsigmoid(-logits).T


def _abilities() -> tuple[Tensor, Tensor]:
    """Nodes over a standard normal distribution, and the logarithms of their weights."""
    nodes = torch.linspace(-5, 5, _NODES, dtype=torch.float64)
    return nodes, torch.log_softmax(-nodes.square() / 2, dim=0)
