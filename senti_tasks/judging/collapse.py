"""Fine-tunings that learnt nothing: with some seeds or rates BERT ends up giving every text the same answer."""

from collections.abc import Mapping

import numpy as np


def collapse_of(validation: Mapping[str, float], *, balanced: bool = False) -> str | None:
    """How a model collapsed whose figures on the validation split (``measure``) these are; ``None`` if it did not.

    Collapsed means: one label for every row, or no more of them right than by always giving the most frequent one
    (Mosbach et al. 2021, "On the Stability of Fine-tuning BERT", call that a failed run). A training with ``balanced``
    labels may give up rows of the frequent one, so there it is the mean share right per label that must beat 1 / k.
    """
    cells = {name: count for name, count in validation.items() if name.startswith("confusion_")}
    n_labels = round(len(cells) ** 0.5)
    counts = np.array([[cells[f"confusion_{t}_{p}"] for p in range(n_labels)] for t in range(n_labels)])
    per_label = counts.sum(axis=1)  # (n_labels,) rows of each true label
    if np.count_nonzero(counts.sum(axis=0)) == 1:
        return "it gives every validation row the same label"
    if balanced:
        present = per_label > 0
        right, reached = float((counts.diagonal()[present] / per_label[present]).mean()), float(1 / present.sum())
        what = "a mean share right per label"
    else:
        right, reached = float(counts.diagonal().sum() / counts.sum()), float(per_label.max() / counts.sum())
        what = "an accuracy"
    if right <= reached:
        return f"{what} of {right:.4f} on the validation split, where one label for every row has {reached:.4f}"
    return None
