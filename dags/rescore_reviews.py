"""
### Label what the model that analysts see, or are to see, has not labelled yet

After a promotion, and every 15 minutes, this DAG looks whether there is something to catch up. If not, the run ends
after its first task; that is normal. It works one range of keys after another, and each range is published by
itself. Every ten minutes its tasks give up their slot for the trainings that want it. The DAG also runs by time,
because a promotion on the command line does not update the asset.

**After a promotion** the earlier model stays in service, and no view shows a label of the new one. The transaction that
publishes the last of what the earlier model has labelled puts the new model into service. So no review that had a label
is without one. `catch_up` labels what was published meanwhile. Reviews that the new model cannot label keep the label
they had.

**After a rollback** the earlier model serves at once. Reviews that it has not labelled yet show the label they had
(`carried_over` in the views). This DAG replaces these labels. `service_health` counts both.

**Clear or retry any task at any time**, as in `score_reviews`.

**During a freeze** no run begins. If one is under way, its ranges are scored and wait, and `publish_series` fails. The
next run after `senti unfreeze` publishes them.

**If it fails:** correct the cause named at the end of the task's log, then clear the task. You can also leave it: the
next run continues with the missing ranges. To undo the promotion instead: `senti models rollback`.

**By hand:** `senti score --scope rescore` after a promotion, `senti score --scope reconcile` after a rollback.
"""

from airflow.sdk import AssetOrTimeSchedule, dag, task
from conventions import CHAMPION, DEFAULTS, DUE, IDEMPOTENCY_KEY, LABELS, SLOTS, about, cron, score

from senti_tasks.jobs import scoring

SCHEDULE = AssetOrTimeSchedule(timetable=cron("*/15 * * * *"), assets=[CHAMPION])


@dag(schedule=SCHEDULE, tags=["sentiment", "scoring"], **about(__doc__), **DEFAULTS)
def rescore_reviews() -> None:
    scope = task.short_circuit(scoring.scope_to_catch_up)()
    _, published = score(scope, **SLOTS.rescoring)
    published >> task(scoring.catch_up, outlets=[LABELS], **SLOTS.rescoring)(IDEMPOTENCY_KEY, DUE)


rescore_reviews()
