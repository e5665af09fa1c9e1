"""Chooses the thresholds of a stage of a cascade on one set of reviews, and certifies them on another.

The certificate holds for the labels of the cascade as a whole against those of fp32. The candidates, from the most
careful to the boldest, are fixed on the first set. On the second set they are tested in this order, and the first that
fails ends the tests. So the chance that thresholds are certified which break the limit is at most one minus the
confidence, however many candidates there are: a wrong one is certified only if the first wrong one is (fixed-sequence
testing; Maurer et al. 1995, Biometrics 54:1317; Bretz et al. 2010, Multiple Comparisons Using R, 2.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom

from senti_tasks.judging import intervals
from senti_tasks.scoring.cascades.layout import Thresholds

Labels = npt.NDArray[np.int64]

_CERTAIN = 0.9
"""The chance with which the candidate in the middle is to pass: the test set has other reviews, so some slack is
needed."""
_BUDGETS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""The candidates: how many labels may differ on the first set, as a part of the number for ``_CERTAIN``."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What a stage, the stages after it, and fp32 gave the same n reviews."""

    labels: Labels
    """(n,): of the stage."""
    confidences: npt.NDArray[np.float64]
    """(n,): of the stage."""
    rest: Labels
    """(n,): of the stages after it, whether they are needed or not."""
    reference: Labels
    """(n,): of fp32."""

    def escalated(self, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
        """(n,): which reviews go on to the next stage."""
        least = np.array([np.inf if limit is None else limit for limit in thresholds])
        goes_on: npt.NDArray[np.bool_] = self.confidences < least[self.labels]
        return goes_on

    def differing(self, thresholds: Thresholds) -> int:
        """To how many reviews the cascade gives another label than fp32."""
        given = np.where(self.escalated(thresholds), self.rest, self.labels)
        return int((given != self.reference).sum())


@dataclass(frozen=True, slots=True)
class Certificate:
    """The result of one test."""

    thresholds: Thresholds
    differing: int
    rows: int
    bound: float
    """Upper confidence bound of the share of labels that differ from those of fp32."""
    escalated_share: float
    passed: bool


def candidates(staged: Staged, n_labels: int, rows: int, limit: float, confidence: float) -> list[Thresholds]:
    """Thresholds to test on ``rows`` other reviews, from the most careful to the boldest; none if no stage could pass.

    Each answers as many of the reviews of ``staged`` as possible, with a given number of labels that differ from those
    of fp32. ``limit`` and ``confidence`` are those of the test.
    """
    allowed, n = intervals.most_found(rows, limit, confidence), len(staged.labels)
    if allowed is None or n == 0:
        return []
    most = n * allowed // rows
    # With x labels differing among n, the number among other reviews has this distribution, by Bayes' rule.
    certain = [x for x in range(most + 1) if betabinom.cdf(allowed, rows, x + 1, n - x) >= _CERTAIN]
    middle = max(certain, default=0)
    fronts = [_front(staged, label) for label in range(n_labels)]
    start = int((staged.rest != staged.reference).sum())
    found: list[Thresholds] = []
    for budget in sorted({min(most, round(part * middle)) for part in _BUDGETS}):
        thresholds = _boldest(fronts, budget - start)
        if thresholds is not None and any(least is not None for least in thresholds) and thresholds not in found:
            found.append(thresholds)
    return found


def certify(
    tested: Sequence[Thresholds], staged: Staged, limit: float, confidence: float
) -> tuple[Certificate | None, Certificate | None]:
    """Tests ``tested`` in order on ``staged``, until one fails: the last that passed, and the one that failed."""
    passed: Certificate | None = None
    n = len(staged.labels)
    for thresholds in tested:
        differing = staged.differing(thresholds)
        bound = intervals.share_upper_bound(differing, n, confidence)
        share = float(staged.escalated(thresholds).mean())
        result = Certificate(thresholds, differing, n, bound, share, bound <= limit)
        if not result.passed:
            return passed, result
        passed = result
    return passed, None


def _front(staged: Staged, label: int) -> dict[int, tuple[int, float | None]]:
    """By cost: how many reviews of ``label`` can be answered for it at most, and with which threshold.

    The cost is by how much the number of labels that differ from those of fp32 grows when the stage answers these
    reviews; it may be negative. Reviews of equal confidence are answered all or none.
    """
    mine = np.flatnonzero(staged.labels == label)
    order = mine[np.argsort(-staged.confidences[mine], kind="stable")]
    confidences = staged.confidences[order]
    wrong = (staged.labels[order] != staged.reference[order]).astype(np.int64)
    costs = np.cumsum(wrong - (staged.rest[order] != staged.reference[order]))
    ends = np.flatnonzero(np.append(np.diff(confidences) < 0, True)) if len(order) else np.zeros(0, dtype=np.int64)
    front: dict[int, tuple[int, float | None]] = {0: (0, None)}
    for end in ends.tolist():
        front[int(costs[end])] = (end + 1, float(confidences[end]))  # a later end answers more
    return front


def _boldest(fronts: Sequence[dict[int, tuple[int, float | None]]], budget: int) -> Thresholds | None:
    """The thresholds, by label, that answer most at a total cost of at most ``budget``; ``None`` if there are none."""
    cheapest = [min(front) for front in fronts]
    best: dict[int, tuple[int, Thresholds]] = {0: (0, ())}
    for number, front in enumerate(fronts):
        spare = budget - sum(cheapest[number + 1 :])  # what the labels after this one may leave
        combined: dict[int, tuple[int, Thresholds]] = {}
        front = {cost: answer for cost, answer in front.items() if cost <= spare - min(best, default=0)}
        for cost, (answered, thresholds) in best.items():
            for more, (added, least) in front.items():
                total = cost + more
                if total <= spare and (total not in combined or combined[total][0] < answered + added):
                    combined[total] = (answered + added, (*thresholds, least))
        best = combined
    return max(best.values(), key=lambda found: found[0], default=(0, None))[1]
