"""What all DAGs use: default arguments, assets, and the templates of due time and idempotency key."""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, CronTriggerTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

CHAMPION = Asset("senti://models/champion")
LABELS = Asset("senti://tables/review_sentiment")

DUE = "{{ dag_run.run_after.isoformat() }}"
"""The time for which a run is due. Every kind of DAG run has it, and retries keep it."""
IDEMPOTENCY_KEY = "{{ dag.dag_id }}/{{ run_id }}"
"""Identifies what a task made (a corpus, a model, a scoring run), so that a retried or cleared task finds it again."""

GPU = {"queue": "gpu", "pool": "gpu"}
"""For tasks that run a model. LocalExecutor ignores queues; without a GPU, one worker serves both queues."""

# A retry cannot succeed after these errors: a person has to act.
_PERMANENT = (
    *("ConfigError", "CorpusError", "ArtifactError", "RegistryError", "ChampionAlarmError"),
    *("RunStateError", "AuditError", "HeldRunError", "FrozenError", "DeletedReviewsError"),
)

DEFAULTS = {
    "catchup": False,  # one run labels everything pending, also what missed runs should have labelled
    "max_active_runs": 1,
    "render_template_as_native_obj": True,  # an empty parameter arrives as None
    "default_args": {
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(hours=6),
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule([f"senti_tasks.errors.{name}" for name in _PERMANENT], RetryAction.FAIL)]
        ),
    },
}


def cron(expression: str) -> CronTriggerTimetable:
    """A schedule in the time zone of China. Unpausing a DAG does not start a run for a time in the past."""
    return CronTriggerTimetable(expression, timezone="Asia/Shanghai", run_immediately=timedelta(0))


def ask(task_id: str, subject: str, body: str) -> ApprovalOperator:
    """A task that waits up to five days for a person's approval, without using a worker. No answer is a refusal."""
    wait = {"response_timeout": timedelta(days=5), "execution_timeout": None}
    return ApprovalOperator(task_id=task_id, subject=subject, body=body, defaults="Reject", **wait)
