"""Brings a warehouse to the newest schema: Alembic for the tables, then the views of ``sql/views``, then comments."""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.engine.reflection import ObjectKind

from senti_tasks import labels
from senti_tasks.errors import LockedError, WarehouseError
from senti_tasks.labels import LabelSet
from senti_tasks.warehouse import column_comments
from senti_tasks.warehouse.database import insert, make_room, migrating, reading
from senti_tasks.warehouse.schema import metadata, warehouse_settings

_PACKAGED = Path(__file__).parents[1] / "sql"
SQL = _PACKAGED if _PACKAGED.exists() else Path(__file__).parents[2] / "sql"
"""The folder of SQL files: beside the package in a checkout, inside it in a wheel."""


LOCK_TIMEOUT_S = 5.0
"""How long a statement of a migration queues for a lock on PostgreSQL; analysts who come later queue behind it."""
PAUSES_S = (1.0, 4.0, 8.0, 16.0)
"""Between the attempts to get the locks: five in about a minute."""


def migrate(
    engine: Engine,
    *,
    review_id_type: str,
    reviews_table: str,
    label_set: LabelSet = labels.DEFAULT,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    pauses_s: Iterable[float] = PAUSES_S,
) -> dict[str, Any]:
    """Migrates in one transaction: it is at the newest revision with all its views afterwards, or as it was before.

    ``review_id_type``, ``reviews_table`` and ``label_set`` matter at the first migration; later ones compare them with
    what was recorded then, and raise ``WarehouseError`` if they differ. Returns the revisions before and after, and the
    views.
    On PostgreSQL a transaction that waits for a lock longer than ``lock_timeout_s`` starts anew after the next of
    ``pauses_s``, and raises ``WarehouseError`` after the last; on SQLite the busy timeout does the waiting.
    """
    make_room(engine)
    settings = {"review_id_type": review_id_type, "reviews_table": reviews_table, "labels": str(label_set)}
    on_postgresql = engine.dialect.name == "postgresql"
    remaining = iter(pauses_s if on_postgresql else ())
    attempts = 0
    while True:
        attempts += 1
        try:
            with migrating(engine) as connection:
                if on_postgresql:
                    _take_turn(connection, lock_timeout_s)
                return _migrate(connection, settings)
        except LockedError as error:
            pause = next(remaining, None)
            if pause is None:
                if not on_postgresql:
                    raise
                raise WarehouseError(
                    f"somebody is reading what this migration changes ({_lock_holders(engine)}), and {attempts} "
                    "attempts to get the locks failed: nothing was changed. Run `senti migrate` again when they are "
                    "done, or end their sessions with pg_terminate_backend"
                ) from error
        time.sleep(pause)


def _take_turn(connection: Connection, lock_timeout_s: float) -> None:
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236341)")  # one migration at a time
    # Never queue analysts behind a waiting ALTER for long.
    connection.execute(sa.select(sa.func.set_config("lock_timeout", f"{lock_timeout_s * 1000:.0f}ms", True)))


def _migrate(connection: Connection, settings: dict[str, str]) -> dict[str, Any]:
    before = current_revision(connection)
    if before is not None:
        check_settings(connection, **settings)
        if connection.dialect.name == "sqlite":
            drop_views(connection)  # SQLite re-reads every view when a table is altered, and fails on a broken one
    config = _config(connection)
    config.attributes.update(settings)
    command.upgrade(config, "head")
    views = create_views(connection)
    write_comments(connection)
    return {"before": before, "after": current_revision(connection), "views": views}


LOCK_HOLDERS = """
SELECT DISTINCT held.pid, session.usename
FROM pg_locks AS held
INNER JOIN pg_class AS relation ON relation.oid = held.relation
INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
INNER JOIN pg_stat_activity AS session ON session.pid = held.pid AND session.datid = held.database
WHERE held.granted AND held.pid <> pg_backend_pid()
    AND session.datname = current_database() AND namespace.nspname = current_schema()
ORDER BY held.pid
"""


