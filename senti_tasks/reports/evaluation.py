"""What a report draws from the probabilities of an evaluation: curves, reliability, slices and mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from senti_tasks.judging import shares, temperature

Probabilities = npt.NDArray[np.float64]
Curve = list[tuple[float, float]]

BINS = 10
"""Bins of the reliability diagram; fewer than those of the ECE, so that each has rows enough to be drawn."""
CONFIDENCE = 0.95
ALL_ROWS = "all test rows"
_LENGTHS = (30, 100, 300)  # upper ends of the length bands, as those of the gate's slices
PRODUCTS_SHOWN = 20
LEAST_ROWS = 5
"""Rows of a product below which its accuracy says nothing and is left out."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The test rows of an evaluation, in one order, and what each model gave them."""

    review_ids: Sequence[Any]
    labels: npt.NDArray[np.int64]
    """(n,)"""
    products: Sequence[str | None]
    characters: npt.NDArray[np.int64]
    """(n,)"""
    probabilities: Mapping[str, Probabilities]
    """``candidate`` and its references to (n, n_labels)."""
    temperature: float
    """Of the variant that serves: its logits were divided by it."""


def figures(judged: Judged) -> dict[str, Any]:
    """roc and precision_recall (each subject to its curve, with two labels only), reliability (before and after the
    temperature), slices and mistakes (row numbers, the most confident first); n must be above 0."""
    candidate = judged.probabilities["candidate"]
    two = candidate.shape[1] == 2 and len(np.unique(judged.labels)) == 2
    scores = {name: given[:, 1] for name, given in judged.probabilities.items()} if two else {}
    before = temperature.scaled(candidate, 1 / judged.temperature)
    return {
        "roc": {name: roc(judged.labels, given) for name, given in scores.items()},
        "precision_recall": {name: precision_recall(judged.labels, given) for name, given in scores.items()},
        "reliability": {
            "before calibration": reliability(judged.labels, before),
            "after calibration": reliability(judged.labels, candidate),
        },
        "slices": accuracy_by_slice(judged),
        "mistakes": mistakes(judged.labels, candidate),
    }


def roc(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> Curve:
    """(false positive rate, true positive rate) for every threshold, the highest first; both labels must occur."""
    right, wrong = _counts(labels, scores)
    return [(0.0, 0.0), *zip((wrong / wrong[-1]).tolist(), (right / right[-1]).tolist(), strict=True)]


def precision_recall(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> Curve:
    """(recall, precision) for every threshold, the highest first; label 1 must occur."""
    right, wrong = _counts(labels, scores)
    return list(zip((right / right[-1]).tolist(), (right / (right + wrong)).tolist(), strict=True))


def _counts(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    """True and false positives at each distinct threshold, the highest first."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    right = np.cumsum(labels[order] == 1)[ends]
    return right, ends + 1 - right


def reliability(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> Curve:
    """(mean confidence, accuracy) of the bins of equal width that have rows, the least confident first."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        (float(confidence[bins == one].mean()), float(right[bins == one].mean())) for one in np.unique(bins).tolist()
    ]


def accuracy_by_slice(judged: Judged) -> list[dict[str, Any]]:
    """kind (all, length or product), name, rows, accuracy, low and high (bounds of 95 % each, Wilson) of each slice
    that has rows; the ``PRODUCTS_SHOWN`` most frequent products with ``LEAST_ROWS`` rows or more."""
    right = judged.probabilities["candidate"].argmax(axis=1) == judged.labels
    found = []
    for kind, name, mask in masks(judged):
        if rows := int(mask.sum()):
            correct = int(right[mask].sum())
            low, high = shares.accuracy_bounds(correct, rows, CONFIDENCE)
            found.append(
                {"kind": kind, "name": name, "rows": rows, "accuracy": correct / rows, "low": low, "high": high}
            )
    return found


def masks(judged: Judged) -> list[tuple[str, str, npt.NDArray[np.bool_]]]:
    """kind, name and mask (n,) of all rows, of each length band, and of the most frequent products."""
    found = [("all", ALL_ROWS, np.ones(len(judged.labels), dtype=bool))]
    first = 0
    for last in _LENGTHS:
        inside = (judged.characters >= first) & (judged.characters <= last)
        found.append(("length", f"{first} to {last} characters", inside))
        first = last + 1
    found.append(("length", f"{first} characters and more", judged.characters >= first))
    products = np.array([product or "" for product in judged.products], dtype=object)
    names, counts = np.unique(products, return_counts=True)
    shown = sorted(zip((-counts).tolist(), names.tolist(), strict=True))
    shown = [(n, name) for n, name in shown if name and -n >= LEAST_ROWS][:PRODUCTS_SHOWN]
    return found + [("product", name, products == name) for _, name in shown]


def mistakes(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> list[int]:
    """The numbers of the rows with a wrong label, the most confident first."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return [int(row) for row in wrong[order]]
