"""
### Keep the warehouse right and small

Every Monday: looks for reviews that no nightly run could have seen, because they were committed late and dated early,
and labels them (`scoring_health.late` counts them); settles what becomes of labels whose reviews were deleted at the
source (`SENTI_DELETED_REVIEWS`); drops the labels of models long out of use (`SENTI_KEEP_MODELS`); vacuums.

**Safe to clear or retry at any time**, as `score_reviews` is.

**If it fails:** fix the cause named at the end of the task's log, then clear the task. `LockedError` means that
somebody read a table to be dropped for longer than five seconds: a retry is enough. Many late reviews every week ask
for a larger `SENTI_OVERLAP_HOURS`.

**By hand:** `senti score --scope reconcile`.
"""

from airflow.sdk import dag, task
from conventions import DEFAULTS, DUE, GPU, IDEMPOTENCY_KEY, LABELS, cron

from senti_tasks.jobs import maintenance, scoring


@dag(schedule=cron("0 5 * * 1"), doc_md=__doc__, tags=["sentiment", "upkeep"], **DEFAULTS)
def maintain_warehouse() -> None:
    run = task(scoring.open_run)(idempotency_key=IDEMPOTENCY_KEY, due=DUE, scope="reconcile")
    shards = task(scoring.score_shard, **GPU).partial(run=run).expand(shard=task(scoring.plan)(run))
    published = task(scoring.publish, outlets=[LABELS])(run)
    shards >> task(scoring.audit)(run) >> published
    (
        published
        >> task(maintenance.settle_deleted)(idempotency_key=IDEMPOTENCY_KEY)
        >> task(maintenance.retain)()
        >> task(maintenance.tidy)()
    )


maintain_warehouse()
