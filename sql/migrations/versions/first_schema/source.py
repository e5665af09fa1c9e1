"""The source side: the reviews, what people say about them, and the checks of a table that a team has already."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse.types import UTCDateTime, review_id_column_type

ID_TYPES = {
    "SMALLINT": "bigint",
    "INTEGER": "bigint",
    "BIGINT": "bigint",
    "TEXT": "text",
    "VARCHAR": "text",
    "UUID": "uuid",
}
"""The value of SENTI_REVIEW_ID_TYPE that fits each column type of PostgreSQL."""
COLUMNS = ("review_id", "review_text", "product", "created_at", "updated_at")


def create_tables(id_type: str, reviews_table: str) -> str:
    """Creates ``reviews`` (a table, or a view over ``reviews_table``), ``review_annotations`` and ``import_sources``.

    Tables of the team that have the first two names already are left as they are.

    Returns ``senti`` if the table ``reviews`` was created here, and ``team`` if the rows belong to the team. Raises
    ``WarehouseError`` if the team's table does not fit.
    """
    made_by = "team"
    if not _is_our_reviews(reviews_table):
        _check(reviews_table, id_type)
        _create_view_over(reviews_table)
    elif _exists("reviews"):
        _check("reviews", id_type)
    else:
        _create_reviews(review_id_column_type(id_type))
        made_by = "senti"
    if not _exists("review_annotations"):
        _create_annotations(review_id_column_type(id_type))
    op.create_table(
        "import_sources",
        sa.Column("source_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("revision", sa.Text()),
    )
    return made_by


def _create_reviews(review_id: Any) -> None:
    op.create_table(
        "reviews",
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("review_text", sa.Text(), nullable=False),
        sa.Column("product", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False, index=True),
        sa.Column("attributes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
    )


def _create_annotations(review_id: Any) -> None:
    op.create_table(
        "review_annotations",
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("annotator", sa.Text(), primary_key=True),
        sa.Column("annotated_at", UTCDateTime(), primary_key=True),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("text_hash", sa.String(32), nullable=False),
    )


def _create_view_over(name: str) -> None:
    if sa.inspect(op.get_bind()).has_table("reviews", schema=_schema()):
        raise WarehouseError(
            f"SENTI_REVIEWS_TABLE is {name!r}, and the view over it would be named reviews, but there is a reviews "
            "already: rename that one, make the warehouse in a schema or database of its own, or set "
            "SENTI_REVIEWS_TABLE to reviews to use it as it is"
        )
    quoted = op.get_bind().dialect.identifier_preparer
    source = ".".join(quoted.quote(part) for part in name.split("."))
    schema, _, table = name.rpartition(".")
    theirs = {one["name"]: one["type"] for one in sa.inspect(op.get_bind()).get_columns(table, schema=schema or None)}
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    # Queries of analysts read attributes; NULL stands for a table without such a column.
    attributes = "CAST(NULL AS JSONB) AS attributes" if is_postgresql else "NULL AS attributes"
    if "attributes" in theirs and (not is_postgresql or isinstance(_base_type(theirs["attributes"]), sa.JSON)):
        attributes = "attributes"
    columns = [*COLUMNS, attributes]
    op.execute(f"CREATE VIEW reviews AS SELECT {', '.join(columns)} FROM {source}")  # noqa: S608 - quoted


def _is_our_reviews(name: str) -> bool:
    """Whether ``name`` means ``reviews`` in the schema of the warehouse."""
    if op.get_bind().dialect.name == "sqlite":
        return name.lower() in ("reviews", "main.reviews")
    return name in ("reviews", f"{_schema()}.reviews")


def _schema() -> str | None:
    """The schema in which PostgreSQL creates a table whose name has no schema; ``None`` on SQLite."""
    connection = op.get_bind()
    return connection.scalar(sa.func.current_schema()) if connection.dialect.name == "postgresql" else None


def _exists(name: str) -> bool:
    """Whether there is a table, a view or a materialized view with this name."""
    return sa.inspect(op.get_bind()).has_table(name)


def _check(name: str, id_type: str) -> None:
    """Raises ``WarehouseError`` unless ``name`` is a table or view with the columns of the source side."""
    schema, _, table = name.rpartition(".")
    try:
        columns = sa.inspect(op.get_bind()).get_columns(table, schema=schema or None)
    except sa.exc.NoSuchTableError:
        raise WarehouseError(
            f"SENTI_REVIEWS_TABLE is {name!r}, and there is no such table or view: create it with the columns "
            f"{', '.join(COLUMNS)}, or leave the setting out to get a table of our own"
        ) from None
    found = {column["name"]: column["type"] for column in columns}
    if missing := [column for column in COLUMNS if column not in found]:
        raise WarehouseError(
            f"{name} lacks the column {', '.join(missing)} (it has {', '.join(sorted(found))}): "
            f"{_advise_view(name, ', '.join(COLUMNS))}"
        )
    _check_key(name, found["review_id"], id_type)
    if op.get_bind().dialect.name == "postgresql":
        for column in ("created_at", "updated_at"):
            _check_time(name, column, found[column])


def _advise_view(name: str, columns: str) -> str:
    last_step = "name that view in SENTI_REVIEWS_TABLE"
    if _is_our_reviews(name):
        last_step = "rename the table, so that the view can be named reviews"
    return f"put a view with {columns} over it, and {last_step}"


def _check_key(name: str, found: Any, id_type: str) -> None:
    fitting = _fitting_id_types(found)
    if id_type in fitting:
        return
    advice = (
        f"set SENTI_REVIEW_ID_TYPE to {' or '.join(fitting)}"
        if fitting
        else "no SENTI_REVIEW_ID_TYPE fits it, so give the column one of the types bigint, text and uuid"
    )
    raise WarehouseError(
        f"{name} has a review_id of the type {_type_name(found)}, and SENTI_REVIEW_ID_TYPE is {id_type}: {advice} "
        "(a cast in a view would keep its index from being used)"
    )


def _fitting_id_types(found: Any) -> tuple[str, ...]:
    if op.get_bind().dialect.name == "sqlite":
        # SQLite stores any value in any column, and a column of a view may have no declared type.
        if isinstance(found, sa.Integer):
            return ("bigint",)
        return ("text", "uuid") if isinstance(found, sa.String) else ("bigint", "text", "uuid")
    fitting = ID_TYPES.get(_base_type(found).__visit_name__.upper())
    return (fitting,) if fitting else ()


def _check_time(name: str, column: str, found: Any) -> None:
    base = _base_type(found)
    if isinstance(base, sa.DateTime) and base.timezone:
        return
    zoned = f"{column} as TIMESTAMP WITH TIME ZONE"
    if isinstance(base, sa.DateTime):
        zoned = f"{column} AT TIME ZONE 'Asia/Shanghai' AS {column} (the zone in which its times were written)"
    raise WarehouseError(
        f"{name} has a {column} of the type {_type_name(found)}, expected TIMESTAMP WITH TIME ZONE, since without a "
        f"zone it is another time in each session: {_advise_view(name, zoned)}"
    )


def _base_type(found: Any) -> Any:
    """The type that a domain of PostgreSQL is based on; any other type as it is."""
    while isinstance(found, postgresql.DOMAIN):
        found = found.data_type
    return found


def _type_name(found: Any) -> str:
    base = _base_type(found)
    return "unknown" if isinstance(base, sa.types.NullType) else base.compile(dialect=op.get_bind().dialect)
