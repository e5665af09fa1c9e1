"""Labels of unequal number, given equal weight in the loss."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


def balanced_weights(labels: Sequence[int], n_labels: int) -> torch.Tensor:
    """The weight of each label, (n_labels,): n / (n_labels * rows of it), and 0 where there is no row of it."""
    rows = np.bincount(labels, minlength=n_labels)
    return torch.tensor([len(labels) / (n_labels * n) if n else 0.0 for n in rows.tolist()])


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of ``logits`` (B, n_labels) with ``labels`` (B,), a row weighing what its label does; a scalar.

    Divided by the rows of the batch. torch's own mean divides by their weights, which would take the weight back from
    a batch of one label.
    """
    total = functional.cross_entropy(logits.float(), labels, weight=weights.to(logits.device), reduction="sum")
    return total / len(labels)
