"""What the DAGs share: defaults, assets, and the times and names that runs are known by."""

from datetime import timedelta

import pendulum
from airflow.sdk import Asset
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

CHAMPION = Asset("senti://models/champion")
LABELS = Asset("senti://tables/review_sentiment")

DUE = "{{ dag_run.run_after.isoformat() }}"
"""The time a run is due. Every kind of run has it, and it stays the same through retries."""
ORIGIN = "{{ dag.dag_id }}/{{ run_id }}"
"""Who opened a corpus, a model or a scoring run: a retried or cleared task finds its own again."""

GPU = {"queue": "gpu", "pool": "gpu"}
"""For tasks that run a model. LocalExecutor knows no queues; without a GPU one worker takes both queues."""

# Retrying changes nothing about these: a person has to look.
_PERMANENT = ("ConfigError", "CorpusError", "ArtifactError", "RegistryError", "RunStateError", "AuditError")

DEFAULTS = {
    "start_date": pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
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
