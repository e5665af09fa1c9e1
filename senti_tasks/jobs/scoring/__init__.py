"""Scores reviews: the tasks of ``score_reviews`` and ``rescore_reviews``, and the prediction of single texts."""

from senti_tasks.jobs.scoring.prediction import predict
from senti_tasks.jobs.scoring.rescoring import has_incoming, is_covered, open_ranges, score_range, start_service
from senti_tasks.jobs.scoring.runs import abandon, audit, counts, open_run, plan, publish, unfinished_run
from senti_tasks.jobs.scoring.shards import score_shard

__all__ = [
    "abandon", "audit", "counts", "has_incoming", "is_covered", "open_ranges", "open_run", "plan", "predict", "publish",
    "score_range", "score_shard", "start_service", "unfinished_run",
]  # fmt: skip
