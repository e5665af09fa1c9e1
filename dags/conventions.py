"""What all DAGs use: default arguments, assets, and the templates of due time and idempotency key."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Context, CronTriggerTimetable, XComArg, task
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from senti_tasks.errors import SentiError, TrainingStoppedError
from senti_tasks.jobs import scoring

CHAMPION = Asset("senti://models/champion")
LABELS = Asset("senti://tables/review_sentiment")

DUE = "{{ dag_run.run_after.isoformat() }}"
"""The time for which a run is due. Every kind of DAG run has it, and retries keep it."""
IDEMPOTENCY_KEY = "{{ dag.dag_id }}/{{ run_id }}"
"""Identifies what a task made (a corpus, a model, a scoring run), so that a retried or cleared task finds it again."""

GPU = {"queue": "gpu", "pool": "gpu"}
"""For tasks that run a model. LocalExecutor ignores queues; without a GPU, one worker serves both queues."""


class RetryIfItCanHelp(RetryPolicy):
    """Fails a task at once after an error of ours whose class says that a retry cannot help. Retries other errors, and
    a training that pauses only when its pause ends: until then the task holds no worker and no slot of its pool."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        if isinstance(exception, SentiError) and not exception.retry_can_help:
            return RetryDecision.fail(f"a retry cannot help after {type(exception).__name__}: a person has to act")
        if isinstance(exception, TrainingStoppedError) and exception.retry_at:
            delay = max(exception.retry_at - datetime.now(UTC), timedelta(0))
            return RetryDecision.retry(delay, f"a pause (SENTI_NO_TRAINING) until {exception.retry_at.isoformat()}")
        return RetryDecision.default()


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
        "retry_policy": RetryIfItCanHelp(),
    },
}


def cron(expression: str) -> CronTriggerTimetable:
    """A schedule in the time zone of China. Unpausing a DAG does not start a run for a time in the past."""
    return CronTriggerTimetable(expression, timezone="Asia/Shanghai", run_immediately=timedelta(0))


def score(scope: str | XComArg, **of_shards: Any) -> tuple[XComArg, XComArg]:
    """The tasks of every scoring run. They open the runs of ``scope``, score their shards beside each other, and
    publish them. ``of_shards`` are arguments of the tasks that run the model.

    Returns the results of the first task (the run_ids) and of the last one.
    """
    runs = task(scoring.open_series)(idempotency_key=IDEMPOTENCY_KEY, due=DUE, scope=scope)
    shards = task(scoring.list_shards)(runs)
    scored = task(scoring.complete_shard, **GPU, **of_shards).expand_kwargs(shards)
    published = task(scoring.publish_series, outlets=[LABELS])(runs)
    scored >> published
    return runs, published


def ask(task_id: str, subject: str, body: str) -> ApprovalOperator:
    """A task that waits up to five days for a person's approval, without using a worker. No answer is a refusal."""
    wait = {"response_timeout": timedelta(days=5), "execution_timeout": None}
    return ApprovalOperator(task_id=task_id, subject=subject, body=body, defaults="Reject", **wait)
