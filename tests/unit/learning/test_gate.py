from statistics import NormalDist

import numpy as np
import pytest

from senti_tasks.config import GateConfig
from senti_tasks.learning.gate import judge, lower_bound


def answers(labels: np.ndarray, wrong: slice) -> np.ndarray:
    """Probabilities that are right but in the rows ``wrong``: (n, 2)."""
    predicted = labels.copy()
    predicted[wrong] = 1 - predicted[wrong]
    return np.asarray(np.eye(2)[predicted] * 0.8 + 0.1)


LABELS = np.tile([0, 1], 500)  # (1000,)


@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "confidence", "published"),
    [
        # Airway reactivity before and after stem cell transplantation: Fagerland, Lydersen and Laake (2014), table 6
        (1, 7, 21, 0.975, (-0.517, -0.026)),
        # R's PropCIs::scoreci.mp(25, 28, 618, 0.90), which estimates (second - first) / n
        (28, 25, 618, 0.95, (-0.0148, 0.0247)),
    ],
)
def test_the_bound_is_tangos(
    only_first: int, only_second: int, n: int, confidence: float, published: tuple[float, float]
) -> None:
    lower, upper = published
    places = 3 if n == 21 else 4
    assert round(lower_bound(only_first, only_second, n, confidence), places) == lower
    assert round(-lower_bound(only_second, only_first, n, confidence), places) == upper


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


def test_a_candidate_as_good_as_both_references_is_promoted() -> None:
    same = answers(LABELS, slice(0, 80))
    judgement = judge(GateConfig(), LABELS, same, {"baseline": same, "champion": same})
    assert judgement.promote
    assert [(rule.name, rule.reference) for rule in judgement.rules] == [
        ("test_rows", None),
        ("accuracy", "baseline"),
        ("accuracy", "champion"),
    ]
    assert judgement.rules[1].reason == "accuracy equals the baseline's (lower bound -0.3, allowed -2.0)"


def test_a_candidate_worse_than_the_baseline_is_refused_with_figures() -> None:
    judgement = judge(
        GateConfig(),
        LABELS,
        answers(LABELS, slice(0, 121)),
        {"baseline": answers(LABELS, slice(0, 80)), "champion": None},
    )
    assert not judgement.promote
    rule = judgement.rules[1]
    assert (rule.passed, rule.threshold) == (False, -0.02)
    assert rule.reason == "accuracy is 4.1 points below the baseline's (lower bound -5.3, allowed -2.0)"


def test_without_a_champion_only_the_baseline_is_asked() -> None:
    same = answers(LABELS, slice(0, 80))
    judgement = judge(GateConfig(), LABELS, same, {"baseline": same, "champion": None})
    assert judgement.promote
    assert len(judgement.rules) == 2


def test_too_few_rows_are_a_refusal_that_says_how_many_are_missing() -> None:
    labels = LABELS[:60]
    right = answers(labels, slice(0, 0))
    judgement = judge(GateConfig(), labels, right, {"baseline": answers(labels, slice(0, 30))})
    assert not judgement.promote
    assert judgement.rules[0].reason == "60 test rows are too few for a verdict: 500 are needed, 440 are missing"
    assert judgement.rules[1].passed


def test_a_small_gain_that_may_be_luck_is_within_the_margin_and_a_small_loss_may_not_be() -> None:
    gain = judge(GateConfig(), LABELS, answers(LABELS, slice(0, 95)), {"champion": answers(LABELS, slice(90, 190))})
    assert gain.rules[1].figure < 0  # 5 rows of 1,000 better, but 190 discordant: it could be worse
    assert gain.promote
    loss = judge(GateConfig(), LABELS, answers(LABELS, slice(0, 105)), {"champion": answers(LABELS, slice(90, 180))})
    assert not loss.promote


def test_answers_for_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="the same 1000 rows"):
        judge(GateConfig(), LABELS, answers(LABELS, slice(0, 1)), {"champion": answers(LABELS[:10], slice(0, 1))})
