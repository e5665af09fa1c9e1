"""The scorer of a cascade: a ``Scorer`` for each stage, one behind the other."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring.cascades.layout import Thresholds, is_sure
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.scorer import Check, Scorer

T = TypeVar("T")
Mask = npt.NDArray[np.bool_]

_MOST_CHUNKS = 4
"""A chunk of a cascade is at most so many times as large as one of its last stage."""


class _Part(NamedTuple):
    """A chunk between two stages: what the first of them gave, and the rows that go on to the next."""

    tag: Any
    first: Predictions
    sure: Mask
    """(n,): the rows that the first stage answers."""
    rows: npt.NDArray[np.int64]
    """The rows that the next stage gets: those to answer, and those to check."""
    asked: Mask
    """(len(rows),): which of these rows are to be checked."""


class CascadeScorer(Scorer):
    """Texts in, predictions out, as of a ``Scorer``. ``first`` answers what it is sure of, and ``rest`` the others.

    ``rest`` may be a cascade itself. While it computes, ``first`` works in the thread that reads chunks for it. Whether
    a text is escalated depends on that text only.
    """

    def __init__(
        self,
        first: Scorer,
        thresholds: Thresholds,
        rest: Scorer,
        *,
        temperature: float = 1.0,
        escalated_share: float = 1.0,
    ) -> None:
        """``temperature`` divides the logits of all answers. ``escalated_share`` is the expected share of texts for
        ``rest``: chunks are larger by it, so that the batches of ``rest`` are as full as without a cascade."""
        self.n_labels = rest.n_labels
        self.chunk_rows = rest.chunk_rows * int(np.clip(1 / max(escalated_share, 1e-9), 1, _MOST_CHUNKS))
        self._first = first
        self._thresholds = thresholds
        self._rest = rest
        self._temperature = temperature
        self.escalated_share = escalated_share
        self.last_stage = 1 + rest.last_stage
        self.token_budget = rest.token_budget
        self.answers = rest.answers

    def stream(
        self,
        chunks: Iterable[tuple[T, Sequence[str | None]]],
        expected: int | None = None,
        check: Check[T] | None = None,
    ) -> Generator[tuple[T, Predictions], None, None]:
        """As ``Scorer.stream``. ``Predictions.stages`` says which stage answered.

        ``check`` says, for the tag of a chunk, which of its texts the last stage labels in any case, (n,). That label
        is in ``Predictions.checked``; the answer stays that of the cascade.
        """
        given = (((tag, texts), texts) for tag, texts in chunks)
        escalated = None if expected is None else round(expected * self.escalated_share)
        # Closed from the last stage to the first: the thread of a later stage reads from the one before it.
        with closing(self._first.stream(given, expected)) as first:
            parts = self._parts(first, check)
            of_part: Check[_Part] | None = None if check is None else lambda part: part.asked
            with closing(self._rest.stream(parts, escalated, of_part)) as answered:
                for part, found in answered:
                    yield part.tag, self._merged(part, found)

    def _parts(
        self, first: Iterable[tuple[tuple[Any, Sequence[str | None]], Predictions]], check: Check[Any] | None
    ) -> Iterator[tuple[_Part, list[str | None]]]:
        for (tag, texts), found in first:
            sure = is_sure(found, self._thresholds)
            asked = np.zeros(len(sure), dtype=bool) if check is None else check(tag)
            goes_on = ~sure | asked
            goes_on[list(found.reasons)] = False
            rows = np.flatnonzero(goes_on)
            yield _Part(tag, found, sure, rows, asked[rows]), [texts[row] for row in rows.tolist()]

    def _merged(self, part: _Part, found: Predictions) -> Predictions:
        n = len(part.sure)
        probabilities, truncated = part.first.probabilities.copy(), part.first.truncated.copy()
        stages, checked = np.zeros(n, dtype=np.int8), np.full(n, -1, dtype=np.int64)
        answers = ~part.sure[part.rows]  # of the rows of the next stage, those whose answers count
        rows = part.rows[answers]
        probabilities[rows] = found.probabilities[answers]
        truncated[rows] = found.truncated[answers]
        stages[rows] = 1 if found.stages is None else found.stages[answers] + 1
        last = found.labels if found.checked is None else np.where(found.checked < 0, found.labels, found.checked)
        checked[part.rows[~answers]] = last[~answers]
        if found.checked is not None:
            checked[rows] = found.checked[answers]
        reasons = part.first.reasons | {
            int(part.rows[position]): reason for position, reason in found.reasons.items() if answers[position]
        }
        stages[list(reasons)] = -1
        if self._temperature != 1.0:
            probabilities = _scaled(probabilities, self._temperature)
        return Predictions(probabilities, truncated, reasons, stages, checked)


def _scaled(probabilities: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """``probabilities`` with their logits divided by ``temperature``."""
    powers = np.clip(probabilities.astype(np.float64), 1e-12, 1) ** (1 / temperature)
    scaled: npt.NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled
