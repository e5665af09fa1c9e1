import numpy as np
import pytest

from senti_tasks.judging.evaluation import measure


def test_figures_of_a_small_example_worked_by_hand() -> None:
    labels = np.array([1, 1, 0, 0])
    probabilities = np.array([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]], dtype=np.float32)
    figures = measure(labels, probabilities)
    assert figures["rows"] == 4
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx(0.5)
    assert figures["roc_auc"] == pytest.approx(0.75)
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean(), abs=1e-6)
    assert [figures[f"confusion_{true}_{predicted}"] for true in (0, 1) for predicted in (0, 1)] == [1, 1, 1, 1]


def test_one_class_has_no_roc_auc() -> None:
    figures = measure(np.array([1, 1]), np.array([[0.2, 0.8], [0.4, 0.6]]))
    assert "roc_auc" not in figures
    assert figures["macro_f1"] == 0.5  # the label nobody has counts 0


def test_what_is_no_probability_is_refused() -> None:
    for row in ([0.2, 0.2], [np.nan, 1.0], [-1.0, 2.0]):
        with pytest.raises(ValueError, match="non-negative and sum to 1"):
            measure(np.array([1]), np.array([row]))


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="n > 0"):
        measure(np.zeros(0, dtype=int), np.zeros((0, 2)))
