"""
### Label every review with a newly promoted model

After a promotion, and every six hours: labels the whole table with the model that was promoted, range of keys by range
of keys, at low priority, while the old one goes on serving. Each range is published by itself, where nobody looks yet.
When every review is covered, the new model's labels become what analysts see, in one row.
Where no model waits, the run ends at its first task, and that is a good run. (It looks by time too, since a promotion
typed at a shell updates no asset.)

**Safe to clear or retry at any time**, as `score_reviews` is.

**If it fails:** fix the cause named at the end of the task's log, then clear the task, or leave it: the next run goes
on with what is missing. To give the promotion up instead: `senti models rollback`.

**By hand:** `senti score --scope rescore`.
"""

from airflow.sdk import AssetOrTimeSchedule, dag, task
from conventions import CHAMPION, DEFAULTS, DUE, GPU, IDEMPOTENCY_KEY, LABELS, cron

from senti_tasks.jobs import scoring

SCHEDULE = AssetOrTimeSchedule(timetable=cron("0 */6 * * *"), assets=[CHAMPION])


@dag(schedule=SCHEDULE, doc_md=__doc__, tags=["sentiment", "scoring"], **DEFAULTS)
def rescore_reviews() -> None:
    incoming = task.short_circuit(scoring.has_incoming)()
    ranges = task(scoring.open_ranges)(idempotency_key=IDEMPOTENCY_KEY, due=DUE)
    scored = task(scoring.score_range, **GPU, priority_weight=1, weight_rule="absolute").expand(run=ranges)
    covered = task.short_circuit(scoring.is_covered)(ranges)
    incoming >> ranges
    scored >> covered >> task(scoring.start_service, outlets=[LABELS])(ranges)


rescore_reviews()
