import numpy as np
import pytest
import torch
from sklearn.utils import compute_class_weight
from torch.nn import functional

from senti_tasks.training.loop.trainer import balanced_weights, weighted_loss

LABELS = [0] * 2 + [1] * 12 + [2] * 6


def test_the_weights_are_those_that_scikit_learn_calls_balanced() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(LABELS))
    assert balanced_weights(LABELS, 3).tolist() == pytest.approx(expected.tolist())


def test_labels_of_equal_number_weigh_one() -> None:
    assert balanced_weights([0, 1, 1, 0], 2).tolist() == [1.0, 1.0]


def test_a_label_without_rows_weighs_nothing() -> None:
    assert balanced_weights([0, 0, 1, 1], 3).tolist() == pytest.approx([2 / 3, 2 / 3, 0])


def test_every_label_has_the_same_part_in_the_loss_of_all_rows() -> None:
    logits, labels = torch.zeros(len(LABELS), 3), torch.tensor(LABELS)
    weights = balanced_weights(LABELS, 3)
    parts = [weighted_loss(logits[labels == label], labels[labels == label], weights) for label in range(3)]
    rows = [int((labels == label).sum()) for label in range(3)]
    shares = [float(part) * n for part, n in zip(parts, rows, strict=True)]
    assert shares == pytest.approx([shares[0]] * 3)


def test_a_batch_of_one_label_keeps_its_weight() -> None:
    logits, labels = torch.randn(4, 2, generator=torch.Generator().manual_seed(1)), torch.ones(4, dtype=torch.long)
    plain = functional.cross_entropy(logits, labels)
    assert float(weighted_loss(logits, labels, torch.tensor([0.5, 5.0]))) == pytest.approx(5 * float(plain))
