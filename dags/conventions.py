"""What the DAGs share: defaults, assets, and the times and names that runs are known by."""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, CronTriggerTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

CHAMPION = Asset("senti://models/champion")
LABELS = Asset("senti://tables/review_sentiment")

DUE = "{{ dag_run.run_after.isoformat() }}"
"""The time a run is due. Every kind of run has it, and it stays the same through retries."""
IDEMPOTENCY_KEY = "{{ dag.dag_id }}/{{ run_id }}"
"""Who opened a corpus, a model or a scoring run: a retried or cleared task finds its own again."""

GPU = {"queue": "gpu", "pool": "gpu"}
"""For tasks that run a model. LocalExecutor knows no queues; without a GPU one worker takes both queues."""

# Retrying changes nothing about these: a person has to look.
_PERMANENT = (
    *("ConfigError", "CorpusError", "ArtifactError", "RegistryError", "ChampionAlarmError"),
    *("RunStateError", "AuditError", "FrozenError", "DeletedReviewsError"),
)

DEFAULTS = {
    "catchup": False,  # pending is a state of the table, not a date: one run makes up for all that were missed
    "max_active_runs": 1,
    "render_template_as_native_obj": True,  # a parameter left empty arrives as None
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
    """A schedule in China's time. Unpausing a DAG starts no run for a time that has passed: one run is a training."""
    return CronTriggerTimetable(expression, timezone="Asia/Shanghai", run_immediately=timedelta(0))


def ask(task_id: str, subject: str, body: str) -> ApprovalOperator:
    """A task that waits for a person, on no worker's slot. No answer before the next week's run is a refusal."""
    wait = {"response_timeout": timedelta(days=5), "execution_timeout": None}
    return ApprovalOperator(task_id=task_id, subject=subject, body=body, defaults="Reject", **wait)
