"""Suspect labels: a model that was trained on the other reviews predicts another label.

Confident learning (Northcutt et al. 2021) by ``cleanlab``, on out-of-fold probabilities of the baseline.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.model_selection import StratifiedKFold

from senti_tasks.judging.baseline import Baseline

FOLDS = 5
"""Folds of the cross-validation. A label with fewer rows is left out, as it would be missing from some folds."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is probably wrong, and the suggested label."""

    label: int
    suggested_label: int
    """The most probable label, which differs from ``label``."""
    label_probability: float
    """Probability of ``label``, from a model that was not trained on this row."""
    suggested_probability: float


def find(texts: Sequence[str], labels: Sequence[int], *, seed: int = 0) -> dict[int, Suspect]:
    """Row number (from 0) to suspect, the least probable label first. The same input gives the same result.

    ``texts`` has one text per label and no duplicates, because no model may be trained on a text that it predicts. Rows
    of a label with fewer than ``FOLDS`` rows are left out. If fewer than two labels remain, the result is empty.
    """
    given = np.asarray(labels, dtype=np.int64)
    names, counts = np.unique(given, return_counts=True)
    checked = names[counts >= FOLDS]
    for name in names[counts < FOLDS]:
        log.info("label %d has fewer than %d rows: its rows are not checked for wrong labels", name, FOLDS)
    if len(checked) < 2:
        log.info("wrong labels are not looked for: that takes two labels with %d rows or more", FOLDS)
        return {}
    rows = np.flatnonzero(np.isin(given, checked))
    codes = np.searchsorted(checked, given[rows])  # cleanlab needs the numbers 0 to n_labels - 1, without gaps
    examples = [texts[row] for row in rows.tolist()]
    probabilities = np.zeros((len(rows), len(checked)), dtype=np.float32)  # out of fold
    for seen, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(examples, codes):
        model = Baseline(len(checked)).fit([examples[row] for row in seen], codes[seen])
        probabilities[unseen] = model.predict([examples[row] for row in unseen])
    # Of cleanlab's filters this one has the fewest false alarms. A person will look at each row.
    ranked = find_label_issues(
        codes, probabilities, return_indices_ranked_by="self_confidence", filter_by="confident_learning", n_jobs=1
    )
    suggested = probabilities.argmax(axis=1)
    return {
        int(rows[i]): Suspect(
            label=int(checked[codes[i]]),
            suggested_label=int(checked[suggested[i]]),
            label_probability=float(probabilities[i, codes[i]]),
            suggested_probability=float(probabilities[i, suggested[i]]),
        )
        for i in ranked
        if suggested[i] != codes[i]
    }
