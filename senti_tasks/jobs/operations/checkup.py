"""``senti doctor``: checks everything that must be in place. A failed check says what to do."""

import importlib.metadata
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from senti_tasks import settings
from senti_tasks.errors import SentiError
from senti_tasks.jobs.base_models import starting_point
from senti_tasks.jobs.context import load_context
from senti_tasks.warehouse import database, migrations, overview


def run_checks() -> list[dict[str, Any]]:
    """Runs every check, also after one has failed. Rows: name, ok (null: not needed here) and finding."""
    checks: dict[str, Callable[[], tuple[bool | None, str]]] = {
        "settings": _settings,
        "database": _database,
        "migrations": _migrations,
        "reviews": _reviews,
        "artifact store": _store,
        "base model": _base_model,
        "device": _device,
        "Airflow": _airflow,
    }
    rows = []
    for name, check in checks.items():
        try:
            ok, finding = check()
        except SentiError as error:
            ok, finding = False, str(error)
        rows.append({"name": name, "ok": ok, "finding": finding})
    return rows


def _settings() -> tuple[bool, str]:
    file = settings.load().home / ".env"
    return True, f"read from {file if file.exists() else 'the environment'}"


def _database() -> tuple[bool, str]:
    context = load_context(migrated=False)
    with context.reading() as connection:
        version = "sqlite_version()" if connection.dialect.name == "sqlite" else "current_setting('server_version')"
        number = connection.scalar(sa.select(sa.literal_column(version)))
    return True, f"{context.engine.dialect.name} {number} at {database.location(context.engine)}"


def _migrations() -> tuple[bool, str]:
    context = load_context()
    wanted = {
        name: getattr(context.settings, name) for name in ("review_id_type", "reviews_table", "labels", "timezone")
    }
    with context.reading() as connection:
        migrations.check_settings(connection, **wanted)
        revision = migrations.current_revision(connection)
        return True, f"at revision {revision}, the newest; days are those of {context.settings.timezone}"


def _reviews() -> tuple[bool, str]:
    with load_context().reading() as connection:
        strange = overview.count_strange(connection)
        unindexed = overview.unindexed_columns(connection)
    total = strange["reviews"]
    if count := strange["unversioned"]:
        return False, f"{count:,} of {total:,} have no updated_at and are never scored: fill it in"
    if count := strange["unkeyed"]:
        return False, f"{count:,} of {total:,} have no key that can be stored and are never scored: correct review_id"
    if unindexed:
        reader = {"review_id": "chunk of a run", "updated_at": "run"}[unindexed[0]]
        advice = "docs/own-tables.md says what to do"
        return False, f"no index serves {unindexed[0]}, so each {reader} reads all {total:,} reviews: {advice}"
    notes = []
    if count := strange["undated"]:
        notes.append(f"{count:,} have no created_at between the years 2 and 9998, so they count on the day of scoring")
    if count := strange["unreadable"]:
        notes.append(f"{count:,} have an updated_at that is no such time: they are scored, and every run looks at them")
    return True, "; ".join([f"{total:,}, each with the time of its last change", *notes])


def _store() -> tuple[bool, str]:
    root = load_context(migrated=False).store.root
    probe = root / f".doctor-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"senti")
        probe.unlink()
    except Exception as error:  # every fsspec store has its own errors
        return False, f"cannot write to {root} ({error}): is SENTI_ARTIFACTS right?"
    return True, f"{root} can be written"


def _base_model() -> tuple[bool, str]:
    from senti_tasks.training import base_names

    start = starting_point(load_context(migrated=False), None)
    revision = base_names.revision_of(start.base_model, start.folder)
    return True, base_names.describe(start.base_model) + (f" at revision {revision[:12]}" if revision else "")


def _device() -> tuple[bool, str]:
    import torch

    from senti_tasks.scoring.devices import device_named, wanted_variants

    settings = load_context(migrated=False).settings
    device = device_named(settings.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    variants = ", then ".join(wanted_variants(settings.variant, settings.device))
    return True, f"torch {torch.__version__} on {device} ({name}); variants of a new model to try: {variants}"


def _airflow() -> tuple[bool | None, str]:
    try:
        version = importlib.metadata.version("apache-airflow")
    except importlib.metadata.PackageNotFoundError:
        return None, "not installed: only the command line works here"
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    where = f"home {home}" if home.exists() else f"home {home} does not exist yet: `make up` uses one of its own"
    return True, f"apache-airflow {version}, {where}"
