"""Detects collapsed trainings: with some seeds or learning rates, BERT gives every text the same label."""

from collections.abc import Mapping

import numpy as np


def collapse_of(validation: Mapping[str, float], *, balanced: bool = False) -> str | None:
    """How a model collapsed, as part of a sentence; ``None`` if it did not.

    ``validation`` are its figures on the validation split, from ``measure``. A collapsed model gives all rows the same
    label, or its accuracy is not higher than that of always predicting the most frequent label (Mosbach et al. 2021,
    "On the Stability of Fine-tuning BERT", call that a failed run). With ``balanced`` class weights, accuracy may be
    lost on the frequent label. Then the mean recall must be higher than 1 / (number of labels in the split).
    """
    cells = [count for name, count in validation.items() if name.startswith("confusion_")]
    n_labels = round(len(cells) ** 0.5)
    counts = np.array(
        [[validation[f"confusion_{true}_{given}"] for given in range(n_labels)] for true in range(n_labels)]
    )
    per_label = counts.sum(axis=1)  # (n_labels,) rows of each true label
    if np.count_nonzero(counts.sum(axis=0)) == 1:
        return "it gives every validation row the same label"
    if balanced:
        present = per_label > 0
        found, trivial = (counts.diagonal()[present] / per_label[present]).mean(), 1 / present.sum()
        what = "a mean recall"
    else:
        found, trivial = counts.diagonal().sum() / counts.sum(), per_label.max() / counts.sum()
        what = "an accuracy"
    if found > trivial:
        return None
    return f"{what} of {found:.4f} on the validation split, where one label for every row has {trivial:.4f}"
