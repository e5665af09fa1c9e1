"""Descriptions of views, tables and columns: from the heads of ``sql/views`` and from ``sql/columns.toml``."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import Connection

Descriptions = Mapping[str, Mapping[str, str]]


def read(folder: Path) -> Descriptions:
    """The descriptions in ``columns.toml``.

    Under ``columns`` those of a column name everywhere, under ``tables`` those of a table, and under the name of a
    table or view those of its own columns, which come first.
    """
    return tomllib.loads((folder / "columns.toml").read_text("utf-8"))


def of_view(statement: str) -> str:
    """The description of a view: the comment at the head of its file, as one line."""
    lines = []
    for line in statement.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def of_column(known: Descriptions, relation: str, column: str) -> str | None:
    """The description of ``column`` in a view or table; ``None`` when there is none."""
    return known.get(relation, {}).get(column, known["columns"].get(column))


def of_relation(known: Descriptions, relation: str, whole: str, columns: Iterable[str]) -> dict[str, str]:
    """The comments of a view or table: ``whole`` under the empty name, and those of its columns that have one."""
    found = {name: of_column(known, relation, name) for name in columns}
    return {"": whole, **{name: comment for name, comment in found.items() if comment}}


def digest(comments: Mapping[str, str]) -> str:
    """SHA-256 over ``comments``, to see whether they changed: 64 hex digits."""
    return hashlib.sha256(repr(sorted(comments.items())).encode()).hexdigest()


def write(connection: Connection, kind: str, relation: str, comments: Mapping[str, str]) -> None:
    """Sets the ``comments`` of a view or table (``kind``) and its columns. PostgreSQL only: SQLite has no comments."""
    quote = connection.dialect.identifier_preparer.quote
    for name, comment in comments.items():
        subject = f"COLUMN {quote(relation)}.{quote(name)}" if name else f"{kind} {quote(relation)}"
        text = re.sub(r"\s+", " ", comment).replace("'", "''")
        # psycopg would take a per-cent sign for a placeholder
        connection.exec_driver_sql(f"COMMENT ON {subject} IS '{text}'", execution_options={"no_parameters": True})
