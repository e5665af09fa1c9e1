"""Figures of the pipeline for Prometheus (``senti watch``, SENTI_METRICS_ADDRESS).

Each scrape reads the warehouse, so that the figures are right whatever process wrote them. No metric has the text of a
review or the name of a product.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from senti_tasks.errors import ConfigError, SentiError
from senti_tasks.jobs.context import load_context
from senti_tasks.warehouse import health

log = logging.getLogger(__name__)

GAUGES = {
    "pending_reviews": "Reviews that the next run would plan; at most 100,000 are counted.",
    "labelled_reviews": "Reviews with a label of the model in service.",
    "carried_over_reviews": "Reviews whose label is still that of the model that served before.",
    "failed_reviews": "Texts that the model in service could not label (table scoring_errors).",
    "incoming_labelled_reviews": "Reviews with a label of the model that is to go into service.",
    "held_runs": "Runs that wait for a person.",
    "held_reviews": "Reviews planned by the held runs.",
    "publishing_frozen": "1 while publishing is frozen (senti freeze), else 0.",
    "publication_lag_seconds": "Seconds from the time for which the last nightly run was due to its publication.",
    "publication_timestamp_seconds": "When the last nightly run was published, in seconds since 1970.",
    "run_reviews_per_second": "Reviews per second while the last published run was scored, of all its workers.",
    "run_negative_ratio": "Share of the lowest label among the labels of the last published run, from 0 to 1.",
    "run_confidence_ratio": "Mean confidence of the labels of the last published run, from 0 to 1.",
    "model_trained_timestamp_seconds": "When the model in service was trained, in seconds since 1970.",
    "model_in_service_timestamp_seconds": "Since when the model in service serves, in seconds since 1970.",
    "model_disagreement_ratio": "Share of labels in which the variant in service differs from fp32, from 0 to 1.",
    "champion_alarm": "1 if the last check found the champion less accurate than at its promotion, else 0.",
    "last_training_timestamp_seconds": "When the newest model was trained, in seconds since 1970.",
    "last_training_seconds": "Seconds that the newest model was trained, with all trials, without interruptions.",
}
LABELLED_GAUGES = {
    "run_reviews": ("outcome", "Reviews of the last published run by outcome. Truncated ones are labelled too."),
    "run_stage_seconds": (
        "stage",
        "Seconds of the last published run: up to its first shard (plan), its last one (score), publication (publish).",
    ),
    "champion_accuracy_ratio": (
        "measured",
        "Accuracy of the champion, from 0 to 1: at its promotion, and at its last check on newer labels.",
    ),
}
COUNTERS = {
    "published_labels": "Labels published since the warehouse was made.",
    "published_runs": "Runs published since the warehouse was made.",
}
UP = "senti_warehouse_up"


def names() -> set[str]:
    """The names of all metrics, as dashboards use them."""
    totals = {f"senti_{name}_total" for name in COUNTERS}
    return {UP, "senti_model_info", *totals, *(f"senti_{name}" for name in (*GAUGES, *LABELLED_GAUGES))}


class Figures(Collector):
    """Reads the figures at each scrape. One scrape at a time reads; a second one waits."""

    def __init__(self) -> None:
        self._reading = Lock()

    def describe(self) -> list[Metric]:
        """Nothing, or the registry would read the warehouse to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        with self._reading:
            figures = _read()
        yield GaugeMetricFamily(UP, "1 if the warehouse could be read, else 0.", value=float(figures is not None))
        if figures is not None:
            yield from _metrics(figures)


def _read() -> dict[str, Any] | None:
    """The figures of the warehouse, or ``None`` if it cannot be read now."""
    try:
        context = load_context()
        with context.reading() as connection:
            return health.read(connection, overlap=timedelta(hours=context.settings.overlap_hours))
    except (SentiError, sa.exc.SQLAlchemyError) as error:
        log.warning("the figures for Prometheus cannot be read: %s", error)
        return None


def _metrics(figures: Mapping[str, Any]) -> Iterator[Metric]:
    for name, text in GAUGES.items():
        if name in figures:
            yield GaugeMetricFamily(f"senti_{name}", text, value=_number(figures[name]))
    for name, (label, text) in LABELLED_GAUGES.items():
        gauge = GaugeMetricFamily(f"senti_{name}", text, labels=[label])
        for key, value in figures.get(name, {}).items():
            if value is not None:
                gauge.add_metric([key], _number(value))
        if gauge.samples:
            yield gauge
    for name, text in COUNTERS.items():
        yield CounterMetricFamily(f"senti_{name}", text, value=figures[name])
    models = InfoMetricFamily("senti_model", "The models in use.", labels=["role"])
    for role, (version, variant) in figures.get("model", {}).items():
        models.add_metric([role], {"version": version, "variant": variant})
    if models.samples:
        yield models


def _number(value: float | datetime) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)


@contextmanager
def serving(address: str) -> Iterator[int]:
    """Answers scrapes at ``address`` (HOST:PORT, as the setting has it) until the block ends; gives the port.

    Raises ``ConfigError`` if nothing can listen there.
    """
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(Figures())
    try:
        server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except OSError as error:
        raise ConfigError(
            f"SENTI_METRICS_ADDRESS={address}: cannot listen there ({error.strerror or error}): choose a port that no "
            "other program uses, and an address of this machine"
        ) from error
    try:
        log.info("metrics for Prometheus: http://%s:%d/metrics", host, server.server_port)
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
