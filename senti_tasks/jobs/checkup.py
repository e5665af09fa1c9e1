"""``senti doctor``: one check per thing that must be in place, each with what was found and what to do about it."""

from __future__ import annotations

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


def examine() -> list[dict[str, Any]]:
    """Runs every check; none stops the others. Rows: name, ok (null when it is not needed here) and finding."""
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
    found = settings.load()
    return True, f"read from {found.home / '.env' if (found.home / '.env').exists() else 'the environment'}"


def _database() -> tuple[bool, str]:
    context = load_context(migrated=False)
    with database.reading(context.engine) as connection:
        version = "sqlite_version()" if connection.dialect.name == "sqlite" else "current_setting('server_version')"
        number = connection.scalar(sa.select(sa.literal_column(version)))
    return True, f"{context.engine.dialect.name} {number} at {context.engine.url.render_as_string(hide_password=True)}"


def _migrations() -> tuple[bool, str]:
    context = load_context()
    with database.reading(context.engine) as connection:
        settings = context.settings
        migrations.check_settings(
            connection,
            review_id_type=settings.review_id_type,
            reviews_table=settings.reviews_table,
            labels=settings.labels,
        )
        return True, f"at revision {migrations.current_revision(connection)}, the newest"


def _reviews() -> tuple[bool, str]:
    context = load_context()
    with database.reading(context.engine) as connection:
        total, without = overview.reviews_without_version(connection)
        unindexed = overview.unindexed(connection)
    if without:
        return False, f"{without:,} of {total:,} have no updated_at and are never scored: fill it in"
    if unindexed:
        return False, f"{total:,}, all of which {READ_WHOLE[unindexed[0]]}: docs/own-tables.md says what to do"
    return True, f"{total:,}, each with the time of its last change"


READ_WHOLE = {
    "review_id": "each chunk of a run reads, as no index serves their review_id",
    "updated_at": "each run reads to find what is new, as no index serves their updated_at",
}


def _store() -> tuple[bool, str]:
    context = load_context(migrated=False)
    probe = context.store.root / f".doctor-{uuid.uuid4().hex[:8]}"
    try:
        context.store.root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"senti")
        probe.unlink()
    except Exception as error:  # each store has errors of its own
        return False, f"cannot write to {context.store.root} ({error}): is SENTI_ARTIFACTS right?"
    return True, f"{context.store.root} can be written"


def _base_model() -> tuple[bool, str]:
    from senti_tasks.training import base_models

    start = starting_point(load_context(migrated=False), None)
    revision = base_models.revision_of(start.base_model, start.folder)
    return True, base_models.describe(start.base_model) + (f" at revision {revision[:12]}" if revision else "")


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
