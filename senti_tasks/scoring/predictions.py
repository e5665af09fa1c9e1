"""What a scorer thinks of texts."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a scorer thinks of n texts, in the order they were given."""

    probabilities: npt.NDArray[np.float32]
    """(n, n_labels), float32; rows sum to 1, and are NaN where there is a reason."""
    truncated: npt.NDArray[np.bool_]
    """(n,), bool: the text was longer than the model reads."""
    reasons: dict[int, str] = field(default_factory=dict)
    """Why texts could not be scored, by position, in words for a person."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,), int64: the most probable label; -1 where there is a reason."""
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

    @property
    def complete(self) -> npt.NDArray[np.float32]:
        """``probabilities``, when every text has some. Raises ``ValueError`` with the first reason otherwise."""
        if self.reasons:
            position, reason = min(self.reasons.items())
            raise ValueError(
                f"{len(self.reasons)} of {len(self.probabilities)} texts have no label; {position}: {reason}"
            )
        return self.probabilities
