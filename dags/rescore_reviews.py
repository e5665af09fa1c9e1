"""
### Label every review with a newly promoted model

After a promotion, and every six hours, this DAG labels all reviews with the promoted model. It works at low priority,
one range of keys after another, while the earlier model stays in service. Each range is published by itself; no view
shows these labels yet. When every review has a label or an error, the new model goes into service, and the views show
its labels. If no model waits, the run ends after its first task; that is normal. The DAG also runs by time, because a
promotion on the command line does not update the asset.

**Clear or retry any task at any time**, as in `score_reviews`.

**During a freeze** the ranges are scored and wait. The next run after `senti unfreeze` publishes them.

**If it fails:** correct the cause named at the end of the task's log, then clear the task. You can also leave it: the
next run continues with the missing ranges. To undo the promotion instead: `senti models rollback`.

**By hand:** `senti score --scope rescore`.
"""

from airflow.sdk import AssetOrTimeSchedule, dag, task
from conventions import CHAMPION, DEFAULTS, LABELS, cron, score

from senti_tasks.jobs import scoring

SCHEDULE = AssetOrTimeSchedule(timetable=cron("0 */6 * * *"), assets=[CHAMPION])


@dag(schedule=SCHEDULE, doc_md=__doc__, tags=["sentiment", "scoring"], **DEFAULTS)
def rescore_reviews() -> None:
    incoming = task.short_circuit(scoring.has_incoming)()
    runs, published = score("rescore", priority_weight=1, weight_rule="absolute")
    covered = task.short_circuit(scoring.is_covered)(runs)
    incoming >> runs
    published >> covered >> task(scoring.start_service, outlets=[LABELS])(runs)


rescore_reviews()
