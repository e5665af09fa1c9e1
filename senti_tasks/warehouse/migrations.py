"""Brings a warehouse to the newest schema: Alembic for the tables, then the views of ``sql/views``."""

import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse.database import make_room, writing
from senti_tasks.warehouse.schema import warehouse_settings

_PACKAGED = Path(__file__).parents[1] / "sql"
SQL = _PACKAGED if _PACKAGED.exists() else Path(__file__).parents[2] / "sql"
"""The folder of SQL files: beside the package in a checkout, inside it in a wheel."""


def migrate(engine: Engine, *, review_id_type: str, reviews_table: str) -> dict[str, Any]:
    """Migrates in one transaction: it is at the newest revision with all its views afterwards, or as it was before.

    ``review_id_type`` and ``reviews_table`` matter at the first migration; later ones compare them with what was
    recorded then, and raise ``WarehouseError`` if they differ. Returns the revisions before and after, and the views.
    """
    make_room(engine)
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236341)")  # one migration at a time
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")  # never queue analysts behind a waiting ALTER
        before = current_revision(connection)
        if before is not None:
            _check_settings(connection, review_id_type=review_id_type, reviews_table=reviews_table)
            if connection.dialect.name == "sqlite":
                drop_views(connection)  # SQLite re-reads every view when a table is altered, and fails on a broken one
        config = _config(connection)
        config.attributes.update(review_id_type=review_id_type, reviews_table=reviews_table)
        command.upgrade(config, "head")
        views = create_views(connection)
        return {"before": before, "after": current_revision(connection), "views": views}


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations"))
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    """The revision the warehouse is at; ``None`` before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def check_migrated(connection: Connection) -> None:
    """Raises ``WarehouseError`` unless the warehouse is at the revision this code was written for."""
    found, expected = current_revision(connection), newest_revision()
    if found != expected:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise WarehouseError(
            f"the warehouse at {where} is at revision {found or 'none'}, and this code needs {expected}: "
            "run `senti migrate`"
        )


def recorded_setting(connection: Connection, name: str) -> str:
    """What the first migration fixed: ``review_id_type`` or ``reviews_table``."""
    found: str = connection.execute(
        sa.select(warehouse_settings.c.value).where(warehouse_settings.c.name == name)
    ).scalar_one()
    return found


def _check_settings(connection: Connection, **wanted: str) -> None:
    for name, value in wanted.items():
        recorded = recorded_setting(connection, name)
        if recorded != value:
            raise WarehouseError(
                f"SENTI_{name.upper()} is {value!r}, but this warehouse was made with {recorded!r}: set it back, "
                "or migrate a new database"
            )


def view_statements() -> dict[str, str]:
    """View name to its SELECT, each after the views it reads."""
    bodies = {path.stem: path.read_text("utf-8").strip().rstrip(";") for path in sorted((SQL / "views").glob("*.sql"))}
    reads = {
        name: {other for other in bodies if other != name and re.search(rf"\b{other}\b", _code(body))}
        for name, body in bodies.items()
    }
    return {name: bodies[name] for name in TopologicalSorter(reads).static_order()}


def _code(body: str) -> str:
    return re.sub(r"--.*", "", body)


def create_views(connection: Connection) -> list[str]:
    """Creates or replaces every view of ``sql/views``; returns their names, each after the views it reads."""
    replace = "CREATE OR REPLACE VIEW" if connection.dialect.name == "postgresql" else "CREATE VIEW"
    if connection.dialect.name == "sqlite":
        drop_views(connection)
    statements = view_statements()
    as_it_stands = {"no_parameters": True}  # psycopg would take a per-cent sign in a comment for a placeholder
    for name, body in statements.items():
        connection.exec_driver_sql(f"{replace} {name} AS\n{body}", execution_options=as_it_stands)
    return list(statements)


def drop_views(connection: Connection) -> None:
    present = set(inspect(connection).get_view_names())
    for name in reversed(view_statements()):
        if name in present:
            connection.exec_driver_sql(f"DROP VIEW {name}")
