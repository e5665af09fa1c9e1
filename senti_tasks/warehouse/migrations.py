"""Brings a warehouse to the newest schema: Alembic for the tables, then views, functions, comments and rights."""

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
from senti_tasks.errors import LockedError, RevisionError, WarehouseError
from senti_tasks.labels import LabelSet
from senti_tasks.warehouse import column_comments, roles
from senti_tasks.warehouse.database import create_file, location, migrating, reading, upsert
from senti_tasks.warehouse.schema import metadata, warehouse_settings

_PACKAGED = Path(__file__).parents[1] / "sql"
SQL = _PACKAGED if _PACKAGED.exists() else Path(__file__).parents[2] / "sql"
"""The folder of SQL files: beside the package in a checkout, inside it in a wheel."""

ADVISORY_LOCK = 7236341
"""The number of the lock that a migration takes on PostgreSQL."""
LOCK_TIMEOUT_S = 5.0
"""How long a statement of a migration waits for a lock on PostgreSQL. Queries of analysts that arrive later wait behind
it."""
PAUSES_S = (1.0, 4.0, 8.0, 16.0)
"""Pauses between the attempts to get the locks: five attempts in about a minute."""


def migrate(
    engine: Engine,
    *,
    review_id_type: str,
    reviews_table: str,
    label_set: LabelSet = labels.DEFAULT,
    timezone: str = "Asia/Shanghai",
    check_timezone: bool = True,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    pauses_s: Iterable[float] = PAUSES_S,
) -> dict[str, Any]:
    """Migrates to the newest revision and updates the views, all in one transaction.

    The first migration records ``review_id_type``, ``reviews_table``, ``label_set`` and ``timezone``. Later ones raise
    ``WarehouseError`` if they differ from the record; ``check_timezone=False`` leaves out the last.
    Returns the revisions before and after, the names of the views, and the roles that got their rights.
    On PostgreSQL, when a statement waits for a lock longer than ``lock_timeout_s``, the transaction is repeated after
    the next of ``pauses_s``; after the last, ``LockedError`` is raised. On SQLite the busy timeout applies.
    """
    create_file(engine)
    settings = {"review_id_type": review_id_type, "reviews_table": reviews_table, "labels": str(label_set)}
    settings["timezone"] = timezone
    checked = settings if check_timezone else {name: settings[name] for name in settings if name != "timezone"}
    on_postgresql = engine.dialect.name == "postgresql"
    pauses, attempts = list(pauses_s), 0
    while True:
        attempts += 1
        try:
            with migrating(engine) as connection:
                if on_postgresql:
                    timeout = f"{lock_timeout_s * 1000:.0f}ms"
                    connection.execute(sa.select(sa.func.set_config("lock_timeout", timeout, True)))
                    # One migration at a time. The timeout applies to this lock too, since any role may take it.
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
                return _migrate(connection, settings, checked)
        except LockedError as error:
            if not on_postgresql:
                raise
            if attempts > len(pauses):
                raise LockedError(
                    f"somebody is reading what this migration changes ({_lock_holders(engine)}), and {attempts} "
                    "attempts to get the locks failed: nothing was changed. Run `senti migrate` again when they are "
                    "done, or end their sessions with pg_terminate_backend"
                ) from error
        time.sleep(pauses[attempts - 1])


def _migrate(connection: Connection, settings: dict[str, str], checked: dict[str, str]) -> dict[str, Any]:
    before = current_revision(connection)
    if before is not None:
        check_settings(connection, **checked)
        if connection.dialect.name == "sqlite":
            # When a table is altered, SQLite parses every view, and fails if one has become invalid.
            present = set(inspect(connection).get_view_names())
            for name in reversed(view_statements()):
                if name in present:
                    connection.exec_driver_sql(f"DROP VIEW {name}")
    config = _config(connection)
    config.attributes.update(settings)
    command.upgrade(config, "head")
    views = _create_views(connection)
    if connection.dialect.name == "postgresql":
        _create_functions(connection)
        _write_comments(connection)
    granted = roles.grant(connection, SQL)
    return {"before": before, "after": current_revision(connection), "views": views, "roles": granted}


LOCK_HOLDERS = """
SELECT DISTINCT held.pid, session.usename
FROM pg_locks AS held
LEFT JOIN pg_class AS relation ON relation.oid = held.relation
LEFT JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
INNER JOIN pg_stat_activity AS session ON session.pid = held.pid AND session.datid = held.database
WHERE held.granted AND held.pid <> pg_backend_pid() AND session.datname = current_database()
    AND (namespace.nspname = current_schema() OR (held.locktype = 'advisory' AND held.objid = :advisory_lock))
ORDER BY held.pid
"""


def _lock_holders(engine: Engine) -> str:
    held = {"advisory_lock": ADVISORY_LOCK}
    with reading(engine) as connection:
        holders = [f"pid {pid} of {user}" for pid, user in connection.execute(sa.text(LOCK_HOLDERS), held)]
    return ", ".join(holders) or "they have ended since"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations"))
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    """The revision of the warehouse; ``None`` before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_revision() -> str | None:
    """The newest revision in ``sql/migrations``. Cached, since each job compares the warehouse with it."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def check_migrated(connection: Connection) -> None:
    """Raises ``RevisionError`` unless the warehouse is at the newest revision."""
    found, expected = current_revision(connection), newest_revision()
    if found != expected:
        where = location(connection.engine)
        raise RevisionError(
            f"the warehouse at {where} is at revision {found or 'none'}, and this code needs {expected}: "
            "run `senti migrate`"
        )


