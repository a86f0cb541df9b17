"""What image networks minimise: VL2V's loss, and those that it is held against.

VL2V (arXiv 2310.08255), z the student's vector of an image, I the teacher's, T_y that of its class:

    L = -lambda cos(z, I) - (1 - lambda) cos(z, T_y)
"""

import torch
import torch.nn.functional as F


def to_vectors(
    found: torch.Tensor, image: torch.Tensor, text: torch.Tensor, weight: float
) -> torch.Tensor:
    """VL2V's loss, a mean over rows, from -1 to 1: vectors (B, d), `weight` lambda."""
    mine = F.normalize(found, dim=-1)
    alike = weight * mine * F.normalize(image, dim=-1)
    alike = alike + (1 - weight) * mine * F.normalize(text, dim=-1)
    return -alike.sum(dim=-1).mean()


def to_distribution(
    logits: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, weight: float
) -> torch.Tensor:
    """Logit distillation (Hinton et al. 2015, at temperature 1): `weight` times the labels'
    cross-entropy, and KL(teacher || student) for the rest. Logits (B, C), a mean over rows."""
    hard = F.cross_entropy(logits, labels)
    ours, its = F.log_softmax(logits, dim=-1), F.log_softmax(teacher, dim=-1)
    return weight * hard + (1 - weight) * F.kl_div(
        ours, its, reduction="batchmean", log_target=True
    )


def contrastive(
    found: torch.Tensor, text: torch.Tensor, captions: torch.Tensor, temperature: float
) -> torch.Tensor:
    """CLIP's loss with a frozen text encoder (LiT, arXiv 2111.07991): vectors of images and of
    their captions (B, d), a mean over both directions.

    Of images with the same caption, by its number in `captions` (B,), each is as good a match: the
    target is spread over them evenly (as Khosla et al. 2020 do). All alike, it is log B.
    """
    scores = F.normalize(found, dim=-1) @ F.normalize(text, dim=-1).T / temperature
    same = (captions[:, None] == captions[None, :]).float()
    wanted = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.T, wanted)) / 2
