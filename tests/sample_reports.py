"""Values of a model and of a run, as the reports get them, with names that try to break out of HTML."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from senti_tasks.config import DriftConfig
from senti_tasks.reports import comparison, evaluation, model, run

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
ATTACK = "<script>alert('手机')</script>"
NAMES = {0: "negative", 1: "positive"}
LONG = "一条没有空格的很长的评论" * 30


def judged(rows: int = 400, subjects: tuple[str, ...] = ("candidate", "champion", "baseline")) -> evaluation.Judged:
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, rows)
    probabilities = {}
    for subject in subjects:
        positive = np.clip(0.5 + (labels - 0.5) * 0.6 + random.normal(0, 0.25, rows), 0.01, 0.99)
        probabilities[subject] = np.column_stack([1 - positive, positive])
    products = [(ATTACK, "无线耳机", "W" * 120, None)[row % 4] for row in range(rows)]
    return evaluation.Judged(range(rows), labels, products, random.integers(2, 400, rows), probabilities, 1.7)


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, reference, part, figure, bound, threshold, passed in (
        ("test_rows", None, None, 400.0, None, 773.0, False),
        ("accuracy", "champion", None, 0.0123, -0.0045, -0.02, True),
        ("accuracy", "baseline", None, 0.0456, 0.0234, -0.02, True),
        ("macro_f1", "champion", None, 0.0111, -0.0056, -0.02, True),
        ("log_loss", "champion", None, 0.041, 0.032, 0.03, False),
        ("calibration", None, None, 0.021, None, 0.037, True),
        ("slices", None, None, 1.0, None, 0.0, False),
        ("slice", "champion", f"product {ATTACK}", -0.091, -0.031, -0.02, False),
        ("slice", "champion", "0 to 30 characters", 0.01, 0.03, -0.02, True),
    ):
        rule = {"rule": name, "reference": reference, "slice": part, "rows": 400, "figure": figure, "bound": bound}
        reason = f"{name} of {part or 'all'}"
        found.append({**rule, "threshold": threshold, "passed": passed, "reason": reason, "position": len(found)})
    return found


def a_model(**changes: Any) -> dict[str, Any]:
    confusion = {"confusion_0_0": 171.0, "confusion_0_1": 29.0, "confusion_1_0": 23.0, "confusion_1_1": 177.0}
    tested = {"rows": 400.0, "accuracy": 0.8771, "macro_f1": 0.8712, "roc_auc": 0.9421, **confusion}
    metrics = [
        {"subject": subject, "split": "test", "metric": name, "value": value}
        for subject in ("candidate", "champion", "baseline")
        for name, value in tested.items()
    ]
    metrics.append({"subject": "fp32", "split": "validation", "metric": "ece before", "value": 0.0777})
    epochs = [
        {"epoch": n, "learning_rate": 1.05e-3 / n, "train_loss": 1 / n, "validation_loss": 0.5, "accuracy": 0.8}
        for n in (1, 2, 3)
    ]
    variant = {"variant": "int8", "serves": True, "verdict": "proven", "reason": "few differ", "library": "openvino 1"}
    compared = {"labels_differing": 7, "reviews_compared": 5_000, "disagreement_bound": 0.0026, "agreement": 0.9986}
    fp32 = {"variant": "fp32", "serves": False, "reviews_compared": 5_000}  # what the others are compared with
    fp32 |= dict.fromkeys(("labels_differing", "disagreement_bound"))
    fp32["agreement"] = 1.0
    speed = {"disagreement_limit": 0.005, "reviews_per_second": 321.5, "temperature": 1.7}
    promotion = {"at": AT, "kind": "overruling", "actor": "小李", "reason": ATTACK, "compared_with": None}
    lineage = {"version": "2026-11-23-abcdef", "corpus": "2026-11-23-12345678", "idempotency_key": "a key"}
    code = {"code_version": "0.1.0", "normaliser_version": 1, "artifact": "models/a", "digest": "ab" * 32}
    summary = {"rows": {"train": 3_200, "test": 400}, "labels": {"train": {"negative": 1_600, "positive": 1_600}}}
    return {
        **lineage,
        **code,
        "base_model": "google-bert/bert-base-chinese",
        "base_revision": "c30a6ed2",
        "config": {"epochs": 3, "learning_rate": 3e-5, "freeze_encoder": False, "seed": 2026},
        "training": {
            "ended_by_budget": True,
            "epochs_run": 3,
            "epochs_planned": 10,
            "best_epoch": 2,
            "history": epochs,
            "seconds": 61.5,
            "rates": [],
            "weights_digest": "cd" * 32,
        },
        "trained_at": AT,
        "verdict": "refuse",
        "corpus_summary": {**summary, "dropped": {"duplicate": 17}},
        "variants": [{**variant, **compared, **speed}, {**variant, **fp32, **speed}],
        "metrics": metrics,
        "gate": rules(),
        "checks": [],
        "promotions": [{**promotion, "serving_since": AT}],
        **changes,
    }


def model_html(**changes: Any) -> str:
    mistake = {"label": "negative", "predicted": "positive", "confidence": 0.987, "product": ATTACK, "text": LONG}
    suspect = {"label": "positive", "suggested": "negative", "label_probability": 0.03, "text": f"太差{ATTACK}"}
    values: dict[str, Any] = {
        "written_at": AT,
        "label_names": NAMES,
        "in_service": True,
        "evaluation": evaluation.figures(judged()),
        "mistakes": [mistake],
        "suspects": [suspect],
        "suspect_count": 41,
        "shows_texts": True,
    }
    return model.html(a_model(), **{**values, **changes})


def a_run(**changes: Any) -> dict[str, Any]:
    counts = {"planned": 1_003, "labelled": 1_000, "failed": 2, "superseded": 1, "truncated": 4, "late": None}
    times = {"due": AT, "opened_at": AT, "published_at": AT + timedelta(seconds=90), "seconds": 90.0, "held_at": None}
    decided = {"overruled": None, "overruled_by": None, "overruled_reason": None, "held_because": None}
    known = {
        "run_id": 37,
        "scope": "new",
        "model_version": "2026-11-23-abcdef",
        "variant": "int8",
        "state": "published",
    }
    return {**known, **counts, **times, **decided, **changes}


def earlier_runs(runs: int = 28) -> list[dict[str, Any]]:
    return [
        {"run_id": n, "label": label, "labels": 500 + n, "confidence_sum": 450.0 + n, "confidence_squares": 410.0 + n}
        for n in range(1, runs + 1)
        for label in NAMES
    ]


def drift_row(part: str, product: str | None, **changes: Any) -> dict[str, Any]:
    shares = {"negative_share": 0.4, "unknown_share": 0.0004, "unlike_share": 0.013, "expected_accuracy": 0.913}
    known = {"part": part, "product": product, "reviews": 1_000, "mean_characters": 41.2, "drift": None}
    return {**known, **shares, "psi": 0.012, "psi_training": 0.034, **changes}


def run_html(**changes: Any) -> str:
    values: dict[str, Any] = {
        "written_at": AT,
        "label_names": NAMES,
        "labels": [
            {"label": 0, "labels": 400, "confidence_sum": 352.0},
            {"label": 1, "labels": 600, "confidence_sum": 551.0},
        ],
        "earlier": earlier_runs(),
        "progress": {
            "shards": 4,
            "attempts": 5,
            "claimed_at": AT + timedelta(seconds=10),
            "accepted_at": AT + timedelta(seconds=70),
        },
        "failures": [{"reason": "the review is blank", "reviews": 2}],
        "distinct_texts": 931,
        "products": [
            {
                "product": ATTACK,
                "labels": 55,
                "negative_share": 0.71,
                "labels_before": 812,
                "negative_share_before": 0.33,
                "z": 5.77,
            }
        ],
        "held": [{"run_id": 36, "reviews": 777, "held_at": AT, "held_because": "shares_are_as_usual: 0.9"}],
        "checks": ["scores_are_probabilities"],
        "drift_parts": [drift_row("run", None), drift_row("product", ATTACK, drift="the scores differ (PSI 0.41)")],
        "drift_before": [drift_row("run", None, psi=0.01 + n / 1_000) for n in range(28)],
        "drift_config": DriftConfig(),
        "price_per_hour": 7.2,
    }
    return run.html(a_run(), **{**values, **changes})


def compare_html(**changes: Any) -> str:
    first, second = judged(), judged(subjects=("candidate",))
    compared = comparison.figures(first, second)
    other = a_model(version=f"2026-11-30-{ATTACK}", base_model="scratch:tiny")
    return comparison.html(a_model(), other, {**compared, **changes}, label_names=NAMES, written_at=AT)
