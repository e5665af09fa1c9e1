"""The thresholds of a cascade: chosen on one set of reviews, certified on another, and the certificate holds."""

from itertools import pairwise

import numpy as np
import pytest

from senti_tasks.judging import intervals, thresholds
from senti_tasks.judging.thresholds import Staged

LIMIT, CONFIDENCE = 0.005, 0.95
POPULATION = 200_000


def population(seed: int, n: int, rest_error: float = 0.001, slope: float = 6.0) -> Staged:
    """Reviews whose stage is wrong the less, the surer it is: a share exp(-slope * z) for the log-odds z."""
    draw = np.random.default_rng(seed)
    reference = draw.integers(0, 2, n)
    surety = draw.random(n)
    wrong = draw.random(n) < 0.5 * np.exp(-slope * surety)
    labels = np.where(wrong, 1 - reference, reference)
    rest = np.where(draw.random(n) < rest_error, 1 - reference, reference)
    return Staged(labels, 0.5 + surety / 2, rest, reference)


def part(staged: Staged, rows: np.ndarray) -> Staged:
    return Staged(staged.labels[rows], staged.confidences[rows], staged.rest[rows], staged.reference[rows])


@pytest.mark.parametrize(("rest_error", "slope"), [(0.001, 6.0), (0.0045, 5.0)])
def test_in_at_most_5_of_100_draws_does_a_certified_cascade_break_the_limit(rest_error: float, slope: float) -> None:
    """200 draws of a set to choose on and a set to certify on, each from a population whose true shares are known."""
    everything = population(1, POPULATION, rest_error, slope)
    broken = certified = 0
    for seed in range(200):
        rows = np.random.default_rng(1_000 + seed).choice(POPULATION, 10_000, replace=False)
        chosen, checked = part(everything, rows[:5_000]), part(everything, rows[5_000:])
        tested = thresholds.candidates(chosen, 2, 5_000, LIMIT, CONFIDENCE)
        passed, _ = thresholds.certify(tested, checked, LIMIT, CONFIDENCE)
        if passed is not None:
            certified += 1
            broken += everything.differing(passed.thresholds) / POPULATION > LIMIT
    assert broken <= 10
    if rest_error <= 0.001:
        assert certified >= 190, "the choice leaves slack, so that the certificate usually passes"


def test_a_cascade_whose_last_stage_breaks_the_limit_is_hardly_ever_certified() -> None:
    everything = population(2, POPULATION, rest_error=0.006)
    certified = 0
    for seed in range(200):
        rows = np.random.default_rng(seed).choice(POPULATION, 10_000, replace=False)
        tested = thresholds.candidates(part(everything, rows[:5_000]), 2, 5_000, LIMIT, CONFIDENCE)
        passed, _ = thresholds.certify(tested, part(everything, rows[5_000:]), LIMIT, CONFIDENCE)
        certified += passed is not None and everything.differing(passed.thresholds) / POPULATION > LIMIT
    assert certified <= 10


def test_candidates_go_from_careful_to_bold() -> None:
    staged = population(3, 5_000)
    found = thresholds.candidates(staged, 2, 5_000, LIMIT, CONFIDENCE)
    shares = [float(staged.escalated(one).mean()) for one in found]
    differing = [staged.differing(one) for one in found]
    assert len(found) >= 4
    assert all(careful > bold for careful, bold in pairwise(shares))
    assert all(careful < bold for careful, bold in pairwise(differing))
    assert differing[-1] <= (intervals.most_found(5_000, LIMIT, CONFIDENCE) or 0)


def test_the_tests_end_with_the_first_that_fails() -> None:
    """The second of three fails, so the third is not looked at, although it would pass."""
    labels = np.array([0] * 1_000 + [1] * 1_000)
    reference = labels.copy()
    reference[:300] = 1
    staged = Staged(labels, np.linspace(0.5, 1, 2_000), reference, reference)
    careful, wrong, bold = (None, 0.9), (0.5, 0.9), (None, 0.5)
    passed, failed = thresholds.certify([careful, wrong, bold], staged, LIMIT, CONFIDENCE)
    assert passed is not None
    assert failed is not None
    assert (passed.thresholds, failed.thresholds) == (careful, wrong)
    assert (passed.differing, failed.differing) == (0, 300)
    assert passed.bound == intervals.share_upper_bound(0, 2_000, CONFIDENCE) <= LIMIT < failed.bound
    assert not failed.passed


def test_the_threshold_of_each_label_is_its_own() -> None:
    """The stage is never wrong with label 1, and often with label 0."""
    draw = np.random.default_rng(4)
    labels = draw.integers(0, 2, 6_000)
    reference = np.where((labels == 0) & (draw.random(6_000) < 0.3), 1, labels)
    staged = Staged(labels, draw.uniform(0.5, 1, 6_000), reference, reference)
    found = thresholds.candidates(staged, 2, 5_000, LIMIT, CONFIDENCE)
    for negative, positive in found:
        assert positive == staged.confidences[labels == 1].min()
        assert negative is None or negative > 0.98


def test_reviews_of_equal_confidence_are_answered_all_or_none() -> None:
    labels = np.zeros(2_000, dtype=np.int64)
    reference = labels.copy()
    reference[-200:] = 1
    staged = Staged(labels, np.repeat([0.9, 0.8], 1_000), reference, reference)
    assert thresholds.candidates(staged, 2, 5_000, LIMIT, CONFIDENCE) == [(0.9, None)]


def test_with_too_few_reviews_or_no_sure_answer_there_are_no_candidates() -> None:
    staged = population(5, 1_000)
    assert thresholds.candidates(staged, 2, 597, LIMIT, CONFIDENCE) == []
    assert thresholds.candidates(part(staged, np.arange(0)), 2, 5_000, LIMIT, CONFIDENCE) == []
    wrong = Staged(1 - staged.reference, staged.confidences, staged.reference, staged.reference)
    assert thresholds.candidates(wrong, 2, 5_000, LIMIT, CONFIDENCE) == []
    assert thresholds.certify([], staged, LIMIT, CONFIDENCE) == (None, None)


def test_a_stage_that_corrects_the_next_one_may_answer_more() -> None:
    """Each of its answers costs nothing if the stages after it are wrong there too."""
    staged = population(6, 5_000, rest_error=0.0)
    same = Staged(staged.labels, staged.confidences, staged.labels, staged.reference)
    fronts = [thresholds._front(same, label) for label in (0, 1)]
    assert [set(front) for front in fronts] == [{0}, {0}]
    assert sum(front[0][0] for front in fronts) == 5_000
