"""The gate: decides whether a candidate may be promoted. Each rule records figure, bound, threshold and reason.

A candidate is compared with its references on the same rows. None of the models was trained on these rows. The
*champion* is the model that the candidate would replace. The *anchor* is the last model that was significantly better
than its references, or that a person promoted. The comparison with it keeps small losses every week from adding up. The
*baseline* is a simple model. A candidate that is worse than the baseline is not worth a GPU.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from senti_tasks.config import GateConfig
from senti_tasks.judging import calibration, intervals
from senti_tasks.judging.slices import HeldOut, slices

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    passed: bool
    reason: str
    """A sentence for a person: the figure, and what is allowed."""
    reference: str | None = None
    """The reference of the comparison, if there is one."""
    slice: str | None = None
    """The slice, if the rule is about one. The rule ``slices`` decides about all of them."""
    rows: int | None = None
    figure: float | None = None
    bound: float | None = None
    """One-sided confidence bound of ``figure``. If there is one, it is compared with ``threshold``."""
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    promote: bool
    superior: bool
    """Significantly better than champion and anchor, or the first model. It then becomes the anchor."""
    rules: tuple[Rule, ...]


def judge(
    config: GateConfig,
    rows: HeldOut,
    candidate: Probabilities,
    references: Mapping[str, Probabilities],
    leaked: int = 0,
    reuse: tuple[float, int] = (0.0, 0),
) -> Judgement:
    """Judges the probabilities of ``candidate`` (n, n_labels) for the test ``rows``, in the same order.

    ``references`` maps the names of the existing references (``champion``, ``anchor``, ``baseline``) to their
    probabilities (n, n_labels) for the same rows. ``leaked``: test rows that are also in train, or nearly. ``reuse``:
    how many models a row has judged before, mean and maximum. The candidate is promoted if it passes all rules.
    """
    n, n_labels = len(rows), candidate.shape[1]
    for name, probabilities in {"candidate": candidate, **references}.items():
        if probabilities.shape != (n, n_labels):
            raise ValueError(
                f"expected probabilities for the same {n} rows and labels: the {name}'s are "
                f"{probabilities.shape}, the candidate's {candidate.shape}"
            )
    reason = f"a test row has judged {reuse[0]:.1f} models before this one on average, {reuse[1]} at most"
    rules = [
        _no_leak(n, leaked),
        _every_label(rows, n_labels),
        _enough_rows(config, n),
        Rule("reuse", True, reason, rows=n, figure=reuse[0]),
    ]
    compared: list[Rule] = []
    if n:
        by_reference = [_compare(config, rows, candidate, name, other) for name, other in references.items()]
        compared = [rule for rules_of_kind in zip(*by_reference, strict=True) for rule in rules_of_kind]
        rules += [*compared, _calibration(config, rows, candidate), *_slices(config, rows, candidate, references)]
    superiority = _superiority(compared)
    rules.append(superiority)
    promote = all(rule.passed for rule in rules if rule.slice is None)
    return Judgement(promote, superiority.figure == 1, tuple(rules))


def _no_leak(n: int, leaked: int) -> Rule:
    reason = f"none of the {n} test rows, nor a near-duplicate of one, is in train"
    if leaked:
        reason = f"{leaked} of the {n} test rows are in train, or nearly: make a new corpus snapshot, and train on it"
    return Rule("leak", leaked == 0, reason, rows=n, figure=leaked, threshold=0)


def _every_label(rows: HeldOut, n_labels: int) -> Rule:
    counts = np.bincount(rows.labels, minlength=n_labels)
    missing = ", ".join(str(label) for label in np.flatnonzero(counts == 0))
    reason = f"the test rows have every label, the rarest {counts.min()} times"
    if missing:
        reason = f"the test rows have no review with label {missing}: the model cannot be judged for it"
    return Rule("labels", not missing, reason, rows=len(rows), figure=float(counts.min()), threshold=1)


def _enough_rows(config: GateConfig, n: int) -> Rule:
    needed = config.rows_needed()
    reason = f"{n} test rows are enough ({needed} needed)"
    if n < needed:
        reason = f"{n} test rows are too few for a verdict: {needed} are needed, {needed - n} are missing"
    return Rule("test_rows", n >= needed, reason, rows=n, figure=n, threshold=needed)


def _superiority(compared: Sequence[Rule]) -> Rule:
    """Decides only whether the candidate becomes the anchor.

    Beating a champion whose accuracy has dropped since its promotion does not make a model an anchor: it must beat the
    anchor too.
    """
    models = [rule for rule in compared if rule.name == "accuracy" and rule.reference in ("champion", "anchor")]
    bound = min((rule.bound for rule in models if rule.bound is not None), default=None)
    superior = bound is None or bound > 0
    if bound is None:
        reason = "there is no other model to compare with: it becomes the anchor"
    elif superior:
        reason = "significantly more accurate than champion and anchor: it becomes the anchor"
    else:
        reason = "not significantly more accurate than champion and anchor: the anchor stays"
    return Rule("superiority", True, reason, figure=float(superior), bound=bound, threshold=0)


def _compare(
    config: GateConfig, rows: HeldOut, candidate: Probabilities, name: str, other: Probabilities
) -> Iterator[Rule]:
    """The rules accuracy, macro_f1, log_loss and brier, each comparing ``candidate`` with the reference ``name``.

    The rules of the losses fail if the candidate is significantly worse by more than ``loss_margin``. Losses are too
    noisy for the opposite rule, to show that it is not worse.
    """
    n = len(rows)
    only_candidate, only_reference = _discordant(rows.labels, candidate, other)
    difference, discordance = (only_candidate - only_reference) / n, (only_candidate + only_reference) / n
    bound = intervals.lower_bound(only_candidate, only_reference, n, config.confidence)
    yield _within_margin(config, "accuracy", name, n, difference, bound, discordance)
    predicted, others = candidate.argmax(axis=1), other.argmax(axis=1)
    difference, bound, error = intervals.macro_f1_difference(
        rows.labels, predicted, others, candidate.shape[1], config.confidence
    )
    yield _within_margin(config, "macro_f1", name, n, difference, bound, n * error**2)
    for rule, figure, losses in (
        ("log_loss", "log loss (nats)", calibration.log_losses),
        ("brier", "Brier score", calibration.brier_scores),
    ):
        differences = losses(rows.labels, candidate) - losses(rows.labels, other)
        mean, bound = float(differences.mean()), intervals.mean_lower_bound(differences, config.confidence)
        allowed = f"lower bound {bound:+.3f}, allowed {config.loss_margin:+.3f}"
        reason = f"{figure} is {mean:+.3f} from the {name}'s ({allowed})"
        yield Rule(rule, bound <= config.loss_margin, reason, name, None, n, mean, bound, config.loss_margin)


def _within_margin(
    config: GateConfig, rule: str, name: str, n: int, difference: float, bound: float, variance: float
) -> Rule:
    """Passes if the lower ``bound`` of the ``difference`` from the reference ``name`` is above minus the margin.

    ``variance`` is that of the difference in one row. It gives the number of rows that would show the difference.
    """
    figure = rule.replace("macro_f1", "macro-F1")
    found = f"{figure} equals the {name}'s"
    if difference:
        side = "above" if difference > 0 else "below"
        found = f"{figure} is {100 * abs(difference):.1f} points {side} the {name}'s"
    reason = f"{found} (lower bound {100 * bound:+.1f}, allowed {-100 * config.margin:+.1f})"
    passed = bound > -config.margin
    if not passed and difference > -config.margin and (needed := config.rows_needed(variance, difference)) > n:
        reason += f"; if that is the difference, showing it takes {needed} rows, {needed - n} are missing"
    return Rule(rule, passed, reason, name, None, n, difference, bound, -config.margin)


def _calibration(config: GateConfig, rows: HeldOut, candidate: Probabilities) -> Rule:
    ece = calibration.measure(rows.labels, candidate)["ece"]
    by_chance = intervals.calibrated_ece(candidate.max(axis=1), calibration.BINS, config.confidence)
    threshold = by_chance + config.calibration_margin
    reason = (
        f"calibration error (ECE) is {100 * ece:.1f} points; a calibrated model has up to {100 * by_chance:.1f} on "
        f"{len(rows)} rows, and {100 * threshold:.1f} are allowed"
    )
    return Rule("calibration", ece <= threshold, reason, rows=len(rows), figure=ece, threshold=threshold)


def _slices(
    config: GateConfig, rows: HeldOut, candidate: Probabilities, references: Mapping[str, Probabilities]
) -> Iterator[Rule]:
    """The rule ``slices``, then a rule for each slice and reference, the smallest p-value first.

    A slice fails if the candidate is significantly worse there by more than the margin. With many slices, some fail by
    chance. Holm's (1979) step-down correction prevents that: of equal models at most 5 in 100 are refused, however many
    slices there are.
    """
    found = slices(rows, min_rows=config.slice_rows, recent_days=config.recent_days)
    tested = []
    for part, mask in found.items():
        for name, other in references.items():
            only = _discordant(rows.labels[mask], candidate[mask], other[mask])
            n = int(mask.sum())
            p_value = float(norm.cdf(intervals.score_statistic(*only, n, -config.margin)))
            tested.append((p_value, part, name, only, n))
    details: list[Rule] = []
    rejecting, level = True, 0.0
    for rank, (p_value, part, name, only, n) in enumerate(sorted(tested)):
        if rejecting:  # after the first test that is not rejected, its level applies to the remaining ones
            level = (1 - config.confidence) / (len(tested) - rank)
            rejecting = p_value <= level
        difference, bound = (only[0] - only[1]) / n, intervals.upper_bound(*only, n, 1 - level)
        reason = (
            f"{part}: accuracy is {100 * difference:+.1f} points from the {name}'s on {n} rows "
            f"(upper bound {100 * bound:+.1f}, allowed {-100 * config.margin:+.1f})"
        )
        details.append(Rule("slice", not rejecting, reason, name, part, n, difference, bound, -config.margin))
    failed = [rule.reason for rule in details if not rule.passed]
    if failed:
        reason = f"significantly worse in {len(failed)} of {len(tested)} comparisons on slices: " + "; ".join(failed)
    elif tested:
        reason = f"significantly worse in none of {len(found)} slices"
    else:
        reason = f"no slice has {config.slice_rows} rows"
    yield Rule("slices", not failed, reason, rows=len(rows), figure=len(failed), threshold=0)
    yield from details


def _discordant(labels: npt.NDArray[np.int64], candidate: Probabilities, other: Probabilities) -> tuple[int, int]:
    """The number of rows that only ``candidate`` predicts correctly, and of those that only ``other`` does."""
    right, other_right = candidate.argmax(axis=1) == labels, other.argmax(axis=1) == labels
    return int((right & ~other_right).sum()), int((other_right & ~right).sum())
