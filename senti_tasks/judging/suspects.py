"""Labels that are probably wrong, as a model trained on the other reviews predicts another label.

Confident learning (Northcutt et al. 2021), as ``cleanlab`` has it, on the out-of-fold probabilities of the baseline.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.model_selection import StratifiedKFold

from senti_tasks.judging.baseline import Baseline

FOLDS = 5
"""A label with fewer rows than folds is left out: some model would never have seen it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is probably wrong, and the one that is suggested instead."""

    label: int
    suggested_label: int
    """The most probable label, which is another one."""
    label_probability: float
    """Of ``label``, from a model that has not seen this row."""
    suggested_probability: float


def find(texts: Sequence[str], labels: Sequence[int], *, seed: int = 0) -> dict[int, Suspect]:
    """The rows, from 0, whose label is probably wrong, the least probable label first. Same in, same out.

    ``texts`` are of one length with ``labels`` and hold no duplicates, or a model would have seen what it judges. Rows
    of a label that has fewer than ``FOLDS`` are not judged; where that leaves fewer than two labels, there are none.
    """
    given = np.asarray(labels, dtype=np.int64)
    names, counts = np.unique(given, return_counts=True)
    judged = names[counts >= FOLDS]
    for name in names[counts < FOLDS]:
        log.info("label %d has fewer than %d rows: its rows are not looked at for wrong labels", name, FOLDS)
    if len(judged) < 2:
        log.info("wrong labels are not looked for: that takes two labels with %d rows or more", FOLDS)
        return {}
    rows = np.flatnonzero(np.isin(given, judged))
    codes = np.searchsorted(judged, given[rows])  # 0 to n_labels - 1, none left out: cleanlab wants them so
    probabilities = _out_of_fold([texts[row] for row in rows.tolist()], codes, len(judged), seed)
    # Of cleanlab's ways the one with the fewest false alarms: a person will look at each row.
    ranked = find_label_issues(
        codes, probabilities, return_indices_ranked_by="self_confidence", filter_by="confident_learning", n_jobs=1
    )
    suggested = probabilities.argmax(axis=1)
    return {
        int(rows[i]): Suspect(
            label=int(judged[codes[i]]),
            suggested_label=int(judged[suggested[i]]),
            label_probability=float(probabilities[i, codes[i]]),
            suggested_probability=float(probabilities[i, suggested[i]]),
        )
        for i in ranked
        if suggested[i] != codes[i]
    }


def _out_of_fold(texts: list[str], codes: np.ndarray, n_labels: int, seed: int) -> np.ndarray:
    """Class probabilities of each text from a model trained on the other folds: (len(texts), n_labels), float32."""
    probabilities = np.zeros((len(texts), n_labels), dtype=np.float32)
    for seen, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(texts, codes):
        model = Baseline(n_labels).fit([texts[row] for row in seen], codes[seen])
        probabilities[unseen] = model.predict([texts[row] for row in unseen])
    return probabilities
