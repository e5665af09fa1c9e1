"""Curves and slices, against other ways to compute them."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from senti_tasks.judging import temperature
from senti_tasks.reports import evaluation
from tests.sample_reports import judged


def test_the_area_below_the_roc_curve_is_that_of_scikit_learn_also_with_ties() -> None:
    rows = judged()
    scores = rows.probabilities["candidate"][:, 1].round(1)
    curve = evaluation.roc(rows.labels, scores)
    assert curve[0] == (0, 0)
    assert curve[-1] == (1, 1)
    assert auc(*zip(*curve, strict=True)) == pytest.approx(roc_auc_score(rows.labels, scores))


def test_precision_by_recall_is_that_of_scikit_learn() -> None:
    rows = judged()
    scores = rows.probabilities["candidate"][:, 1].round(1)
    recall, precision = np.array(evaluation.precision_recall(rows.labels, scores)).T
    steps = np.diff(recall, prepend=0)
    assert float(steps @ precision) == pytest.approx(average_precision_score(rows.labels, scores))


def test_before_calibration_are_the_probabilities_without_the_temperature() -> None:
    rows = judged()
    raw = np.array([[0.2, 0.8], [0.97, 0.03]])
    assert np.allclose(temperature.scaled(temperature.scaled(raw, 1.7), 1 / 1.7), raw)
    found = evaluation.figures(rows)["reliability"]
    assert found["before calibration"] != found["after calibration"]


def test_slices_add_up_and_a_bound_encloses_its_accuracy() -> None:
    found = evaluation.accuracy_by_slice(judged())
    lengths = [one for one in found if one["kind"] == "length"]
    assert sum(one["rows"] for one in lengths) == found[0]["rows"] == 400
    assert len([one for one in found if one["kind"] == "product"]) == 3, "reviews without a product are no product"
    assert all(one["low"] <= one["accuracy"] <= one["high"] for one in found)


def test_the_most_confident_mistake_is_first_and_three_labels_have_no_roc() -> None:
    labels = np.array([0, 1, 2, 1])
    given = np.array([[0.1, 0.6, 0.3], [0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.5, 0.3, 0.2]])
    rows = evaluation.Judged([1, 2, 3, 4], labels, [None] * 4, np.array([3, 3, 3, 3]), {"candidate": given}, 1.0)
    found = evaluation.figures(rows)
    assert found["mistakes"] == [2, 0, 3]
    assert found["roc"] == {}
