"""Trains TF-IDF with logistic regression (``--base-model tfidf``) and writes it as a model folder."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from senti_tasks.artifacts import weights_digest
from senti_tasks.config import TFIDF, TfidfConfig
from senti_tasks.corpus import snapshot
from senti_tasks.corpus.text_profile import TextProfile, known_letters
from senti_tasks.judging.baseline import Baseline
from senti_tasks.judging.evaluation import measure
from senti_tasks.labels import LabelSet
from senti_tasks.scoring.tfidf import model as scored
from senti_tasks.training import environment
from senti_tasks.training.model_card import tfidf_card


def train(corpus: Path, config: TfidfConfig, output: Path) -> dict[str, Any]:
    """Fits the classifier to the snapshot in ``corpus`` and writes it into ``output``. It takes seconds and has no
    checkpoints: the same input gives the same files.

    Returns what ``fine_tuning.train`` returns, as far as it exists, and library (that fitted it).
    """
    started = time.monotonic()
    data, label_set = snapshot.load(corpus), snapshot.label_set(corpus)
    summary = json.loads((corpus / "summary.json").read_text(encoding="utf-8"))
    texts = {split: list(data[split]["text"]) for split in ("train", "validation")}
    fitted = fit(texts["train"], data["train"]["label"], config, label_set, output)
    validation = measure(np.asarray(data["validation"]["label"]), fitted.predict(texts["validation"]))
    TextProfile.of(texts["train"], texts["validation"], known_letters(fitted.model.ngrams)).save(output)
    card = tfidf_card(config, corpus.name, summary, label_set, validation)
    (output / "README.md").write_text(card, encoding="utf-8")
    return {
        "base_model": TFIDF,
        "base_revision": None,
        "config": config.to_json(),
        "library": library(),
        "epochs_run": 1,
        "best_epoch": 1,
        "seconds": round(time.monotonic() - started, 1),
        "ngrams": len(fitted.model.ngrams),
        "validation": validation,
        "history": [],
        "rates": [],
        "retried_after_collapse": False,
        "environment": environment.describe("cpu"),
        "weights_digest": weights_digest(output, scored.FILES),
    }


def fit(
    texts: Sequence[str], labels: Sequence[int], config: TfidfConfig, label_set: LabelSet, output: Path
) -> Baseline:
    """Fits the classifier to ``texts`` and their ``labels``, writes the files that scoring reads, and returns it."""
    fitted = Baseline(len(label_set.names), config).fit(texts, labels)
    fitted.model.save(output, label_set.names, library=library(), **config.to_json())
    return fitted


def library() -> str:
    """Name and version of the library that fits it."""
    return f"scikit-learn {sklearn.__version__}"
