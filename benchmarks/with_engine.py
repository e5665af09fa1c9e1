"""Contenders that are this project's engine: saved folders, loaded as a shard of a run loads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.contenders import Job, Predict
from senti_tasks.scoring import loading
from senti_tasks.scoring.config import ScoreConfig

_INT8 = "engine-int8"
_UNCOMPILED, _COMPILED = 4_000_000, 10_000_000  # tokens: the scorer probes for either, and compiles for the second


def load_fp32(job: Job) -> Predict:
    return _load(job, job.model, "fp32")


def load_bf16(job: Job) -> Predict:
    """On CUDA without compiling, however many texts there are."""
    return _load(job, job.model, "bf16", _UNCOMPILED if job.device == "cuda" else None)


def load_compiled(job: Job) -> Predict:
    """On CUDA with compiling, however few texts there are."""
    return _load(job, job.model, "bf16", _COMPILED)


def prepare_int8(job: Job, calibration: Sequence[str]) -> None:
    """As a retraining makes it."""
    from senti_tasks.training.variants import build_int8

    build_int8(job.model, job.variants / _INT8, calibration)


def load_int8(job: Job) -> Predict:
    return _load(job, job.variants / _INT8, "int8")


def _load(job: Job, folder: Path, variant: str, announced: int | None = None) -> Predict:
    """A ``Scorer`` that remembers no text, told to expect so many tokens: those of the job where nothing is announced.

    It is what ``Scorer.predict`` calls; there the number of texts is what is expected.
    """
    scorer = loading.load(folder, variant, job.device, ScoreConfig(remembered_texts=0))
    expected = job.rows if announced is None else round(announced / job.mean_tokens)

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        size = scorer.chunk_rows
        chunks = ((None, texts[start : start + size]) for start in range(0, len(texts), size))
        return np.concatenate([found.scores for _, found in scorer.stream(chunks, expected)])

    return predict
