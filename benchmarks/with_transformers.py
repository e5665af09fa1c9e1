"""Contenders that are transformers alone: the tutorial's loop, the library's pipeline, and a loop that sorts."""

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
SORTED_TOKENS = {"cpu": 2_048, "cuda": 16_384}


def load_tutorial(job: Job) -> Predict:
    """16 texts at a time as they come, padded to the longest of them, in fp32."""
    tokenizer, model = _pair(job, torch.float32)

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
    """transformers' own ``pipeline``, told to truncate and to take 16 texts at a time; on CUDA in bf16."""
    tokenizer, model = _pair(job, torch.bfloat16 if job.device == "cuda" else torch.float32)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device=job.device)

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        found = classify(list(texts), truncation=True, max_length=LONGEST, batch_size=ROWS)
        positive = [one["score"] if one["label"] == labels.DEFAULT.names[1] else 1 - one["score"] for one in found]
        return np.array(positive, dtype=np.float32)

    return predict


def load_sorted(job: Job) -> Predict:
    """In bf16, sorted by length, in batches of so many tokens, padding included."""
    tokenizer, model = _pair(job, torch.bfloat16)

    @torch.inference_mode()
    def score(rows: list[list[int]]) -> npt.NDArray[np.float32]:
        inputs = tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(job.device)
        positive: npt.NDArray[np.float32] = model(**inputs).logits.float().softmax(-1)[:, 1].cpu().numpy()
        return positive

    return in_sorted_batches(tokenizer, SORTED_TOKENS[job.device], score)


def in_sorted_batches(
    tokenizer: Any, token_budget: int, score: Callable[[list[list[int]]], npt.NDArray[np.float32]]
) -> Predict:
    """Tokenises all texts at once and hands ``score`` batches of their ids, neighbours in length, longest first.

    A batch's rows times its longest row keep to ``token_budget``. ``score`` gives P(positive) of each row.
    """

    def predict(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
        positive = np.empty(len(texts), dtype=np.float32)
        for batch in padded([len(row) for row in rows], token_budget):
            positive[batch] = score([rows[at] for at in batch])
        return positive

    return predict


def _pair(job: Job, dtype: torch.dtype) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(job.model, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(job.model, local_files_only=True, dtype=dtype)
    return tokenizer, model.to(job.device).eval()
