"""Scores reviews: the tasks of ``score_reviews`` and ``rescore_reviews``, and the prediction of single texts."""

from senti_tasks.jobs.scoring.prediction import predict, predict_file, predict_lines
from senti_tasks.jobs.scoring.rescoring import catch_up, scope_to_catch_up
from senti_tasks.jobs.scoring.runs import (
    abandon,
    audit,
    counts,
    list_shards,
    list_workers,
    open_series,
    plan,
    publish,
    publish_series,
    unfinished_series,
)
from senti_tasks.jobs.scoring.shards import (
    LEASE,
    complete_series,
    complete_shard,
    count_left,
    reserve_shard,
    score_shard,
)

__all__ = [
    "LEASE", "abandon", "audit", "catch_up", "complete_series", "complete_shard", "count_left", "counts", "list_shards",
    "list_workers", "open_series", "plan", "predict", "predict_file", "predict_lines", "publish", "publish_series",
    "reserve_shard", "scope_to_catch_up", "score_shard", "unfinished_series",
]  # fmt: skip
