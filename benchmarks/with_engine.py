"""Contenders that are this project's engine: saved folders, loaded as a shard of a run loads them."""

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.contenders import Job, Predict
from senti_tasks.scoring import loading
from senti_tasks.scoring.config import ScoreConfig

_INT8 = "engine-int8"


def load_fp32(job: Job) -> Predict:
    return _load(job, job.model, "fp32")


def load_bf16(job: Job) -> Predict:
    return _load(job, job.model, "bf16")


def prepare_int8(job: Job, calibration: Sequence[str]) -> None:
    """As a retraining makes it."""
    from senti_tasks.training.variants import build_int8

    build_int8(job.model, job.variants / _INT8, calibration)


def load_int8(job: Job) -> Predict:
    return _load(job, job.variants / _INT8, "int8")


def _load(job: Job, folder: Path, variant: str) -> Predict:
    """A ``Scorer`` that remembers no text. It expects as many texts as the whole job has, and so probes where a run of
    that size would."""
    scorer = loading.load(folder, variant, job.device, ScoreConfig(remembered_texts=0))
    gc.collect()
    gc.freeze()  # as a run does once its model is loaded

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        size = scorer.chunk_rows
        chunks = ((None, texts[start : start + size]) for start in range(0, len(texts), size))
        return np.concatenate([found.scores for _, found in scorer.stream(chunks, job.rows)])

    return predict
