"""Whether a candidate may replace the model in use: every rule with its figure, its threshold and a reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from senti_tasks.config import GateConfig


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    reference: str | None
    """What the candidate was compared with, if anything."""
    figure: float
    threshold: float
    passed: bool
    reason: str
    """A sentence for a person: what was found, and what was allowed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    promote: bool
    rules: tuple[Rule, ...]


def judge(
    config: GateConfig,
    labels: np.ndarray,
    candidate: np.ndarray,
    references: Mapping[str, np.ndarray | None],
) -> Judgement:
    """Judges ``candidate``'s probabilities (n, n_labels) for the test rows ``labels`` (n,), rows in the same order.

    ``references`` holds, per name, the probabilities (n, n_labels) of a model for the same rows, or ``None`` when there
    is none (no champion yet), which asks for nothing. The rules, in order: ``test_rows``, then one ``accuracy`` per
    reference: the one-sided lower bound of the paired accuracy difference lies above ``-config.margin``.
    """
    rules = [_enough_rows(config, len(labels))]
    for name, probabilities in references.items():
        if probabilities is not None:
            rules.append(_not_worse(config, labels, candidate, name, probabilities))
    return Judgement(all(rule.passed for rule in rules), tuple(rules))


def _enough_rows(config: GateConfig, rows: int) -> Rule:
    missing = config.min_test_rows - rows
    if missing <= 0:
        reason = f"{rows} test rows are enough ({config.min_test_rows} needed)"
    else:
        reason = f"{rows} test rows are too few for a verdict: {config.min_test_rows} are needed, {missing} are missing"
    return Rule("test_rows", None, float(rows), float(config.min_test_rows), missing <= 0, reason)


def _not_worse(
    config: GateConfig, labels: np.ndarray, candidate: np.ndarray, name: str, probabilities: np.ndarray
) -> Rule:
    n = len(labels)
    if candidate.shape[0] != n or probabilities.shape[0] != n:
        raise ValueError(
            f"expected probabilities for the same {n} rows: {candidate.shape}, {name} {probabilities.shape}"
        )
    right = candidate.argmax(axis=1) == labels  # (n,)
    reference_right = probabilities.argmax(axis=1) == labels  # (n,)
    only_candidate = int((right & ~reference_right).sum())
    only_reference = int((reference_right & ~right).sum())
    if n == 0:
        return Rule("accuracy", name, -1.0, -config.margin, False, f"there are no test rows to compare with the {name}")
    bound = lower_bound(only_candidate, only_reference, n, config.confidence)
    points = 100 * (only_candidate - only_reference) / n
    passed = bound > -config.margin
    if only_candidate == only_reference:
        found = f"accuracy equals the {name}'s"
    else:
        found = f"accuracy is {abs(points):.1f} points {'above' if points > 0 else 'below'} the {name}'s"
    reason = f"{found} (lower bound {100 * bound:+.1f}, allowed {-100 * config.margin:+.1f})"
    return Rule("accuracy", name, bound, -config.margin, passed, reason)


def lower_bound(only_candidate: int, only_reference: int, n: int, confidence: float) -> float:
    """One-sided lower confidence bound of accuracy(candidate) − accuracy(reference) on the same ``n`` rows, n > 0.

    ``only_candidate`` rows are right in the candidate alone, ``only_reference`` in the reference alone. Tango's score
    interval (Tango 1998, Statistics in Medicine 17:891-908): the smallest difference that its score test would not
    reject. It keeps its coverage where Wald's interval fails (few discordant rows, n small).
    """
    z = NormalDist().inv_cdf(confidence)
    low, high = -1.0, (only_candidate - only_reference) / n
    for _ in range(60):  # the statistic falls as the difference rises, so bisection finds the one root
        middle = (low + high) / 2
        if _score_statistic(only_candidate, only_reference, n, middle) > z:
            low = middle
        else:
            high = middle
    return low


def _score_statistic(b: int, c: int, n: int, difference: float) -> float:
    """Tango's (1998) statistic for P(only candidate) − P(only reference) = ``difference``; b and c are their counts."""
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    # P(only reference) with the highest likelihood under the hypothesis
    share = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 1e-12:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
