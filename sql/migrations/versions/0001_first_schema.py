"""The first schema: the source side, the registry, scoring runs and the published labels."""

from datetime import date, timedelta
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
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2059, 12, 31)
SOURCE_COLUMNS = ("review_id", "review_text", "product", "created_at", "updated_at")


def upgrade() -> None:
    attributes = context.config.attributes
    review_id = review_id_column_type(attributes["review_id_type"])
    reviews_made_by = _source_tables(attributes["review_id_type"], attributes["reviews_table"])
    _settings(attributes, reviews_made_by)
    _calendar()
    _corpora(review_id)
    _models()
    _judgements()
    _runs(review_id)
    _labels(review_id)


def _settings(attributes: Any, reviews_made_by: str) -> None:
    settings = op.create_table(
        "warehouse_settings",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    fixed = {name: attributes[name] for name in ("review_id_type", "reviews_table", "labels")}
    values = {**fixed, "reviews_made_by": reviews_made_by}
    op.bulk_insert(settings, [{"name": name, "value": value} for name, value in values.items()])
    lock = op.create_table(
        "publication_lock",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("publish_seq", Counter, nullable=False),
        sa.Column("frozen_at", UTCDateTime()),
        sa.Column("frozen_by", sa.Text()),
        sa.Column("frozen_reason", sa.Text()),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    op.bulk_insert(lock, [{"id": 1, "publish_seq": 0}])


def _calendar() -> None:
    days = op.create_table(
        "calendar_days",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("day_number", sa.Integer(), nullable=False),
        sa.Column("week_start", sa.Date(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
    )
    op.bulk_insert(days, [_day(number) for number in range((LAST_DAY - FIRST_DAY).days + 1)])


def _day(number: int) -> dict[str, object]:
    day = FIRST_DAY + timedelta(days=number)
    return {
        "day": day,
        "day_number": (day - date(1970, 1, 1)).days,
        "week_start": day - timedelta(days=day.weekday()),
        "month": f"{day:%Y-%m}",
    }


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
        sa.Column("source_id", Counter, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("revision", sa.Text()),
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
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("annotator", sa.Text(), primary_key=True),
        sa.Column("annotated_at", UTCDateTime(), primary_key=True),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("text_hash", sa.String(32), nullable=False),
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
        f"it is another time in each session: {_put_a_view(name, zoned)}"
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
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("review_text", sa.Text(), nullable=False),
        sa.Column("product", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False, index=True),
    )


def _artifact() -> list[sa.Column[Any]]:
    """Where a finished artifact lies, and its digest."""
    return [sa.Column("artifact", sa.Text(), nullable=False), sa.Column("digest", sa.String(64), nullable=False)]


def _training() -> list[sa.Column[Any]]:
    """What is recorded of every training."""
    return [
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_revision", sa.Text()),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("normaliser_version", sa.SmallInteger(), nullable=False),
        *_artifact(),
        sa.Column("training", sa.JSON(), nullable=False),
    ]


def _corpora(review_id: Any) -> None:
    op.create_table(
        "text_splits",
        sa.Column("content_hash", sa.String(64), primary_key=True),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("first_seen", UTCDateTime(), nullable=False),
        sa.Column("shingles", sa.LargeBinary(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False, server_default="0"),
        sa.CheckConstraint("split IN ('train', 'validation', 'test', 'set_aside')", name="split"),
    )
    op.create_table(
        "corpora",
        sa.Column("corpus", sa.Text(), primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        sa.Column("due", UTCDateTime(), nullable=False),
        *_artifact(),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "text_snapshots",
        sa.Column("idempotency_key", sa.Text(), primary_key=True),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        *_artifact(),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "annotation_suspects",
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("suggested_label", sa.SmallInteger(), nullable=False),
        sa.Column("label_probability", sa.Double(), nullable=False),
        sa.Column("suggested_probability", sa.Double(), nullable=False),
    )


def _models() -> None:
    op.create_table(
        "encoders",
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        *_training(),
        sa.Column("trained_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), nullable=False),
        *_training(),
        sa.Column("verdict", sa.Text()),
        sa.Column("trained_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("verdict IN ('promote', 'refuse')", name="verdict"),
    )
    op.create_table(
        "model_labels",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("label", sa.SmallInteger(), primary_key=True),
        sa.Column("label_name", sa.Text(), nullable=False),
    )
    op.create_table(
        "model_variants",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("variant", sa.Text(), primary_key=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text()),
        sa.Column("digest", sa.String(64)),
        sa.Column("library", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Double()),
        sa.Column("reviews_compared", Counter),
        sa.Column("reviews_per_second", sa.Double()),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("serves", sa.Boolean(), nullable=False),
        sa.CheckConstraint("verdict IN ('proven', 'refused')", name="verdict"),
        sa.CheckConstraint("(verdict = 'proven') = (digest IS NOT NULL)", name="kept"),
        sa.CheckConstraint("verdict = 'proven' OR NOT serves", name="serves"),
    )


def _judgements() -> None:
    op.create_table(
        "model_metrics",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("split", sa.Text(), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("value", sa.Double(), nullable=False),
    )
    op.create_table(
        "gate_results",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("position", sa.SmallInteger(), primary_key=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("reference_version", sa.Text(), sa.ForeignKey("models.version")),
        sa.Column("slice", sa.Text()),
        sa.Column("rows", Counter),
        sa.Column("figure", sa.Double()),
        sa.Column("bound", sa.Double()),
        sa.Column("threshold", sa.Double()),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "promotions",
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("previous_seq", sa.Integer(), nullable=False, unique=True),
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("compared_with", sa.Text(), sa.ForeignKey("models.version")),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("serving_since", UTCDateTime()),
        sa.Column("anchors", sa.Boolean(), nullable=False),
        sa.CheckConstraint("seq = previous_seq + 1", name="chain"),
        sa.CheckConstraint("kind IN ('gate', 'person', 'overruling', 'rollback')", name="kind"),
    )
    op.create_table(
        "champion_checks",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), primary_key=True),
        sa.Column("rows", Counter, nullable=False),
        sa.Column("accuracy", sa.Double()),
        sa.Column("macro_f1", sa.Double()),
        sa.Column("lower_bound", sa.Double()),
        sa.Column("upper_bound", sa.Double()),
        sa.Column("accuracy_at_promotion", sa.Double()),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checked_at", UTCDateTime(), nullable=False),
    )


def _runs(review_id: Any) -> None:
    op.create_table(
        "scoring_runs",
        sa.Column("run_id", Counter, primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("published_at", UTCDateTime()),
        sa.Column("publish_seq", Counter, unique=True),
        *(sa.Column(name, Counter) for name in ("planned", "labelled", "failed", "superseded", "truncated")),
        sa.Column("after_id", review_id),
        sa.Column("through_id", review_id),
        sa.Column("late", Counter),
        sa.Column("seconds", sa.Double()),
        *(sa.Column(name, sa.Text()) for name in ("overruled", "overruled_by", "overruled_reason")),
        sa.CheckConstraint("scope IN ('new', 'all', 'rescore', 'reconcile')", name="scope"),
        sa.CheckConstraint("state IN ('open', 'planned', 'audited', 'published', 'abandoned')", name="state"),
        sa.CheckConstraint("(state = 'published') = (publish_seq IS NOT NULL)", name="published"),
    )
    op.create_table(
        "scoring_watermarks",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("watermark", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "run_summaries",
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id"), primary_key=True),
        sa.Column("label", sa.SmallInteger(), primary_key=True),
        sa.Column("labels", Counter, nullable=False),
        sa.Column("confidence_sum", sa.Double(), nullable=False),
        sa.Column("confidence_squares", sa.Double(), nullable=False),
    )
    op.create_table(
        "run_items",
        sa.Column("run_id", Counter, primary_key=True),
        sa.Column("shard", sa.SmallInteger(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_table(
        "run_shards",
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id"), primary_key=True),
        sa.Column("shard", sa.SmallInteger(), primary_key=True),
        sa.Column("planned", Counter, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("accepted_attempt", sa.Integer()),
        sa.Column("cursor", review_id),
        sa.CheckConstraint("accepted_attempt <= attempt", name="accepted"),
    )
    op.create_table(
        "staged_labels",
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("text_hash", sa.String(32), nullable=False),
        sa.Column("label", sa.SmallInteger()),
        sa.Column("score", sa.Double()),
        sa.Column("confidence", sa.Double()),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.CheckConstraint("(label IS NULL) = (reason IS NOT NULL)", name="answer"),
        postgresql_partition_by="LIST (run_id)",
    )


def _label() -> list[sa.Column[Any]]:
    """What is kept of every label."""
    return [
        sa.Column("text_hash", sa.String(32), nullable=False),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
    ]


def _labels(review_id: Any) -> None:
    op.create_table(
        "review_labels",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        *_label(),
        sa.Column("publish_seq", Counter, nullable=False),
        postgresql_partition_by="LIST (model_version)",
    )
    op.create_index("ix_review_labels_text_hash", "review_labels", ["model_version", "text_hash"])
    op.create_table(
        "review_label_history",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        *_label(),
        sa.Column("publish_seq", Counter, primary_key=True),
        sa.Column("replaced_by", Counter, nullable=False),
    )
    op.create_table(
        "label_rollups",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("local_day", sa.Date(), primary_key=True),
        sa.Column("label", sa.SmallInteger(), primary_key=True),
        sa.Column("reviews", Counter, nullable=False),
        sa.Column("score_sum", sa.Double(), nullable=False),
        sa.Column("confidence_sum", sa.Double(), nullable=False),
    )
    op.create_table(
        "scoring_errors",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("review_updated_at", UTCDateTime(), primary_key=True),
        sa.Column("text_hash", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("failed_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "erased_reviews",
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("erased_at", UTCDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
