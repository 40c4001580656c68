"""The loss: cross-entropy over the allowed answers of each pixel, and soft Dice where the answer is certain."""

import torch
from torch import Tensor
from torch.nn import functional

from training.generator.labels import CLASSES

# Thin and decisive classes count more than the background, which fills nine tenths of a slice.
_WEIGHTS = (0.6, 1.0, 1.2, 1.4, 1.4, 1.4)


def _allowed(targets: Tensor) -> Tensor:
    """(batch, rows, columns) bit masks to (batch, classes, rows, columns) booleans."""
    bits = torch.tensor([1 << one for one in range(len(CLASSES))], dtype=torch.uint8).view(1, -1, 1, 1)
    return (targets.unsqueeze(1) & bits) > 0


def segmentation_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the soft Dice of each class; `targets` are bit masks (see generator.labels)."""
    allowed = _allowed(targets).float()
    answers = allowed.sum(1)
    weight = (torch.tensor(_WEIGHTS).view(1, -1, 1, 1) * allowed).sum(1) / answers
    p = functional.softmax(logits.contiguous(), dim=1)  # channels-last softmax is slow
    right = p * allowed
    entropy = -(weight * right.sum(1).clamp_min(1e-8).log()).sum() / weight.sum()
    certain = (answers == 1).float().unsqueeze(1)
    overlap, said, truth = ((x * certain).sum((0, 2, 3)) for x in (right, p, allowed))
    dice = (2 * overlap + 20) / (said + truth + 20)
    return entropy + 1 - dice[1:].mean(), dice.detach()
