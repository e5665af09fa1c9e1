"""Bins of scores: about as many rows in each, and none that is empty."""

import numpy as np

from senti_tasks.judging.score_bins import score_bins


def test_each_of_ten_bins_has_a_tenth_of_the_rows() -> None:
    scores = np.random.default_rng(3).permutation(np.linspace(0.01, 0.99, 1_000))
    found = score_bins(np.column_stack([1 - scores, scores]))
    assert found is not None
    assert len(found["edges"]) == 9
    assert found["rows"] == 1_000
    assert np.allclose(found["shares"], 0.1)


def test_equal_scores_make_fewer_bins_and_one_score_makes_none() -> None:
    scores = np.array([0.1] * 50 + [0.9] * 50)
    found = score_bins(np.column_stack([1 - scores, scores]))
    assert found is not None
    assert len(found["edges"]) == 1
    assert found["shares"] == [0.5, 0.5]
    assert score_bins(np.full((10, 2), 0.5)) is None
    assert score_bins(np.zeros((0, 2))) is None
