"""The tables, as the newest migration leaves them (a test compares the two). The schema states the rules."""

from senti_tasks.warehouse.schema.labels import (
    erased_reviews,
    label_rollups,
    review_label_history,
    review_labels,
    scoring_errors,
)
from senti_tasks.warehouse.schema.metadata import Counter, TextHash, metadata
from senti_tasks.warehouse.schema.models import (
    annotation_suspects,
    champion_checks,
    corpora,
    encoders,
    gate_results,
    model_labels,
    model_metrics,
    model_variants,
    models,
    promotions,
    text_snapshots,
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
from senti_tasks.warehouse.schema.settings import calendar_days, publication_lock, warehouse_settings
from senti_tasks.warehouse.schema.source import import_sources, review_annotations, reviews

__all__ = [
    "Counter",
    "TextHash",
    "annotation_suspects",
    "calendar_days",
    "champion_checks",
    "corpora",
    "encoders",
    "erased_reviews",
    "gate_results",
    "import_sources",
    "label_rollups",
    "metadata",
    "model_labels",
    "model_metrics",
    "model_variants",
    "models",
    "promotions",
    "publication_lock",
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
    "text_snapshots",
    "text_splits",
    "warehouse_settings",
]
