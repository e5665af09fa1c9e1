"""What all DAGs use: default arguments, assets, and the templates of due time and idempotency key."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Context, CronTriggerTimetable, XComArg, task
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from senti_tasks import settings
from senti_tasks.errors import SentiError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import alerts

CHAMPION = Asset("senti://models/champion")
LABELS = Asset("senti://tables/review_sentiment")

DUE = "{{ dag_run.run_after.isoformat() }}"
"""The time for which a run is due. Every kind of DAG run has it, and retries keep it."""
IDEMPOTENCY_KEY = "{{ dag.dag_id }}/{{ run_id }}"
"""Identifies what a task made (a corpus, a model, a scoring run), so that a retried or cleared task finds it again."""
ATTEMPT = "{{ ti.try_number }}"

_MANY = 500  # retries of tasks that give up their slot; after errors, RetryIfItCanHelp allows no more than usual


def _slot(pool: str, weight: int, **further: Any) -> dict[str, Any]:
    where = {"queue": "gpu", "executor": settings.load().gpu_executor}
    return {**where, "pool": pool, "priority_weight": weight, "weight_rule": "absolute", **further}


SLOTS = SimpleNamespace(
    scoring=_slot("scoring", 1),
    check=_slot("training", 1000),  # short: before a training
    evaluation=_slot("training", 100),
    training=_slot("training", 10, retries=_MANY),
    rescoring=_slot("training", 2, retries=_MANY),
    pretraining=_slot("training", 1, retries=_MANY),
)
"""For tasks that run a model. Labelling new reviews has a pool of its own, so no training holds it up. In the other
pool, the task with the largest weight gets a free slot. LocalExecutor ignores queues; without a GPU, one worker serves
both.
"""

RETRIES = 3


class RetryIfItCanHelp(RetryPolicy):
    """Fails a task at once after an error of ours whose class says that a retry cannot help. Retries other errors
    ``RETRIES`` times, and a task that gave up its slot whenever it wants the slot back (``retry_at``): until then it
    holds no worker and no slot of its pool."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        if isinstance(exception, SentiError) and not exception.retry_can_help:
            return RetryDecision.fail(f"a retry cannot help after {type(exception).__name__}: a person has to act")
        if retry_at := getattr(exception, "retry_at", None):
            delay = max(retry_at - datetime.now(UTC), timedelta(0))
            return RetryDecision.retry(delay, f"it gave its slot up until {retry_at.isoformat()}")
        if try_number > RETRIES:
            return RetryDecision.fail(f"it failed {try_number} times")
        return RetryDecision.default()


def tell_failure(context: Context) -> None:
    """Tells people (SENTI_ALERT_URL) of a task that failed for good. If its process was killed, there is no
    exception."""
    instance = context["ti"]
    alerts.tell_failure(instance.dag_id, instance.task_id, instance.run_id, context.get("exception"))


DEFAULTS = {
    "catchup": False,  # one run labels everything pending, also what missed runs should have labelled
    "max_active_runs": 1,
    "render_template_as_native_obj": True,  # an empty parameter arrives as None
    "default_args": {
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(hours=6),
        "retry_policy": RetryIfItCanHelp(),
        "on_failure_callback": tell_failure,
        "owner": "sentiment",
    },
}


def about(text: str) -> dict[str, str]:
    """The runbook of a DAG, for its page, and its first heading as the description in the list of DAGs."""
    return {"doc_md": text, "description": text.strip().partition("\n")[0].removeprefix("### ")}


def cron(expression: str) -> CronTriggerTimetable:
    """A schedule in SENTI_TIMEZONE. Unpausing a DAG does not start a run for a time in the past."""
    return CronTriggerTimetable(expression, timezone=settings.load().timezone, run_immediately=timedelta(0))


def score(scope: str | XComArg, **of_workers: Any) -> tuple[XComArg, XComArg]:
    """The tasks of every scoring run. They open the runs of ``scope``, score their shards beside each other, and
    publish them. ``of_workers`` are arguments of the tasks that run the model.

    Returns the results of the first task (the run_ids) and of the last one.
    """
    runs = task(scoring.open_series)(idempotency_key=IDEMPOTENCY_KEY, due=DUE, scope=scope)
    workers = task(scoring.list_workers)(runs)
    scored = task(scoring.complete_series, **of_workers).partial(run_ids=runs, attempt=ATTEMPT).expand(worker=workers)
    published = task(scoring.publish_series, outlets=[LABELS])(runs)
    scored >> published
    return runs, published


def ask(task_id: str, subject: str, body: str) -> ApprovalOperator:
    """A task that waits up to five days for a person's approval, without using a worker. No answer is a refusal."""
    wait = {"response_timeout": timedelta(days=5), "execution_timeout": None}
    return ApprovalOperator(task_id=task_id, subject=subject, body=body, defaults="Reject", **wait)
