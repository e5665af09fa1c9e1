"""
### Label new reviews

Every night, this DAG labels every review whose present text has no label, with the model in service. It stages the
labels, audits them against the plan of the run, and publishes them in one transaction. So analysts see all labels of
a run or none.

The reviews are divided into shards of some minutes each. Each of the tasks `complete_series` takes the next free shard
until none is left. If a worker dies, another one takes its shard over after 20 seconds.

**Clear or retry any task at any time.** A shard continues after its last staged chunk. A second attempt at a shard
locks out the first one. Publishing twice changes nothing. After a missed run there is nothing to catch up: the next
run labels everything.

**If it fails:** correct the cause named at the end of the task's log, then clear the task. No clean-up is needed.
`NoChampionError` means that no model was promoted yet: run `retrain_sentiment`. `AuditError` names the check of
`sql/checks` that failed and shows some of the rows; nothing was published. `HeldRunError` means that the labels differ
unusually from those of earlier runs: the run waits for you, and the message shows the two commands. The next runs label
all other reviews, so this can wait.

**By hand:** `senti score`.
"""

from datetime import timedelta

from airflow.sdk import AsyncCallback, dag
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from conventions import DEFAULTS, SLOTS, about, cron, score

LATE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(hours=4),
    callback=AsyncCallback("senti_tasks.jobs.operations.alerts.tell_late"),
)
"""Tells people (SENTI_ALERT_URL) of a run that is not over at six. Of one that never began, `senti watch` tells."""


@dag(schedule=cron("0 2 * * *"), deadline=LATE, tags=["sentiment", "scoring"], **about(__doc__), **DEFAULTS)
def score_reviews() -> None:
    score("new", **SLOTS.scoring)


score_reviews()
