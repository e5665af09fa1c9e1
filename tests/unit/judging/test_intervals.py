from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from senti_tasks.judging import calibration
from senti_tasks.judging.intervals import (
    calibrated_ece,
    lower_bound,
    macro_f1_difference,
    mean_lower_bound,
    most_found,
    rows_to_certify,
    share_upper_bound,
    unpaired_upper_bound,
    upper_bound,
)


@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "confidence", "published"),
    [
        # Airway reactivity before and after stem cell transplantation: Fagerland, Lydersen and Laake (2014), table 6
        (1, 7, 21, 0.975, (-0.517, -0.026)),
        # R's PropCIs::scoreci.mp(25, 28, 618, 0.90), which estimates (second - first) / n
        (28, 25, 618, 0.95, (-0.0148, 0.0247)),
    ],
)
def test_the_bounds_are_tangos(
    only_first: int, only_second: int, n: int, confidence: float, published: tuple[float, float]
) -> None:
    places = 3 if n == 21 else 4
    bounds = (bound(only_first, only_second, n, confidence) for bound in (lower_bound, upper_bound))
    assert tuple(round(bound, places) for bound in bounds) == published


def test_without_discordant_rows_the_bound_is_the_score_interval_of_zero() -> None:
    z = NormalDist().inv_cdf(0.95)
    assert lower_bound(0, 0, 400, 0.95) == pytest.approx(-(z**2) / (400 + z**2))


def test_a_reference_that_is_always_right_alone_gives_minus_one() -> None:
    assert lower_bound(0, 30, 30, 0.95) == pytest.approx(-1)


@pytest.mark.parametrize(("only_first", "only_second"), [(0.05, 0.07), (0.02, 0.02), (0.10, 0.04)])
def test_the_bound_lies_below_the_truth_in_95_of_100_draws(only_first: float, only_second: float) -> None:
    draw = np.random.default_rng(11)
    counts = draw.multinomial(800, [only_first, only_second, 1 - only_first - only_second], size=2000)
    covered = [lower_bound(int(b), int(c), 800, 0.95) <= only_first - only_second for b, c, _ in counts]
    assert 0.935 <= np.mean(covered) <= 0.965


def test_the_macro_f1_difference_is_that_of_scikit_learn_and_its_bound_lies_below() -> None:
    draw = np.random.default_rng(1)
    labels = draw.choice(3, 900, p=[0.6, 0.3, 0.1])
    first, second = (np.where(draw.random(900) < right, labels, draw.choice(3, 900)) for right in (0.8, 0.7))
    difference, bound, spread = macro_f1_difference(labels, first, second, 3, 0.95)
    scores = [f1_score(labels, predicted, average="macro") for predicted in (first, second)]
    assert difference == pytest.approx(scores[0] - scores[1])
    assert difference - 0.06 < bound < difference
    assert difference - bound == pytest.approx(1.645 * spread, rel=0.1)
    assert macro_f1_difference(labels, first, second, 3, 0.95) == (difference, bound, spread)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    bounds = []
    for _ in range(200):
        labels = draw.choice(2, 500, p=[0.3, 0.7])
        first, second = (np.where(draw.random(500) < 0.9, labels, 1 - labels) for _ in range(2))
        bounds.append(macro_f1_difference(labels, first, second, 2, 0.95)[1])
    assert 0.90 <= np.mean(np.array(bounds) < 0) <= 0.99


def test_a_label_that_nobody_gave_counts_nothing() -> None:
    labels = np.array([0, 1, 0, 1])
    assert macro_f1_difference(labels, labels, labels, 3, 0.95) == (0.0, 0.0, 0.0)


def test_equal_losses_differ_by_nothing_for_sure() -> None:
    assert mean_lower_bound(np.zeros(7), 0.95) == 0
    assert mean_lower_bound(np.array([0.3]), 0.95) == -np.inf
    assert mean_lower_bound(np.array([0.3, 0.3, 0.3]), 0.95) == pytest.approx(0.3)


def test_the_difference_of_two_samples_is_newcombes() -> None:
    # Newcombe (1998), table II, example (a), method 10: 56/70 - 48/80, 95 %
    assert round(unpaired_upper_bound((56, 70), (48, 80), 0.975), 4) == 0.3339
    assert round(-unpaired_upper_bound((48, 80), (56, 70), 0.975), 4) == 0.0524


def test_a_model_that_stays_as_good_as_it_was_raises_an_alarm_in_fewer_than_1_of_100_draws() -> None:
    draw = np.random.default_rng(5)
    right = draw.binomial([[100], [400]], 0.9, size=(2, 2000))
    bounds = [unpaired_upper_bound((int(now), 400), (int(then), 100), 0.95) for then, now in right.T]
    assert np.mean(np.array(bounds) < -0.02) < 0.03


def test_calibrated_models_show_more_calibration_error_than_that_in_5_of_100_draws() -> None:
    draw = np.random.default_rng(3)
    confidences = draw.uniform(0.5, 1, 600)
    probabilities = np.stack([1 - confidences, confidences], axis=1)
    threshold = calibrated_ece(confidences, calibration.BINS, 0.95)
    above = [
        calibration.measure((draw.random(600) < confidences).astype(np.int64), probabilities)["ece"] > threshold
        for _ in range(600)
    ]
    assert 0.03 <= np.mean(above) <= 0.075


@pytest.mark.parametrize(("rows", "most"), [(5_000, 16), (20_000, 83), (598, 0), (597, None)])
def test_a_bound_below_half_a_percent_allows_so_many_found_rows(rows: int, most: int | None) -> None:
    assert most_found(rows, 0.005, 0.95) == most
    if most is not None:
        assert share_upper_bound(most, rows, 0.95) <= 0.005 < share_upper_bound(most + 1, rows, 0.95)


def test_the_bound_of_a_share_is_clopper_and_pearsons() -> None:
    """With the bound as the true share, so few found rows have exactly the probability that is left over."""
    for found, rows in ((0, 60), (3, 70), (16, 5_000)):
        assert stats.binom.cdf(found, rows, share_upper_bound(found, rows, 0.95)) == pytest.approx(0.05)
    assert (share_upper_bound(0, 0, 0.95), share_upper_bound(7, 7, 0.95)) == (1, 1)


def test_rows_to_certify_are_just_enough() -> None:
    assert rows_to_certify(0.005, 0.95) == 598
    for limit in (0.0003, 0.01, 0.3):
        needed = rows_to_certify(limit, 0.95)
        assert share_upper_bound(0, needed, 0.95) <= limit < share_upper_bound(0, needed - 1, 0.95)
