"""Whether a candidate may replace the model in use: every rule with its figure, its bound, its threshold and a reason.

A candidate is compared with each reference on the same rows, none of which any of them was trained on: with the
*champion*, which it would replace; with the *anchor*, the last model that was significantly better or a person's
choice, so that small losses every week cannot add up; and with the *baseline*: what does not beat it is not worth a
GPU.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """A sentence for a person: what was found, and what was allowed."""
    reference: str | None = None
    """What the candidate was compared with, if anything."""
    slice: str | None = None
    """Of which rows, if not of all. The rule ``slices`` decides on these together."""
    rows: int | None = None
    figure: float | None = None
    bound: float | None = None
    """One-sided confidence bound of ``figure``: what is held against ``threshold``, where there is one."""
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    promote: bool
    superior: bool
    """Significantly better than champion and anchor, or the first model: later candidates are compared with it."""
    rules: tuple[Rule, ...]


def judge(
    config: GateConfig,
    rows: HeldOut,
    candidate: Probabilities,
    references: Mapping[str, Probabilities],
    leaked: int = 0,
    reuse: tuple[float, int] = (0.0, 0),
) -> Judgement:
    """Judges ``candidate``'s probabilities (n, n_labels) for the test ``rows``, in their order.

    ``references`` holds, per name (``champion``, ``anchor``, ``baseline``), the probabilities (n, n_labels) of a model
    for the same rows; one that does not exist asks for nothing. ``leaked`` of the rows stand in train. ``reuse``: how
    many models a row has judged before, on average and at most. The candidate is promoted when it passes every rule.
    """
    for name, probabilities in {"candidate": candidate, **references}.items():
        if probabilities.shape != (len(rows), candidate.shape[1]):
            raise ValueError(
                f"expected probabilities for the same {len(rows)} rows and labels: the {name}'s are "
                f"{probabilities.shape}, the candidate's {candidate.shape}"
            )
    rules = [_no_leak(len(rows), leaked), _every_label(rows, candidate.shape[1]), _enough_rows(config, len(rows))]
    rules.append(_reuse(len(rows), *reuse))
    compared: list[Rule] = []
    if len(rows):
        compared = [
            compare(config, rows, candidate, name, probabilities)
            for compare in (_accuracy, _macro_f1, _log_loss, _brier)
            for name, probabilities in references.items()
        ]
        rules += [*compared, _calibration(config, rows, candidate), *_slices(config, rows, candidate, references)]
    rules.append(_superiority(compared))
    promote = all(rule.passed for rule in rules if rule.slice is None)
    return Judgement(promote, rules[-1].figure == 1, tuple(rules))


def _no_leak(n: int, leaked: int) -> Rule:
    if leaked == 0:
        reason = f"none of the {n} test rows, nor a near-duplicate of one, stands in train"
    else:
        reason = f"{leaked} of the {n} test rows stand in train, or nearly: make a new corpus snapshot, and train on it"
    return Rule("leak", leaked == 0, reason, rows=n, figure=leaked, threshold=0)


def _every_label(rows: HeldOut, n_labels: int) -> Rule:
    counts = np.bincount(rows.labels, minlength=n_labels)
    missing = [str(label) for label in np.flatnonzero(counts == 0)]
    if missing:
        reason = f"the test rows hold no review with label {', '.join(missing)}: what the model does there is unknown"
    else:
        reason = f"the test rows hold every label, the rarest {counts.min()} times"
    return Rule("labels", not missing, reason, rows=len(rows), figure=float(counts.min()), threshold=1)


def _enough_rows(config: GateConfig, n: int) -> Rule:
    needed = config.rows_needed()
    missing = needed - n
    if missing <= 0:
        reason = f"{n} test rows are enough ({needed} needed)"
    else:
        reason = f"{n} test rows are too few for a verdict: {needed} are needed, {missing} are missing"
    return Rule("test_rows", missing <= 0, reason, rows=n, figure=n, threshold=needed)


def _reuse(n: int, mean: float, most: int) -> Rule:
    reason = f"a test row has judged {mean:.1f} models before this one on average, {most} at most"
    return Rule("reuse", True, reason, rows=n, figure=mean)


def _superiority(compared: Sequence[Rule]) -> Rule:
    """Decides only whether the candidate becomes an anchor.

    Beating a champion whose accuracy has dropped since its promotion does not make a model an anchor: it must beat the
    anchor too.
    """
    models = [rule for rule in compared if rule.name == "accuracy" and rule.reference in ("champion", "anchor")]
    bound = min((rule.bound for rule in models if rule.bound is not None), default=None)
    superior = bound is None or bound > 0
    if bound is None:
        reason = "there is no model to be better than: later candidates are compared with this one"
    elif superior:
        reason = "significantly more accurate than every model it was compared with: it becomes the anchor"
    else:
        reason = "not significantly more accurate than every model it was compared with: the anchor stays"
    return Rule("superiority", True, reason, figure=float(superior), bound=bound, threshold=0)


def _accuracy(config: GateConfig, rows: HeldOut, candidate: Probabilities, name: str, other: Probabilities) -> Rule:
    n = len(rows)
    only_candidate, only_reference = _discordant(rows.labels, candidate, other)
    difference = (only_candidate - only_reference) / n
    bound = intervals.lower_bound(only_candidate, only_reference, n, config.confidence)
    passed = bound > -config.margin
    reason = _found("accuracy", name, difference, bound, config.margin)
    if not passed and difference > -config.margin:
        needed = config.rows_needed((only_candidate + only_reference) / n, difference)
        reason += _missing(n, needed)
    return Rule("accuracy", passed, reason, name, None, n, difference, bound, -config.margin)


def _macro_f1(config: GateConfig, rows: HeldOut, candidate: Probabilities, name: str, other: Probabilities) -> Rule:
    predicted, others = candidate.argmax(axis=1), other.argmax(axis=1)
    n_labels = candidate.shape[1]
    n = len(rows)
    difference, bound, spread = intervals.macro_f1_difference(
        rows.labels, predicted, others, n_labels, config.confidence
    )
    passed = bound > -config.margin
    reason = _found("macro-F1", name, difference, bound, config.margin)
    if not passed and difference > -config.margin:
        reason += _missing(n, config.rows_needed(n * spread**2, difference))
    return Rule("macro_f1", passed, reason, name, None, n, difference, bound, -config.margin)


def _missing(n: int, needed: int) -> str:
    if needed <= n:
        return ""
    return f"; if that is the difference, showing it takes {needed} rows, {needed - n} are missing"


def _found(figure: str, name: str, difference: float, bound: float, margin: float) -> str:
    if difference == 0:
        found = f"{figure} equals the {name}'s"
    else:
        side = "above" if difference > 0 else "below"
        found = f"{figure} is {100 * abs(difference):.1f} points {side} the {name}'s"
    return f"{found} (lower bound {100 * bound:+.1f}, allowed {-100 * margin:+.1f})"


def _log_loss(config: GateConfig, rows: HeldOut, candidate: Probabilities, name: str, other: Probabilities) -> Rule:
    return _no_worse(config, "log_loss", "log loss (nats)", calibration.log_losses, rows, candidate, name, other)


def _brier(config: GateConfig, rows: HeldOut, candidate: Probabilities, name: str, other: Probabilities) -> Rule:
    return _no_worse(config, "brier", "Brier score", calibration.brier_scores, rows, candidate, name, other)


def _no_worse(
    config: GateConfig,
    rule: str,
    spelt: str,
    losses: Callable[[npt.NDArray[np.int64], Probabilities], Probabilities],
    rows: HeldOut,
    candidate: Probabilities,
    name: str,
    other: Probabilities,
) -> Rule:
    """Refuses a candidate that is significantly worse by more than ``loss_margin``.

    Losses are too noisy to show that a candidate is not worse."""
    differences = losses(rows.labels, candidate) - losses(rows.labels, other)
    bound = intervals.mean_lower_bound(differences, config.confidence)
    passed = bound <= config.loss_margin
    allowed = f"lower bound {bound:+.3f}, allowed {config.loss_margin:+.3f}"
    reason = f"{spelt} is {differences.mean():+.3f} from the {name}'s ({allowed})"
    return Rule(rule, passed, reason, name, None, len(rows), float(differences.mean()), bound, config.loss_margin)


def _calibration(config: GateConfig, rows: HeldOut, candidate: Probabilities) -> Rule:
    ece = calibration.measure(rows.labels, candidate)["ece"]
    by_chance = intervals.calibrated_ece(candidate.max(axis=1), calibration.BINS, config.confidence)
    threshold = by_chance + config.calibration_margin
    reason = (
        f"calibration error (ECE) is {100 * ece:.1f} points; a calibrated model shows up to {100 * by_chance:.1f} on "
        f"{len(rows)} rows, and {100 * threshold:.1f} are allowed"
    )
    return Rule("calibration", ece <= threshold, reason, None, None, len(rows), ece, None, threshold)


def _slices(
    config: GateConfig, rows: HeldOut, candidate: Probabilities, references: Mapping[str, Probabilities]
) -> Iterator[Rule]:
    """First the rule that decides, then one per slice and reference.

    A slice fails when the candidate is significantly worse there, by more than the margin. Looking at many slices finds
    such ones by chance, which Holm's (1979) step-down correction makes up for: of equal models, 5 in 100 are refused at
    most, however many slices there are.
    """
    found = slices(rows, at_least=config.slice_rows, recent_days=config.recent_days)
    tested = []
    for part, mask in found.items():
        for name, other in references.items():
            only = _discordant(rows.labels[mask], candidate[mask], other[mask])
            n = int(mask.sum())
            p_value = float(norm.cdf(intervals.score_statistic(*only, n, -config.margin)))
            tested.append((p_value, part, name, only, n))
    details: list[Rule] = []
    stepping, level = True, 0.0
    for rank, (p_value, part, name, only, n) in enumerate(sorted(tested)):
        if stepping:  # where it stops, the others are held to the level of that one
            level = (1 - config.confidence) / (len(tested) - rank)
            stepping = p_value <= level
        difference, bound = (only[0] - only[1]) / n, intervals.upper_bound(*only, n, 1 - level)
        reason = (
            f"{part}: accuracy is {100 * difference:+.1f} points from the {name}'s on {n} rows "
            f"(at best {100 * bound:+.1f}, allowed {-100 * config.margin:+.1f})"
        )
        details.append(Rule("slice", not stepping, reason, name, part, n, difference, bound, -config.margin))
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
    """Rows that the candidate alone has right, and rows that the other alone has right."""
    right, other_right = candidate.argmax(axis=1) == labels, other.argmax(axis=1) == labels
    return int((right & ~other_right).sum()), int((other_right & ~right).sum())
