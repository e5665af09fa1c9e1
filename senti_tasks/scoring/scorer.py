"""The scorer: one interface for everything that needs a model's opinion of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from senti_tasks.config import ScoreConfig
from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.scoring.batches import by_length
from senti_tasks.scoring.tokens import Encoder


@dataclass(frozen=True)
class Predictions:
    """What a scorer thinks of n texts, in the order they were given."""

    probabilities: npt.NDArray[np.float32]
    """(n, n_labels), float32; rows sum to 1."""
    truncated: npt.NDArray[np.bool_]
    """(n,), bool: the text was longer than the model reads."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,), int64: the most probable label."""
        labels: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
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


class Scorer(Protocol):
    """Texts in, probabilities out, in order."""

    n_labels: int

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Class probabilities of ``texts``, in the order given. Empty in, empty out."""
        ...


class TorchScorer:
    """Sorted by length, batched by tokens, padded within a batch; fp32, on the CPU or a CUDA device."""

    def __init__(self, folder: Path, device: torch.device, config: ScoreConfig) -> None:
        self._encoder = Encoder(folder)
        self._config = config
        self._device = device
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would draw over ours, and into logs
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{folder} holds no classifier that can be loaded: {error}") from error
        self._model = model.to(device).eval()
        self.n_labels: int = model.config.num_labels

    @torch.inference_mode()
    def predict(self, texts: Sequence[str]) -> Predictions:
        ids, truncated = self._encoder.encode(texts)
        probabilities = np.zeros((len(ids), self.n_labels), dtype=np.float32)
        for batch in by_length([len(row) for row in ids], self._config.token_budget):
            logits = self._forward([ids[position] for position in batch])  # (B, n_labels)
            probabilities[batch] = torch.softmax(logits, dim=-1).cpu().numpy()
        return Predictions(probabilities, np.asarray(truncated, dtype=bool))

    def _forward(self, rows: list[list[int]]) -> torch.Tensor:
        longest = max(len(row) for row in rows)
        tokens = torch.full((len(rows), longest), self._encoder.pad_id)  # (B, T)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)  # (B, T)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        output = self._model(input_ids=tokens.to(self._device), attention_mask=mask.to(self._device))
        return output.logits.float()  # type: ignore[no-any-return]


def device_named(name: str) -> torch.device:
    """``auto`` is CUDA where there is one and the CPU elsewhere. Raises ``ConfigError`` when ``name`` is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"SENTI_DEVICE must be auto, cpu or cuda (CUDA_VISIBLE_DEVICES chooses one), found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("SENTI_DEVICE is cuda, and torch finds no CUDA device here: set it to auto or cpu")
    return torch.device(name)


def load(folder: Path, device: str = "auto", config: ScoreConfig | None = None) -> Scorer:
    """The scorer of a verified model folder. Raises ``ArtifactError`` or ``ConfigError``."""
    return TorchScorer(folder, device_named(device), config or ScoreConfig())
