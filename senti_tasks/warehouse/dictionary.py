"""What the views and their columns mean: from the heads of ``sql/views`` and from ``sql/columns.toml``."""

import re
import tomllib
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection


def meaning_of(statement: str) -> str:
    """What a row of a view means: the comment at the head of its file, on one line."""
    lines = []
    for line in statement.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def columns(folder: Path) -> dict[str, dict[str, str]]:
    """The meanings in ``columns.toml``: those of every view under ``columns``, those of one view under its name."""
    return tomllib.loads((folder / "columns.toml").read_text("utf-8"))


def meaning_of_column(known: dict[str, dict[str, str]], view: str, column: str) -> str | None:
    """What ``column`` means in ``view``; ``None`` when nobody has said."""
    return known.get(view, {}).get(column, known["columns"].get(column))


def comment(connection: Connection, view: str, statement: str, known: dict[str, dict[str, str]]) -> None:
    """Makes meanings the comments of a view and its columns, where the database has comments (PostgreSQL)."""
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    subjects = {f"VIEW {quote(view)}": meaning_of(statement)}
    for column in sa.inspect(connection).get_columns(view):
        if meaning := meaning_of_column(known, view, column["name"]):
            subjects[f"COLUMN {quote(view)}.{quote(column['name'])}"] = meaning
    for subject, meaning in subjects.items():
        text = sa.literal(re.sub(r"\s+", " ", meaning)).compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        connection.exec_driver_sql(f"COMMENT ON {subject} IS {text}")
