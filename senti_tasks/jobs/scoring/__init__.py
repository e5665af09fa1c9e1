"""Scores reviews: the tasks of ``score_reviews`` and ``rescore_reviews``, and the prediction of single texts."""

from senti_tasks.jobs.scoring.prediction import predict
from senti_tasks.jobs.scoring.rescoring import has_incoming, is_covered, start_service
from senti_tasks.jobs.scoring.runs import (
    abandon,
    audit,
    counts,
    list_shards,
    open_series,
    plan,
    publish,
    publish_series,
    unfinished_series,
)
from senti_tasks.jobs.scoring.shards import complete_shard, count_left, reserve_shard, score_shard

__all__ = [
    "abandon", "audit", "complete_shard", "count_left", "counts", "has_incoming", "is_covered", "list_shards",
    "open_series", "plan", "predict", "publish", "publish_series", "reserve_shard", "score_shard", "start_service",
    "unfinished_series",
]  # fmt: skip
