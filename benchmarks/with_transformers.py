"""Contenders that use transformers only: a tutorial's loop, ``pipeline()``, and a loop over sorted texts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from benchmarks.contenders import Job, Predict
from benchmarks.workload import LONGEST
from senti_tasks import labels
from senti_tasks.scoring.batches import padded

ROWS = 16
"""Texts in a batch of the tutorial and of the pipeline."""
SORTED_TOKENS = {"cpu": 2_048, "cuda": 16_384}
"""Tokens in a batch of sorted texts, padding included, by device."""


def load_tutorial(job: Job) -> Predict:
    """fp32, batches of 16 texts in input order, padded to the longest text of the batch."""
    tokenizer, model = _load(job, torch.float32)

    @torch.inference_mode()
    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(texts), ROWS):
            inputs = tokenizer(
                list(texts[start : start + ROWS]),
                truncation=True,
                max_length=LONGEST,
                padding=True,
                return_tensors="pt",
            ).to(job.device)
            parts.append(model(**inputs).logits.softmax(-1)[:, 1].cpu().numpy())
        return np.concatenate(parts)

    return predict


def load_pipeline(job: Job) -> Predict:
    """transformers' ``pipeline`` with truncation, batches of 16 texts; bf16 on CUDA, fp32 on a CPU."""
    tokenizer, model = _load(job, torch.bfloat16 if job.device == "cuda" else torch.float32)
    classify = pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device=job.device, trust_remote_code=False
    )

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        answers = classify(list(texts), truncation=True, max_length=LONGEST, batch_size=ROWS)
        # Each answer has the more probable label and its probability.
        positive = [one["score"] if one["label"] == labels.DEFAULT.names[1] else 1 - one["score"] for one in answers]
        return np.array(positive, dtype=np.float32)

    return predict


def load_sorted(job: Job) -> Predict:
    """bf16, sorted by length, batches of ``SORTED_TOKENS`` tokens with padding."""
    tokenizer, model = _load(job, torch.bfloat16)

    @torch.inference_mode()
    def score(rows: list[list[int]]) -> npt.NDArray[np.float32]:
        inputs = tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(job.device)
        positive: npt.NDArray[np.float32] = model(**inputs).logits.float().softmax(-1)[:, 1].cpu().numpy()
        return positive

    return in_sorted_batches(tokenizer, SORTED_TOKENS[job.device], score)


def in_sorted_batches(
    tokenizer: Any, token_budget: int, score: Callable[[list[list[int]]], npt.NDArray[np.float32]]
) -> Predict:
    """A function that tokenises all texts, sorts them by length and scores them in batches, longest first.

    ``token_budget`` limits the tokens of a batch, padding included: rows times the length of the longest row.
    ``score`` takes the token ids of each row of a batch and returns P(positive) of each row: (B,), float32.
    """

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
        positive = np.empty(len(texts), dtype=np.float32)
        for batch in padded([len(row) for row in rows], token_budget):
            positive[batch] = score([rows[at] for at in batch])
        return positive

    return predict


def _load(job: Job, dtype: torch.dtype) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(job.model, local_files_only=True, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        job.model, local_files_only=True, trust_remote_code=False, dtype=dtype
    )
    return tokenizer, model.to(job.device).eval()
