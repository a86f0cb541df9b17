"""Losses of a model that ranks compounds: ListMLE with a temperature, and what a student learns.

ListMLE (Xia et al. 2008) is the negative log-likelihood of an order under the model of Plackett and
Luce. AuroBind's preference stage is it with tau 0.1 and no reference model.
"""

import torch
from torch import Tensor


def listmle(scores: Tensor, values: Tensor, temperature: float) -> Tensor:
    """Mean over lists and places of the negative log-likelihood that each place is filled as
    measured, nats; a scalar.

        - 1/(B L) sum_b sum_k [ s_k / tau - log sum_{j: v_j <= v_k} exp(s_j / tau) ]

    Args:
        scores: Predictions s, (B, L).
        values: What was measured, (B, L), the higher the better.

    Of a list of two it is half the pairwise logistic loss of (s_1 - s_2) / tau. Equal values stand
    in each other's denominators (Breslow's way with ties), so that the loss does not depend on how
    they are written down; it is least where their scores are equal. Ties are our reconstruction:
    the paper says nothing of them.
    """
    order = values.argsort(dim=1, descending=True, stable=True)
    scaled = scores.gather(1, order) / temperature
    ranked = values.gather(1, order)
    # Log-sums over the places from each on, then those of the first of its equals.
    sums = scaled.flip(1).logcumsumexp(dim=1).flip(1)
    places = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    begins = torch.cat([torch.ones_like(ranked[:, :1], dtype=torch.bool),
                        ranked[:, 1:] < ranked[:, :-1]], dim=1)  # fmt: skip
    first = torch.where(begins, places, torch.zeros_like(places)).cummax(dim=1).values
    return (sums.gather(1, first) - scaled).mean()


def squared_error(scores: Tensor, values: Tensor) -> Tensor:
    """Mean squared error, a scalar; squared log units."""
    return (scores - values).square().mean()


def fast_loss(
    features: Tensor,
    wanted: Tensor,
    scores: Tensor,
    taught: Tensor,
    feature_weight: float,
    score_weight: float,
) -> Tensor:
    """alpha |H_S - H_T|^2 + beta |y_S - y_T|, means over the batch, a scalar.

    Args:
        features: The student's H_S, (B, d).
        wanted: The teacher's trunk H_T, (B, d).
        scores: The student's, (B,).
        taught: The teacher's, (B,).

    alpha, beta and what y_T is (a label or the teacher's score) are not published; the teacher's
    score is our reconstruction, and so is the mean over d.
    """
    apart = (features - wanted).square().mean()
    return feature_weight * apart + score_weight * (scores - taught).abs().mean()
