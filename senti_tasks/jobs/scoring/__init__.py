"""Reviews in, labels out: the tasks of ``score_reviews`` and ``rescore_reviews``, and predictions of single texts."""

from senti_tasks.jobs.scoring.prediction import predict
from senti_tasks.jobs.scoring.publication import audit, publish
from senti_tasks.jobs.scoring.rescoring import has_incoming, is_covered, open_ranges, score_range, start_service
from senti_tasks.jobs.scoring.runs import abandon, answered, open_run, plan, planned, unfinished_run
from senti_tasks.jobs.scoring.shards import score_shard

__all__ = [
    "abandon",
    "answered",
    "audit",
    "has_incoming",
    "is_covered",
    "open_ranges",
    "open_run",
    "plan",
    "planned",
    "predict",
    "publish",
    "score_range",
    "score_shard",
    "start_service",
    "unfinished_run",
]
