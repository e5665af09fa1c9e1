"""What a scorer thinks of texts, as labels, scores and confidences."""

import numpy as np
import pytest

from senti_tasks.scoring.predictions import Predictions


def predictions(*rows: list[float], reasons: dict[int, str] | None = None) -> Predictions:
    return Predictions(np.array(rows, dtype=np.float32), np.zeros(len(rows), dtype=bool), reasons or {})


def test_a_score_is_the_probability_of_positive() -> None:
    found = predictions([0.2, 0.8], [0.9, 0.1])
    assert found.scores.tolist() == pytest.approx([0.8, 0.1])
    assert found.labels.tolist() == [1, 0]
    assert found.confidences.tolist() == pytest.approx([0.8, 0.9])


def test_with_more_labels_than_two_a_score_is_the_expected_label_scaled() -> None:
    assert predictions([0, 0, 0.5, 0, 0.5]).scores.tolist() == pytest.approx([0.75])


def test_a_score_does_not_leave_its_range() -> None:
    assert predictions([0.0, 1.0000001], [1.0, -1e-9]).scores.tolist() == [1.0, 0.0]


def test_a_text_with_a_reason_has_no_label_and_no_numbers() -> None:
    found = predictions([0.2, 0.8], [np.nan, np.nan], reasons={1: "the text is blank"})
    assert found.labels.tolist() == [1, -1]
    assert np.isnan(found.scores).tolist() == np.isnan(found.confidences).tolist() == [False, True]


def test_probabilities_are_complete_when_no_text_has_a_reason() -> None:
    found = predictions([0.2, 0.8])
    assert found.complete is found.probabilities


def test_what_is_incomplete_names_the_first_text_and_why() -> None:
    nothing = [np.nan, np.nan]
    found = predictions(nothing, [0.2, 0.8], nothing, reasons={2: "it holds a NUL", 0: "it is blank"})
    with pytest.raises(ValueError, match="2 of 3 texts have no label; 0: it is blank"):
        _ = found.complete
