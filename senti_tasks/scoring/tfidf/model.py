"""The files of a TF-IDF classifier, and the engine that computes it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring import batches
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.engines.engine import Logits
from senti_tasks.scoring.tokens import Tokens

MODEL_TYPE = "tfidf"
"""The field ``model_type`` in the config.json of such a model."""
FILES = ("config.json", "vocabulary.json", "model.safetensors")
"""The files that determine its predictions."""
_NEVER = -1e4
"""The logit of a label that no training text has: its probability is 0 in float32."""
_BATCH = 1 << 18
"""n-grams of a batch: some 20 MB of temporary arrays."""


@dataclass(frozen=True, slots=True)
class TfidfModel:
    """Logistic regression on the TF-IDF of character n-grams. Term frequencies are logarithmic, and rows have norm
    1."""

    ngrams: Sequence[str]
    """The vocabulary: V n-grams of 1 to 3 characters, in small letters."""
    idf: npt.NDArray[np.float32]
    """(V,)"""
    weights: npt.NDArray[np.float32]
    """(k, V), a row for each of ``labels``; with two labels (1, V), for the second of them."""
    intercepts: npt.NDArray[np.float32]
    """(k,), or (1,)"""
    labels: Sequence[int]
    """The labels of the training texts, ascending, two or more."""

    def save(self, folder: Path, names: Mapping[int, str], **more: Any) -> None:
        """Writes the model into ``folder``. ``names`` are the names of all labels; ``more`` goes into config.json."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_type": MODEL_TYPE,
            "description": "TF-IDF of character n-grams with logistic regression: see README.md",
            "id2label": {str(number): name for number, name in names.items()},
            "label2id": {name: number for number, name in names.items()},
            "labels": list(self.labels),
            **more,
        }
        (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        vocabulary = {"ngrams": list(self.ngrams), "idf": self.idf.astype(np.float64).tolist()}
        (folder / "vocabulary.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n", encoding="utf-8")
        weights = {"weights": np.ascontiguousarray(self.weights), "intercepts": np.ascontiguousarray(self.intercepts)}
        save_file(weights, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model in ``folder``. Raises ``ArtifactError`` if it cannot be read."""
        try:
            config, vocabulary = (json.loads((folder / name).read_text("utf-8")) for name in FILES[:2])
            tensors = load_file(folder / FILES[2])
            weights, intercepts, labels = tensors["weights"], tensors["intercepts"], list(map(int, config["labels"]))
            ngrams, idf = vocabulary["ngrams"], np.array(vocabulary["idf"], dtype=np.float32)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(f"{folder} holds no TF-IDF model that can be loaded: {error}") from error
        rows = 1 if len(labels) == 2 else len(labels)
        if (idf.shape, weights.shape, intercepts.shape) != ((len(ngrams),), (rows, len(ngrams)), (rows,)):
            raise ArtifactError(
                f"{folder} holds no TF-IDF model that can be loaded: expected {len(ngrams)} values of idf and weights "
                f"of {rows} x {len(ngrams)}, found {idf.shape} and {weights.shape}; its files do not belong together"
            )
        return cls(ngrams, idf, weights, intercepts, labels)


class TfidfEngine:
    """Computes a TF-IDF classifier, on the CPU and at once: rows of n-gram numbers in, logits out.

    The sums of a row are added in the order of the n-gram numbers, in float64. So its logits do not depend on the other
    rows of the batch, not even in the last bit.
    """

    token_budgets: Sequence[int] = (_BATCH,)
    at_once = 0

    def __init__(self, model: TfidfModel, n_labels: int) -> None:
        self._idf = model.idf.astype(np.float64)
        self._weights = model.weights.astype(np.float64)
        self._intercepts = model.intercepts.astype(np.float64)
        self._labels = np.asarray(model.labels)
        self._n_labels = n_labels

    def release(self) -> None:
        """It keeps no memory."""

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        return batches.packed(lengths, token_budget)

    def start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        logits = self.logits(tokens.take(np.asarray(batch, dtype=np.int64)))
        return lambda: logits

    def logits(self, tokens: Tokens) -> Logits:
        """The logits of all rows of ``tokens``, (n, n_labels)."""
        n, size = len(tokens.lengths), max(1, len(self._idf))
        keys = np.repeat(np.arange(n) * size, tokens.lengths) + tokens.ids  # (tokens,): row and n-gram
        keys.sort()
        first = np.flatnonzero(np.diff(keys, prepend=-1))  # of each different n-gram of a row
        counts = np.diff(first, append=len(keys))
        rows, ids = np.divmod(keys[first], size)
        values = (1 + np.log(counts)) * self._idf[ids]
        norms = np.sqrt(np.bincount(rows, values * values, minlength=n))
        norms[norms == 0] = 1.0
        found = np.stack(
            [
                np.bincount(rows, values * weights[ids], minlength=n) / norms + intercept
                for weights, intercept in zip(self._weights, self._intercepts, strict=True)
            ],
            axis=1,
        )  # (n, k), or (n, 1)
        if len(self._labels) == 2:
            found = np.concatenate([np.zeros_like(found), found], axis=1)
        logits: Logits = np.full((n, self._n_labels), _NEVER, dtype=np.float32)
        logits[:, self._labels] = found
        return logits
