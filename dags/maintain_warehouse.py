"""
### Maintain the warehouse

Every Monday, this DAG does five things. It finds and labels reviews that no nightly run could find, because they were
committed late with an earlier `updated_at` (`scoring_health.late` counts them). It keeps or erases the labels of
reviews that were deleted at the source (`SENTI_DELETED_REVIEWS`). It drops the labels of models that are no longer in
use (`SENTI_KEEP_MODELS`). It deletes corpora, models and other artifacts that nothing needs any more, or only says how
much it could delete if `SENTI_KEEP_ARTIFACTS_DAYS` is not set. It vacuums. The last four do not wait for the first: a
freeze, a failed check or a missing champion does not hold them up. Each of them runs whether or not the one before it
succeeded.

**Clear or retry any task at any time**, as in `score_reviews`.

**If it fails:** correct the cause named at the end of the failed task's log, then clear the task. The other tasks have
done their work; `all_succeeded` only makes the DAG run fail. `LockedError` means that somebody read a table that was
to be dropped for longer than five seconds: a retry is enough. If there are many late reviews every week, set a larger
`SENTI_OVERLAP_HOURS`.
`HeldRunError` means the same as in `score_reviews`.

**By hand:** `senti score --scope reconcile` does the first part.
"""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TriggerRule, dag, task
from conventions import DEFAULTS, IDEMPOTENCY_KEY, SLOTS, about, cron, score

from senti_tasks.jobs.operations import maintenance


@dag(schedule=cron("0 5 * * 1"), tags=["sentiment", "upkeep"], **about(__doc__), **DEFAULTS)
def maintain_warehouse() -> None:
    _, published = score("reconcile", **SLOTS.scoring)
    ended = {"trigger_rule": TriggerRule.ALL_DONE}
    settled = task(maintenance.settle_deleted)(idempotency_key=IDEMPOTENCY_KEY)
    retained, retired, tidied = (
        task(job, **ended)() for job in (maintenance.retain, maintenance.retire_artifacts, maintenance.tidy)
    )
    settled >> retained >> retired >> tidied
    [published, settled, retained, retired, tidied] >> EmptyOperator(task_id="all_succeeded")


maintain_warehouse()
