"""Contenders that use this project's engine. Models are loaded from saved folders, as in a scoring run."""

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
    """Builds the int8 variant as the retraining does. ``calibration`` are the texts to quantise with."""
    from senti_tasks.training.variants import build_int8

    build_int8(job.model, job.variants / _INT8, calibration)


def load_int8(job: Job) -> Predict:
    return _load(job, job.variants / _INT8, "int8")


def _load(job: Job, folder: Path, variant: str) -> Predict:
    """A function that scores with a ``Scorer`` without a cache of texts.

    Each call passes ``job.rows`` as the expected number of texts, even if it gets fewer (warm-up). So it probes for
    the fastest batch size under the same condition as a scoring run with that many reviews.
    """
    scorer = loading.load(folder, variant, job.device, ScoreConfig(remembered_texts=0))
    gc.collect()
    gc.freeze()  # as a scoring run does after loading the model

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        size = scorer.chunk_rows
        chunks = ((None, texts[start : start + size]) for start in range(0, len(texts), size))
        return np.concatenate([predictions.scores for _, predictions in scorer.stream(chunks, job.rows)])

    return predict