def _lock_holders(engine: Engine) -> str:
    with reading(engine) as connection:
        holders = [f"pid {pid} of {user}" for pid, user in connection.exec_driver_sql(LOCK_HOLDERS)]
    return ", ".join(holders) or "they have ended since"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations"))
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    """The revision the warehouse is at; ``None`` before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_revision() -> str | None:
    """Read once: each job compares the warehouse with it."""
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
    """What the first migration fixed: ``review_id_type``, ``reviews_table``, ``labels`` or ``reviews_made_by``."""
    return _recorded(connection)[name]


def check_settings(connection: Connection, **wanted: str) -> None:
    """Raises ``WarehouseError`` when a setting is another than the one that the first migration recorded."""
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
    """Brings every view of ``sql/views`` up to date; returns their names, each after the views it reads.

    Replacing a view waits for whoever reads it, so one that stands as its file says it is left alone: the digests of
    the files are kept in ``warehouse_settings``.
    """
    # On SQLite they were dropped before the tables changed.
    replace = "CREATE OR REPLACE VIEW" if connection.dialect.name == "postgresql" else "CREATE VIEW"
    present = set(inspect(connection).get_view_names())
    recorded = _recorded(connection)
    statements = view_statements()
    as_it_stands = {"no_parameters": True}  # psycopg would take a per-cent sign in a comment for a placeholder
    for name, body in statements.items():
        digest = hashlib.sha256(body.encode()).hexdigest()
        if name in present and recorded.get(f"view:{name}") == digest:
            continue
        connection.exec_driver_sql(f"{replace} {name} AS\n{body}", execution_options=as_it_stands)
        _record(connection, f"view:{name}", digest)
        if name not in present:
            connection.execute(sa.delete(warehouse_settings).where(warehouse_settings.c.name == f"comments:{name}"))
    return list(statements)


def write_comments(connection: Connection) -> None:
    """Sets the comments of our views, tables and columns, on PostgreSQL.

    Comments that did not change since are left alone (their digests are in ``warehouse_settings``): setting one blocks
    no reader or writer, but it waits for a VACUUM or an ALTER of the table.
    """
    if connection.dialect.name != "postgresql":
        return
    known, recorded = column_comments.read(SQL), _recorded(connection)
    bodies = view_statements()
    columns = inspect(connection).get_multi_columns(filter_names=list(bodies), kind=ObjectKind.VIEW)
    wanted = {}
    for (_, name), found in columns.items():
        names = [column["name"] for column in found]
        whole = column_comments.of_view(bodies[name])
        wanted[name] = ("VIEW", column_comments.of_relation(known, name, whole, names))
    for name, kind in _our_tables(connection, recorded).items():
        names = list(metadata.tables[name].c.keys()) if name in metadata.tables else ["version_num"]
        wanted[name] = (kind, column_comments.of_relation(known, name, known["tables"][name], names))
    for name, (kind, comments) in wanted.items():
        digest = column_comments.digest(comments)
        if recorded.get(f"comments:{name}") != digest:
            column_comments.write(connection, kind, name, comments)
            _record(connection, f"comments:{name}", digest)


def _our_tables(connection: Connection, recorded: Mapping[str, str]) -> dict[str, str]:
    """The tables that get our comments, each with its kind (``reviews`` may be a view over the team's own table).

    Tables of the source side that the team made get none.
    """
    ours = dict.fromkeys((*metadata.tables, "alembic_version"), "TABLE")
    if recorded["reviews_made_by"] == "team":
        schema = connection.scalar(sa.func.current_schema())
        ours["reviews"] = "VIEW"
        if recorded["reviews_table"] in ("reviews", f"{schema}.reviews"):
            del ours["reviews"]
    if "comments:review_annotations" not in recorded and not connection.scalar(sa.text(OURS_TO_COMMENT)):
        del ours["review_annotations"]
    return ours


OURS_TO_COMMENT = """
SELECT relation.relkind = 'r' AND pg_has_role(relation.relowner, 'USAGE') AND obj_description(relation.oid) IS NULL
FROM pg_class AS relation WHERE relation.oid = to_regclass('review_annotations')
"""


def _recorded(connection: Connection) -> dict[str, str]:
    names = warehouse_settings.c
    return {row.name: row.value for row in connection.execute(sa.select(names.name, names.value))}


def _record(connection: Connection, name: str, value: str) -> None:
    kept = insert(connection, warehouse_settings).values(name=name, value=value)
    connection.execute(kept.on_conflict_do_update(index_elements=["name"], set_={"value": kept.excluded.value}))


def drop_views(connection: Connection) -> None:
    present = set(inspect(connection).get_view_names())
    for name in reversed(view_statements()):
        if name in present:
            connection.exec_driver_sql(f"DROP VIEW {name}")
