"""The first schema: the source side, the registry, scoring runs and the published labels."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import DOMAIN

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse.types import UTCDateTime, review_id_column_type

revision = "0001"
down_revision = None

Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID_TYPES = {  # of PostgreSQL, to SENTI_REVIEW_ID_TYPE
    "SMALLINT": "bigint",
    "INTEGER": "bigint",
    "BIGINT": "bigint",
    "TEXT": "text",
    "VARCHAR": "text",
    "UUID": "uuid",
}
SOURCE_COLUMNS = ("review_id", "review_text", "product", "created_at", "updated_at")


def upgrade() -> None:
    attributes = context.config.attributes
    id_type: str = attributes["review_id_type"]
    review_id = review_id_column_type(id_type)
    made_by = _source_tables(id_type, attributes["reviews_table"])
    _own_tables(id_type, attributes["reviews_table"], made_by)
    _learning_tables()
    _scoring_tables(review_id)


def _own_tables(id_type: str, reviews_table: str, made_by: str) -> None:
    op.create_table(
        "warehouse_settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_warehouse_settings")),
    )
    op.create_table(
        "publish_clock",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("publish_seq", Counter, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publish_clock")),
        sa.CheckConstraint("id = 1", name=op.f("ck_publish_clock_one_row")),
    )
    settings = sa.table("warehouse_settings", sa.column("name"), sa.column("value"))
    op.bulk_insert(
        settings,
        [
            {"name": "review_id_type", "value": id_type},
            {"name": "reviews_table", "value": reviews_table},
            {"name": "reviews_made_by", "value": made_by},
        ],
    )
    op.bulk_insert(sa.table("publish_clock", sa.column("id"), sa.column("publish_seq")), [{"id": 1, "publish_seq": 0}])


def _source_tables(id_type: str, reviews_table: str) -> str:
    """Returns whose rows ``reviews`` holds: ``senti`` where the table is made here, ``team`` where it was there."""
    made_by = "team"
    if _is_where_ours_would_stand(reviews_table):
        if "reviews" in _relations():
            _check_source("reviews", id_type)  # the team's own, with the columns agreed: left as it is
        else:
            _create_reviews(review_id_column_type(id_type))
            made_by = "senti"
    else:
        _check_source(reviews_table, id_type)
        _create_view_over(reviews_table)
    if "review_annotations" not in _relations():
        _create_annotations(review_id_column_type(id_type))
    op.create_table(
        "import_sources",
        sa.Column("source_id", Counter, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_import_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_import_sources_name")),
    )
    return made_by


def _is_where_ours_would_stand(name: str) -> bool:
    """Whether ``name`` spells ``reviews`` of the schema in which the warehouse is made."""
    if op.get_bind().dialect.name == "sqlite":
        return name.lower() in ("reviews", "main.reviews")
    return name in ("reviews", f"{_schema()}.reviews")


def _schema() -> str | None:
    """The schema in which a table is made that is named without one."""
    connection = op.get_bind()
    return connection.scalar(sa.func.current_schema()) if connection.dialect.name == "postgresql" else None


def _create_view_over(name: str) -> None:
    if sa.inspect(op.get_bind()).has_table("reviews", schema=_schema()):
        raise WarehouseError(
            f"SENTI_REVIEWS_TABLE is {name!r}, and the view over it would be named reviews, but there is a reviews "
            "already: rename that one, make the warehouse in a schema or database of its own, or set "
            "SENTI_REVIEWS_TABLE to reviews to use it as it is"
        )
    quoted = op.get_bind().dialect.identifier_preparer
    source = ".".join(quoted.quote(part) for part in name.split("."))
    op.execute(f"CREATE VIEW reviews AS SELECT {', '.join(SOURCE_COLUMNS)} FROM {source}")  # noqa: S608 - quoted


def _create_annotations(review_id: Any) -> None:
    op.create_table(
        "review_annotations",
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("annotated_at", UTCDateTime(), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("review_id", "annotator", "annotated_at", name=op.f("pk_review_annotations")),
    )


def _relations() -> set[str]:
    inspector = sa.inspect(op.get_bind())
    return {name for name in ("reviews", "review_annotations") if inspector.has_table(name)}  # or any kind of view


def _check_source(name: str, id_type: str) -> None:
    """Raises ``WarehouseError`` unless ``name`` is a table or view with the columns of the source side."""
    schema, _, table = name.rpartition(".")
    try:
        columns = sa.inspect(op.get_bind()).get_columns(table, schema=schema or None)
    except sa.exc.NoSuchTableError:
        raise WarehouseError(
            f"SENTI_REVIEWS_TABLE is {name!r}, and there is no such table or view: create it with the columns "
            f"{', '.join(SOURCE_COLUMNS)}, or leave the setting out to get a table of our own"
        ) from None
    found = {column["name"]: column["type"] for column in columns}
    if missing := [column for column in SOURCE_COLUMNS if column not in found]:
        raise WarehouseError(
            f"{name} lacks the column {', '.join(missing)} (it has {', '.join(sorted(found))}): "
            f"{_put_a_view(name, ', '.join(SOURCE_COLUMNS))}"
        )
    _check_key(name, found["review_id"], id_type)
    if op.get_bind().dialect.name == "postgresql":
        for column in ("created_at", "updated_at"):
            _check_time(name, column, found[column])


def _put_a_view(name: str, columns: str) -> str:
    named = "name that view in SENTI_REVIEWS_TABLE"
    if _is_where_ours_would_stand(name):
        named = "rename the table, so that the view can be named reviews"
    return f"put a view with {columns} over it, and {named}"


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
        f"{name} has a review_id of the type {_spelled(found)}, and SENTI_REVIEW_ID_TYPE is {id_type}: {advice} "
        "(a cast in a view would keep its index from being used)"
    )


def _fitting_id_types(found: Any) -> tuple[str, ...]:
    if op.get_bind().dialect.name == "sqlite":  # any column holds anything there, and a view's may declare nothing
        if isinstance(found, sa.Integer):
            return ("bigint",)
        return ("text", "uuid") if isinstance(found, sa.String) else ("bigint", "text", "uuid")
    fitting = ID_TYPES.get(_base(found).__visit_name__.upper())
    return (fitting,) if fitting else ()


def _check_time(name: str, column: str, found: Any) -> None:
    kind = _base(found)
    if isinstance(kind, sa.DateTime) and kind.timezone:
        return
    zoned = f"{column} as TIMESTAMP WITH TIME ZONE"
    if isinstance(kind, sa.DateTime):
        zoned = f"{column} AT TIME ZONE 'Asia/Shanghai' AS {column} (the zone in which its times were written)"
    raise WarehouseError(
        f"{name} has a {column} of the type {_spelled(found)}, expected TIMESTAMP WITH TIME ZONE, since without a zone "
        f"it is another instant in each session: {_put_a_view(name, zoned)}"
    )


def _base(found: Any) -> Any:
    """What is under a domain of PostgreSQL."""
    while isinstance(found, DOMAIN):
        found = found.data_type
    return found


def _spelled(found: Any) -> str:
    kind = _base(found)
    return "unknown" if isinstance(kind, sa.types.NullType) else kind.compile(dialect=op.get_bind().dialect)


def _create_reviews(review_id: Any) -> None:
    op.create_table(
        "reviews",
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("review_text", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_updated_at"), "reviews", ["updated_at"], unique=False)


def _learning_tables() -> None:
    op.create_table(
        "text_splits",
        sa.Column("split_key", sa.String(length=64), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("first_seen", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("split_key", name=op.f("pk_text_splits")),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_text_splits_split")),
    )
    op.create_table(
        "corpora",
        sa.Column("corpus", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("corpus", name=op.f("pk_corpora")),
        sa.UniqueConstraint("origin", name=op.f("uq_corpora_origin")),
    )
    op.create_table(
        "models",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("corpus", sa.Text(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_revision", sa.Text(), nullable=True),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("normaliser_version", sa.SmallInteger(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("training", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("trained_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["corpus"], ["corpora.corpus"], name=op.f("fk_models_corpus")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_models")),
        sa.UniqueConstraint("origin", name=op.f("uq_models_origin")),
        sa.CheckConstraint("verdict IN ('promote', 'refuse')", name=op.f("ck_models_verdict")),
    )
    op.create_table(
        "model_labels",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("label_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_model_labels_model_version")),
        sa.PrimaryKeyConstraint("model_version", "label", name=op.f("pk_model_labels")),
    )
    op.create_table(
        "model_forms",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("library", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Double(), nullable=False),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("serves", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_model_forms_model_version")),
        sa.PrimaryKeyConstraint("model_version", "form", name=op.f("pk_model_forms")),
    )
    op.create_table(
        "model_metrics",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_model_metrics_model_version")),
        sa.PrimaryKeyConstraint("model_version", "subject", "split", "metric", name=op.f("pk_model_metrics")),
    )
    op.create_table(
        "gate_results",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("reference_version", sa.Text(), nullable=True),
        sa.Column("figure", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_gate_results_model_version")),
        sa.ForeignKeyConstraint(
            ["reference_version"], ["models.version"], name=op.f("fk_gate_results_reference_version")
        ),
        sa.PrimaryKeyConstraint("model_version", "position", name=op.f("pk_gate_results")),
    )
    op.create_table(
        "promotions",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("previous_seq", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("compared_with", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("serving_since", UTCDateTime(), nullable=True),
        sa.CheckConstraint("kind IN ('gate', 'person', 'overruling', 'rollback')", name=op.f("ck_promotions_kind")),
        sa.CheckConstraint("seq = previous_seq + 1", name=op.f("ck_promotions_chain")),
        sa.ForeignKeyConstraint(["compared_with"], ["models.version"], name=op.f("fk_promotions_compared_with")),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_promotions_model_version")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_promotions")),
        sa.UniqueConstraint("previous_seq", name=op.f("uq_promotions_previous_seq")),
    )


def _scoring_tables(review_id: Any) -> None:
    op.create_table(
        "scoring_runs",
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("published_at", UTCDateTime(), nullable=True),
        sa.Column("publish_seq", Counter, nullable=True),
        sa.Column("planned", Counter, nullable=True),
        sa.Column("labelled", Counter, nullable=True),
        sa.Column("failed", Counter, nullable=True),
        sa.Column("superseded", Counter, nullable=True),
        sa.Column("truncated", Counter, nullable=True),
        sa.CheckConstraint("(state = 'published') = (publish_seq IS NOT NULL)", name=op.f("ck_scoring_runs_published")),
        sa.CheckConstraint("scope IN ('new', 'all', 'rescore')", name=op.f("ck_scoring_runs_scope")),
        sa.CheckConstraint(
            "state IN ('open', 'planned', 'audited', 'published', 'abandoned')", name=op.f("ck_scoring_runs_state")
        ),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_scoring_runs_model_version")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_scoring_runs")),
        sa.UniqueConstraint("origin", name=op.f("uq_scoring_runs_origin")),
        sa.UniqueConstraint("publish_seq", name=op.f("uq_scoring_runs_publish_seq")),
    )
    op.create_table(
        "run_items",
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "shard", "review_id", name=op.f("pk_run_items")),
    )
    op.create_table(
        "run_shards",
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("planned", Counter, nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("accepted_attempt", sa.Integer(), nullable=True),
        sa.Column("staged_through", review_id, nullable=True),
        sa.CheckConstraint("accepted_attempt <= attempt", name=op.f("ck_run_shards_accepted")),
        sa.ForeignKeyConstraint(["run_id"], ["scoring_runs.run_id"], name=op.f("fk_run_shards_run_id")),
        sa.PrimaryKeyConstraint("run_id", "shard", name=op.f("pk_run_shards")),
    )
    op.create_table(
        "staged_labels",
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(label IS NULL) = (reason IS NOT NULL)", name=op.f("ck_staged_labels_answer")),
    )
    op.create_table(
        "review_labels",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("publish_seq", Counter, nullable=False),
        sa.PrimaryKeyConstraint("model_version", "review_id", name=op.f("pk_review_labels")),
        postgresql_partition_by="LIST (model_version)",
    )
    op.create_index("ix_review_labels_text_digest", "review_labels", ["model_version", "text_digest"], unique=False)
    op.create_table(
        "review_label_history",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("publish_seq", Counter, nullable=False),
        sa.Column("replaced_by", Counter, nullable=False),
        sa.PrimaryKeyConstraint("model_version", "review_id", "publish_seq", name=op.f("pk_review_label_history")),
    )
    op.create_table(
        "scoring_errors",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("model_version", "review_id", "review_updated_at", name=op.f("pk_scoring_errors")),
    )
