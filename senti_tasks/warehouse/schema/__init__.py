"""The tables, as the newest migration leaves them (a test compares the two). The schema states the rules."""

from senti_tasks.warehouse.schema.labels import (
    forgotten_reviews,
    label_rollups,
    review_label_history,
    review_labels,
    scoring_errors,
)
from senti_tasks.warehouse.schema.metadata import Counter, Digest, metadata
from senti_tasks.warehouse.schema.models import (
    annotation_suspects,
    champion_checks,
    corpora,
    encoders,
    frozen_texts,
    gate_results,
    model_forms,
    model_labels,
    model_metrics,
    models,
    promotions,
    text_splits,
)
from senti_tasks.warehouse.schema.runs import (
    run_items,
    run_shards,
    run_summaries,
    scoring_runs,
    scoring_watermarks,
    staged_labels,
)
from senti_tasks.warehouse.schema.settings import calendar_days, publish_clock, warehouse_settings
from senti_tasks.warehouse.schema.source import import_sources, review_annotations, reviews

__all__ = [
    "Counter",
    "Digest",
    "annotation_suspects",
    "calendar_days",
    "champion_checks",
    "corpora",
    "encoders",
    "forgotten_reviews",
    "frozen_texts",
    "gate_results",
    "import_sources",
    "label_rollups",
    "metadata",
    "model_forms",
    "model_labels",
    "model_metrics",
    "models",
    "promotions",
    "publish_clock",
    "review_annotations",
    "review_label_history",
    "review_labels",
    "reviews",
    "run_items",
    "run_shards",
    "run_summaries",
    "scoring_errors",
    "scoring_runs",
    "scoring_watermarks",
    "staged_labels",
    "text_splits",
    "warehouse_settings",
]
