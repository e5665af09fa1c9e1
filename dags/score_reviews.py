"""
### Label new reviews

Every night: labels every review that has no label of its present text yet, with the model in service. Analysts see all
of a run or none of it: labels are staged, audited against the plan of the run, and published in one transaction.

**Safe to clear or retry at any time.** A shard goes on from its last staged chunk; a second attempt of a shard locks
the first one out; publishing twice changes nothing. A missed run needs no catching up: the next one labels it all.

**If it fails:** fix the cause named at the end of the task's log, then clear the task; no clean-up is needed.
`NoChampionError` means that no model was promoted yet (`retrain_sentiment`). `AuditError` names the check of
`sql/checks` that found offenders and shows some: nothing was published then.

**By hand:** `senti score`.
"""

from airflow.sdk import dag, task
from conventions import DEFAULTS, DUE, GPU, IDEMPOTENCY_KEY, LABELS, cron

from senti_tasks.jobs import scoring


@dag(schedule=cron("0 2 * * *"), doc_md=__doc__, tags=["sentiment", "scoring"], **DEFAULTS)
def score_reviews() -> None:
    run = task(scoring.open_run)(idempotency_key=IDEMPOTENCY_KEY, due=DUE)
    shards = task(scoring.score_shard, **GPU).partial(run=run).expand(shard=task(scoring.plan)(run))
    shards >> task(scoring.audit)(run) >> task(scoring.publish, outlets=[LABELS])(run)


score_reviews()
