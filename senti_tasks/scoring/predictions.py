"""The predictions of a scorer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions for n texts, in the order in which they were given."""

    probabilities: npt.NDArray[np.float32]
    """(n, n_labels), float32; each row sums to 1, or is NaN if the text has a reason."""
    truncated: npt.NDArray[np.bool_]
    """(n,), bool: whether the text was longer than the model reads."""
    reasons: dict[int, str] = field(default_factory=dict)
    """For each text that could not be scored: its position, and the reason in words for a person."""
    stages: npt.NDArray[np.int8] | None = None
    """(n,): which stage of a cascade answered, the first is 0; -1 if the text has a reason. ``None``: no cascade."""
    checked: npt.NDArray[np.int64] | None = None
    """(n,): the label of the last stage for a text that an earlier one answered, if it was asked for as a check; or -1.
    ``None``: no cascade."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,), int64: the most probable label; -1 if the text has a reason."""
        labels: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        labels[list(self.reasons)] = -1
        return labels

    @property
    def confidences(self) -> npt.NDArray[np.float32]:
        """(n,), float32: the probability of ``labels``."""
        confidences: npt.NDArray[np.float32] = self.probabilities.max(axis=1)
        return confidences

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """(n,), float32 in [0, 1]: P(positive); with more than two classes the expected label, scaled."""
        n_labels = self.probabilities.shape[1]
        steps = np.arange(n_labels, dtype=np.float32) / (n_labels - 1)
        scores: npt.NDArray[np.float32] = np.clip(self.probabilities @ steps, 0.0, 1.0)
        return scores

    @classmethod
    def joined(cls, parts: Sequence["Predictions"], n_labels: int) -> "Predictions":
        """One after the other. ``n_labels`` is the number of labels, also where there are no parts."""
        starts = np.cumsum([0, *(len(part.truncated) for part in parts)]).tolist()
        stages = [part.stages for part in parts if part.stages is not None]
        checked = [part.checked for part in parts if part.checked is not None]
        return cls(
            np.concatenate([np.zeros((0, n_labels), np.float32), *(part.probabilities for part in parts)]),
            np.concatenate([np.zeros(0, bool), *(part.truncated for part in parts)]),
            {
                start + position: reason
                for start, part in zip(starts, parts, strict=False)
                for position, reason in part.reasons.items()
            },
            np.concatenate(stages) if stages else None,
            np.concatenate(checked) if checked else None,
        )

    @property
    def complete(self) -> npt.NDArray[np.float32]:
        """``probabilities``, if every text was scored. Raises ``ValueError`` with the first reason if not."""
        if self.reasons:
            position, reason = min(self.reasons.items())
            raise ValueError(
                f"{len(self.reasons)} of {len(self.probabilities)} texts have no label; {position}: {reason}"
            )
        return self.probabilities