def recorded_setting(connection: Connection, name: str) -> str:
    """What the first migration recorded as ``review_id_type``, ``reviews_table``, ``labels``, ``timezone`` or
    ``reviews_made_by``."""
    return _recorded(connection)[name]


def check_settings(connection: Connection, **wanted: str) -> None:
    """Raises ``WarehouseError`` when a setting in ``wanted`` differs from what the first migration recorded."""
    recorded = _recorded(connection)
    for name, value in wanted.items():
        if recorded[name] != value:
            raise WarehouseError(
                f"SENTI_{name.upper()} is {value!r}, but this warehouse was made with {recorded[name]!r}: set it back, "
                f"or {_WAYS_OUT.get(name, 'migrate a new database')}"
            )


_WAYS_OUT = {"timezone": "run `senti migrate --recount-days`, which gives every label its day in the new time zone"}


def view_statements() -> dict[str, str]:
    """The statement of each view of ``sql/views`` by name, each view after those it reads."""
    bodies = {path.stem: path.read_text("utf-8").strip().rstrip(";") for path in sorted((SQL / "views").glob("*.sql"))}
    words = {name: set(re.findall(r"\w+", re.sub(r"--.*", "", body))) for name, body in bodies.items()}
    reads = {name: bodies.keys() & words[name] - {name} for name in bodies}
    return {name: bodies[name] for name in TopologicalSorter(reads).static_order()}


def _create_views(connection: Connection) -> list[str]:
    """Creates or replaces the views of ``sql/views``; returns their names, each after the views it reads.

    Replacing a view waits for its readers. A view whose file has not changed is therefore left as it is: the digests of
    the files are in ``warehouse_settings``.
    """
    # On SQLite the views were dropped before the tables changed.
    replace = "CREATE OR REPLACE VIEW" if connection.dialect.name == "postgresql" else "CREATE VIEW"
    present = set(inspect(connection).get_view_names())
    recorded = _recorded(connection)
    statements = view_statements()
    if "attributes" not in {column["name"] for column in inspect(connection).get_columns("reviews")}:
        missing = "CAST(NULL AS JSONB)" if connection.dialect.name == "postgresql" else "NULL"
        body = statements["review_attributes"].replace("    attributes\n", f"    {missing} AS attributes\n")
        statements["review_attributes"] = body
    for name, body in statements.items():
        digest = hashlib.sha256(body.encode()).hexdigest()
        if name in present and recorded.get(f"view:{name}") == digest:
            continue
        # Without no_parameters psycopg would read a per-cent sign in a comment as a placeholder.
        connection.exec_driver_sql(f"{replace} {name} AS\n{body}", execution_options={"no_parameters": True})
        _record(connection, f"view:{name}", digest)
        if name not in present:
            connection.execute(sa.delete(warehouse_settings).where(warehouse_settings.c.name == f"comments:{name}"))
    return list(statements)


def _create_functions(connection: Connection) -> None:
    """Creates or replaces the functions of ``sql/functions``. PostgreSQL only."""
    for path in sorted((SQL / "functions").glob("*.sql")):
        connection.exec_driver_sql(path.read_text("utf-8"), execution_options={"no_parameters": True})


def _write_comments(connection: Connection) -> None:
    """Sets the comments of our views, tables and columns. PostgreSQL only.

    Comments that have not changed are left as they are (their digests are in ``warehouse_settings``): setting one does
    not block readers or writers, but it waits for a VACUUM or an ALTER of the table.
    """
    known, recorded = column_comments.read(SQL), _recorded(connection)
    bodies = view_statements()
    columns = inspect(connection).get_multi_columns(filter_names=list(bodies), kind=ObjectKind.VIEW)
    wanted = {}
    for (_, name), found in columns.items():
        names = [column["name"] for column in found]
        wanted[name] = ("VIEW", column_comments.of_relation(known, name, column_comments.of_view(bodies[name]), names))
    for name, kind in _our_tables(connection, recorded).items():
        names = list(metadata.tables[name].c.keys()) if name in metadata.tables else ["version_num"]
        wanted[name] = (kind, column_comments.of_relation(known, name, known["tables"][name], names))
    for name, (kind, comments) in wanted.items():
        digest = hashlib.sha256(repr(sorted(comments.items())).encode()).hexdigest()
        if recorded.get(f"comments:{name}") != digest:
            column_comments.write(connection, kind, name, comments)
            _record(connection, f"comments:{name}", digest)


def _our_tables(connection: Connection, recorded: Mapping[str, str]) -> dict[str, str]:
    """The tables that get our comments by name, each with its kind: TABLE, or VIEW for ``reviews`` over another table.

    Source tables that the team made get none.
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
    connection.execute(upsert(connection, warehouse_settings), {"name": name, "value": value})
