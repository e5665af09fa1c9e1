"""Tells an OpenLineage server (SENTI_LINEAGE_URL) which tables and artifacts a job read, and which it made.

Names follow https://openlineage.io/docs/spec/naming. Nothing here raises: a job must not fail because of its lineage.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from senti_tasks import __version__
from senti_tasks.jobs.context import JobContext, now

log = logging.getLogger(__name__)

PRODUCER = f"https://pypi.org/project/senti-tasks/{__version__}"
NAMESPACE = "senti"
"""The namespace of the jobs."""
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Data:
    """What a job read or made. ``_place`` finds its address when it is told, so naming it costs no query."""

    kind: Literal["table", "artifact", "base model"]
    name: str
    version: str | None = None
    """What tells apart two states of it, such as a digest."""
    rows: int | None = None
    """Rows that the job wrote; for outputs."""


def table(name: str, *, rows: int | None = None, version: str | None = None) -> Data:
    """A table or view of the warehouse."""
    return Data("table", name, version, rows)


def artifact(name: str, *, digest: str | None = None, rows: int | None = None) -> Data:
    """A folder of the artifact store."""
    return Data("artifact", name, digest, rows)


def base_model(name: str, revision: str | None) -> Data:
    """What a training starts from: a model of the hub, a folder or ``scratch:*``."""
    return Data("base model", name, revision)


def tell(context: JobContext, job: str, key: str, *, inputs: Sequence[Data], outputs: Sequence[Data]) -> bool:
    """Sends one COMPLETE event of ``job``; whether it was sent. The same ``job`` and ``key``, as of a retry, are the
    same run. Does nothing unless SENTI_LINEAGE_URL is set."""
    url = context.settings.lineage_url
    if url is None:
        return False
    try:
        _client(url).emit(_event(context, job, key, inputs, outputs))
    except Exception:
        log.warning("the lineage of %s was not sent to SENTI_LINEAGE_URL", job, exc_info=True)
        return False
    return True


def _client(url: str) -> Any:
    # here, because it takes 0.3 s, and most people have no such server
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    parts = urlsplit(url)
    config = HttpConfig(
        url=f"{parts.scheme}://{parts.netloc}",
        endpoint=parts.path.strip("/") or "api/v1/lineage",
        timeout=TIMEOUT_S,
        retry={
            "total": 1,
            "backoff_factor": 0.3,
            "status_forcelist": [500, 502, 503, 504],
            "allowed_methods": ["POST"],
        },
    )
    return OpenLineageClient(transport=HttpTransport(config))


def _place(context: JobContext, data: Data) -> tuple[str, str]:
    """The namespace and the name of ``data``."""
    if data.kind == "base model":
        return ("huggingface" if "/" in data.name and not data.name.startswith("/") else NAMESPACE), data.name
    if data.kind == "artifact":
        root = urlsplit(context.settings.artifacts_root)
        if root.scheme:
            return f"{root.scheme}://{root.netloc}", f"{root.path.strip('/')}/{data.name}".lstrip("/")
        return "file", f"{context.settings.artifacts_root}/{data.name}"
    url = context.engine.url
    name = context.settings.reviews_table if data.name == "reviews" else data.name  # the team's own table
    if url.get_backend_name() == "sqlite":
        return f"sqlite://{url.database}", name
    with context.reading() as connection:
        schema = connection.scalar(sa.select(sa.func.current_schema()))
    qualified = name if "." in name else f"{schema}.{name}"
    return f"postgres://{url.host or 'localhost'}:{url.port or 5432}", f"{url.database}.{qualified}"


def _event(context: JobContext, job: str, key: str, inputs: Sequence[Data], outputs: Sequence[Data]) -> Any:
    from openlineage.client import event_v2 as events
    from openlineage.client.facet_v2 import dataset_version_dataset, job_type_job, output_statistics_output_dataset

    def facets(data: Data) -> dict[str, Any]:
        if data.version is None:
            return {}
        return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(data.version, producer=PRODUCER)}

    def written(data: Data) -> dict[str, Any]:
        if data.rows is None:
            return {}
        counted = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(data.rows, producer=PRODUCER)
        return {"outputStatistics": counted}

    kind = job_type_job.JobTypeJobFacet("BATCH", "SENTI", "JOB", producer=PRODUCER)
    return events.RunEvent(
        eventTime=now().isoformat(),
        producer=PRODUCER,
        eventType=events.RunState.COMPLETE,
        run=events.Run(_run_id(job, key), facets=_parent()),
        job=events.Job(NAMESPACE, job, facets={"jobType": kind}),
        inputs=[events.InputDataset(*_place(context, data), facets=facets(data)) for data in inputs],
        outputs=[
            events.OutputDataset(*_place(context, data), outputFacets=written(data), facets=facets(data))
            for data in outputs
        ],
    )


def _parent() -> dict[str, Any]:
    """The DAG run that the job is a part of, if Airflow runs it."""
    from openlineage.client.facet_v2 import parent_run

    dag, run = os.environ.get("AIRFLOW_CTX_DAG_ID"), os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")
    if not dag or not run:
        return {}
    facet = parent_run.ParentRunFacet(
        parent_run.Run(_run_id(dag, run)), parent_run.Job(NAMESPACE, dag), producer=PRODUCER
    )
    return {"parent": facet}


def _run_id(job: str, key: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"senti/{job}/{key}"))
