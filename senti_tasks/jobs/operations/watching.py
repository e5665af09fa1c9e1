"""Watches what no task can tell of: a night that never began, a queue without a worker, a full disk.

It runs beside Airflow (``senti watch``, the service ``watch`` in docker-compose.yml), so that it also speaks when
Airflow stands still.
"""

import json
import logging
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from senti_tasks import settings
from senti_tasks.alerts import Alert, Kind
from senti_tasks.errors import SentiError
from senti_tasks.jobs import metrics
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.jobs.operations import alerts
from senti_tasks.settings import Settings
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import scoring_runs
from senti_tasks.warehouse.scoring import pending, watermarks

log = logging.getLogger(__name__)

QUEUES = ("default", "gpu")
OFTEN = 3
"""In so many looks, one after the other, a service must be away before people are told: it may only restart."""
FREE_SHARE, FREE_BYTES = 0.1, 10 * 2**30
"""A disk is filling when less than this share and fewer bytes are free."""
WAITED = timedelta(hours=36)
"""A review that waits for longer than this was left out by a night."""
_PATIENCE_S = 10


class Watch:
    """Looks again and again, and tells people of each event once."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def look(self, moment: datetime | None = None) -> list[Alert]:
        """Everything that is not as it should be at ``moment`` (default: now). People are told of what is new."""
        found = list(_look(settings.load(), moment or now()))
        seen = {alert.event for alert in found}
        for event in set(self._seen) - seen:
            del self._seen[event]
        for alert in found:
            self._seen[alert.event] += 1
            if self._seen[alert.event] == (OFTEN if alert.kind in _MAY_RESTART else 1):
                log.warning("%s: %s", alert.title, alert.happened)
                alerts.tell(alert)
        return found


_MAY_RESTART = frozenset({Kind.QUEUE, Kind.BROKER, Kind.AIRFLOW, Kind.DATABASE})


def watch(every_s: float, is_over: Callable[[], bool] = lambda: False, sign: Path | None = None) -> None:
    """Looks every ``every_s`` seconds until ``is_over()``; touches ``sign`` after each look, for a health check.
    Meanwhile it answers Prometheus, if SENTI_METRICS_ADDRESS is set."""
    looking, address = Watch(), settings.load().metrics_address
    with nullcontext() if address is None else metrics.serving(address):
        while not is_over():
            looking.look()
            if sign is not None:
                sign.parent.mkdir(parents=True, exist_ok=True)
                sign.touch()
            time.sleep(every_s)


def look_once() -> list[Alert]:
    """Everything that is not as it should be now. Tells nobody: the person who asked reads it."""
    return list(_look(settings.load(), now()))


def _look(found: Settings, moment: datetime) -> Iterator[Alert]:
    day = moment.astimezone(found.zone).date()
    try:
        context = load_context()
        yield from _labels(context, moment)
    except SentiError as error:
        yield Alert(
            Kind.DATABASE,
            f"database/{day}",
            str(error),
            "no run can begin, and analysts may see nothing.",
            "see that PostgreSQL runs and has room: `docker compose ps`, `docker compose logs postgres`.",
        )
    yield from _disks(found, day.isoformat())
    if found.airflow_health_url:
        yield from _airflow(found.airflow_health_url, day.isoformat())
    if found.broker_url:
        # The workers of another executor do not use the broker.
        queues = QUEUES[:1] if found.gpu_executor else QUEUES
        yield from _queues(found.broker_url, queues, day.isoformat())


def _labels(context: JobContext, moment: datetime) -> Iterator[Alert]:
    """The labels of the night that are late, and reviews that nights have left out."""
    local = moment.astimezone(context.settings.zone)
    hour, minute = map(int, context.settings.labels_by.split(":"))
    if (local.hour, local.minute) < (hour, minute):
        return
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    run = scoring_runs.c
    with context.reading() as connection:
        if promotions.champion(connection) is None:
            return
        serving = promotions.in_service(connection)
        of_tonight = sa.and_(run.scope == "new", sa.or_(run.published_at >= midnight, run.held_at >= midnight))
        was_published = connection.scalar(sa.select(sa.exists().where(of_tonight)))
        began = connection.scalar(sa.select(sa.func.min(run.opened_at)).where(run.scope == "new"))
        since = pending.scan_start(watermarks.of(connection, serving), timedelta(hours=context.settings.overlap_hours))
        waiting = pending.count(connection, serving, due=moment - WAITED, since=since)
    if not was_published and began is not None and began < midnight:
        yield alerts.late(context.settings, moment)
    if waiting and was_published:
        yield Alert(
            Kind.PENDING,
            f"pending/{midnight.date()}",
            f"{waiting:,} reviews have waited for a label for more than {WAITED / timedelta(hours=1):.0f} hours.",
            "the nights do not keep up, or leave these reviews out.",
            "look at `senti status` and the view scoring_health; `senti score` labels them now.",
        )


def _disks(found: Settings, day: str) -> Iterator[Alert]:
    places = {"SENTI_WORK": found.work_folder, "SENTI_HOME": found.home}
    if "://" not in found.artifacts:
        places["SENTI_ARTIFACTS"] = Path(found.artifacts_root)
    full: dict[int, tuple[str, Path, shutil._ntuple_diskusage]] = {}
    for name, place in places.items():
        folder = next(path for path in (place, *place.parents) if path.exists())
        usage = shutil.disk_usage(folder)
        if usage.free < FREE_BYTES and usage.free < FREE_SHARE * usage.total:
            full.setdefault(folder.stat().st_dev, (name, folder, usage))
    for device, (name, folder, usage) in full.items():
        yield Alert(
            Kind.DISK,
            f"disk/{device}/{day}",
            f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.0f} GiB are free on the disk of {name} ({folder}).",
            "a training or a run fails when it is full. Nothing that is stored is lost.",
            "`senti artifacts` lists what could be deleted; SENTI_KEEP_ARTIFACTS_DAYS has maintenance delete it.",
        )


def _airflow(url: str, day: str) -> Iterator[Alert]:
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:  # noqa: S310  an address of the operator's
            health = json.load(answer)
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        bad = [part for part in parts if health.get(part, {}).get("status") != "healthy"]
        happened = f"{', '.join(bad)} of Airflow: no heartbeat." if bad else ""
    except (OSError, ValueError) as error:
        bad, happened = ["API server"], f"the API server of Airflow does not answer ({type(error).__name__})."
    if bad:
        yield Alert(
            Kind.AIRFLOW,
            f"airflow/{'+'.join(bad)}/{day}",
            happened,
            "no run begins while this lasts. Running tasks go on for five minutes without the API server.",
            "`docker compose ps`, then `docker compose logs` of that service, and `docker compose restart`.",
        )


def _queues(url: str, queues: Sequence[str], day: str) -> Iterator[Alert]:
    from celery import Celery  # here, because only this needs it

    try:
        with Celery(broker=url) as app:
            served = app.control.inspect(timeout=_PATIENCE_S / 2).active_queues() or {}
    except Exception as error:  # whatever the client of a broker raises
        yield Alert(
            Kind.BROKER,
            f"broker/{day}",
            f"Redis, through which the workers get their tasks, does not answer ({type(error).__name__}).",
            "no task begins while this lasts.",
            "`docker compose logs redis`: is its disk or its memory full? Then `docker compose restart redis`.",
        )
        return
    names = {queue["name"] for taken in served.values() for queue in taken}
    for queue in queues:
        if queue not in names:
            yield Alert(
                Kind.QUEUE,
                f"queue/{queue}/{day}",
                f"no worker takes tasks of the queue {queue}.",
                "tasks of that queue fail some ten minutes after they were queued.",
                "`docker compose ps` shows the workers; SENTI_WORKER_QUEUES in .env says which queues they take.",
            )
