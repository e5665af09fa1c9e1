"""Temperatures and the figures of calibration, against cases worked by hand and drawn with a known temperature."""

import numpy as np
import pytest

from senti_tasks.judging.calibration import fit_temperature, measure
from senti_tasks.judging.temperature import scaled


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def drawn(temperature: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and those probabilities made ``temperature`` times too certain."""
    random = np.random.default_rng(2026)
    logits = random.normal(scale=1.5, size=(rows, 2))
    labels = (random.random(rows) < softmax(logits)[:, 1]).astype(int)
    return labels, softmax(logits * temperature).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0, 4.0])
def test_the_temperature_that_was_put_in_comes_out(temperature: float) -> None:
    labels, probabilities = drawn(temperature)
    assert fit_temperature(labels, probabilities) == pytest.approx(temperature, rel=0.05)


def test_an_overconfident_model_is_calibrated_by_its_temperature() -> None:
    labels, probabilities = drawn(3.0)
    temperature = fit_temperature(labels, probabilities)
    cooled = softmax(np.log(probabilities) / temperature)
    np.testing.assert_allclose(scaled(probabilities, temperature), cooled, atol=1e-6)
    before, after = measure(labels, probabilities), measure(labels, cooled)
    assert before["ece"] > 0.1
    assert after["ece"] < 0.02
    assert after["nll"] < before["nll"]
    assert after["brier"] < before["brier"]
    assert (cooled.argmax(axis=1) == probabilities.argmax(axis=1)).all(), "no label changes"


def test_a_model_that_is_never_wrong_is_not_made_certain_of_everything() -> None:
    labels = np.array([0, 1] * 20)
    probabilities = np.where(np.eye(2)[labels] == 1, 0.9, 0.1)
    assert fit_temperature(labels, probabilities) >= 0.5


def test_without_rows_the_temperature_is_one() -> None:
    assert fit_temperature(np.zeros(0, int), np.zeros((0, 2), np.float32)) == 1.0


def test_figures_of_a_small_example_worked_by_hand() -> None:
    figures = measure(np.array([1, 0, 1, 1]), np.array([[0.2, 0.8], [0.2, 0.8], [0.4, 0.6], [0.4, 0.6]]))
    assert figures["ece"] == pytest.approx(0.5 * abs(0.5 - 0.8) + 0.5 * abs(1 - 0.6))
    assert figures["nll"] == pytest.approx(-np.log([0.8, 0.2, 0.6, 0.6]).mean())
    assert figures["brier"] == pytest.approx(np.mean([0.08, 1.28, 0.32, 0.32]))
