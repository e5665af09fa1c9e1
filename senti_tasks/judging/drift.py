"""Drift: whether the reviews of a run differ from those of earlier runs, or from the training, by more than chance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from senti_tasks.config import DriftConfig

LEAST_RUNS = 7
"""Earlier runs that a comparison with them needs, as in ``sql/checks/usual``."""

# The chance that a figure without drift seems to have drifted is one in a million: a run may have hundreds of products.
_Z = 4.753  # quantile of the normal distribution
_CHI_SQUARED = {2: 23.928, 3: 27.631, 4: 30.665, 5: 33.377, 6: 35.888, 7: 38.258, 8: 40.522, 9: 42.701, 10: 44.811}
"""By the number of bins, which is one more than the degrees of freedom."""


def judge(row: Mapping[str, Any], bins: Mapping[str, Any] | None, config: DriftConfig) -> dict[str, Any]:
    """The columns ``psi``, ``psi_training`` and ``drift`` of a part of a run; ``drift`` says which bounds are exceeded,
    and is ``None`` if none is.

    ``row`` has the sums of the part, those of the same part of earlier runs with ``before_``, and their number
    (``runs``); see ``warehouse.scoring.drift``. ``bins`` are edges and shares of the scores of the validation split.
    """
    is_known = (row["runs"] or 0) >= LEAST_RUNS
    psi_training, psi, of_scores = _scores(row, bins, config, is_known)
    exceeded = [*of_scores, *_texts(row, config), *(_expected_accuracy(row, config) if is_known else [])]
    return {"psi": psi, "psi_training": psi_training, "drift": "; ".join(exceeded) or None}


def _scores(
    row: Mapping[str, Any], bins: Mapping[str, Any] | None, config: DriftConfig, is_known: bool
) -> tuple[float | None, float | None, list[str]]:
    if bins is None:
        return None, None, []
    size = len(bins["edges"]) + 1
    names = [f"bin_{number}" for number in range(1, size + 1)]
    now = [row[name] for name in names]
    psi_training = stability_index(now, [share * bins["rows"] for share in bins["shares"]])
    if not is_known or row["before_bin_1"] is None:
        return psi_training, None, []
    before = [row[f"before_{name}"] or 0.0 for name in names]
    psi = stability_index(now, before)
    by_chance = _CHI_SQUARED.get(size, math.inf) * (1 / row["reviews"] + 1 / max(1, sum(before)))
    if psi <= max(config.psi, by_chance):
        return psi_training, psi, []
    return psi_training, psi, [f"the scores are distributed otherwise (PSI {psi:.2f}, limit {config.psi:g})"]


def _texts(row: Mapping[str, Any], config: DriftConfig) -> list[str]:
    """The share of texts that are unlike the training is what matters to people, and the mean unlikeness of all texts
    shows sooner that it is not by chance: its standard error without drift is 1 / sqrt(n)."""
    if row["unlike"] is None or row["unlikeness_sum"] is None:
        return []
    share, deviations = row["unlike"] / row["reviews"], row["unlikeness_sum"] / math.sqrt(row["reviews"])
    if share <= config.unlike_share or deviations <= _Z:
        return []
    return [f"{share:.0%} of the texts are unlike those of the training (limit {config.unlike_share:.0%})"]


def _expected_accuracy(row: Mapping[str, Any], config: DriftConfig) -> list[str]:
    mean, usual = row["confidence_sum"] / row["reviews"], row["before_confidence_sum"] / row["before_reviews"]
    variance = row["before_confidence_squares"] / row["before_reviews"] - usual * usual
    between = max(0.0, row["before_mean_squares"] / row["before_reviews"] - usual * usual)
    error = math.sqrt(max(0.0, variance) / row["reviews"] + between)
    if usual - mean <= max(config.accuracy_loss, _Z * error):
        return []
    return [f"the expected accuracy is {mean:.3f}, and it was {usual:.3f} (limit {config.accuracy_loss:g} less)"]


def stability_index(now: Sequence[float], before: Sequence[float]) -> float:
    """The population stability index of counts in the same bins: the sum over bins of (p - q) ln(p / q), with the
    shares p now and q before. Half a review is added to each bin, so that an empty one has a share.

    Below 0.1 nothing changed, above 0.25 much (Siddiqi 2006, Credit Risk Scorecards, 9). Without a change, it is by
    chance about as large as chi squared times (1 / n + 1 / m), with the sizes n and m (Yurdakul 2018).
    """
    size = len(now)
    p = [(count + 0.5) / (sum(now) + size / 2) for count in now]
    q = [(count + 0.5) / (sum(before) + size / 2) for count in before]
    return sum((new - old) * math.log(new / old) for new, old in zip(p, q, strict=True))
