"""The tables, as the newest migration leaves them (a test compares the two). The schema states the rules.

``reviews`` and ``review_annotations`` are the source side: the pipeline only reads them, and nothing refers to them by
a foreign key, since ``reviews`` may be a view over the team's own table.
"""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table

from senti_tasks.warehouse.types import ReviewId, ReviewText, UTCDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

Digest = sa.String(32)
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# --- the source side ---------------------------------------------------------------------------------------------

reviews = Table(
    "reviews",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("review_text", ReviewText, nullable=False),
    Column("product", sa.Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False, index=True),  # changes when the text changes
)

review_annotations = Table(
    "review_annotations",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("annotator", sa.Text, primary_key=True),
    Column("annotated_at", UTCDateTime, primary_key=True),
    Column("label", sa.SmallInteger, nullable=False),
    Column("text_digest", Digest, nullable=False),  # of the text that was judged
)

import_sources = Table(
    "import_sources",
    metadata,
    Column("source_id", Counter, primary_key=True),
    Column("name", sa.Text, nullable=False, unique=True),
    Column("revision", sa.Text),  # of a data set on the hub: the commit its rows were read at
)

# --- what the warehouse knows about itself ------------------------------------------------------------------------

warehouse_settings = Table(
    "warehouse_settings",
    metadata,
    Column("name", sa.Text, primary_key=True),
    Column("value", sa.Text, nullable=False),
)

publish_clock = Table(  # one row; updating it is the lock that makes publications follow one another
    "publish_clock",
    metadata,
    Column("id", sa.SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("publish_seq", Counter, nullable=False),
    Column("frozen_at", UTCDateTime),  # empty: publishing goes on
    Column("frozen_by", sa.Text),
    Column("frozen_reason", sa.Text),
)

# --- learning ----------------------------------------------------------------------------------------------------

text_splits = Table(  # append-only: a text's split is decided once and never moves
    "text_splits",
    metadata,
    Column("split_key", sa.String(64), primary_key=True),
    Column("split", sa.Text, nullable=False),  # set_aside: it resembles texts of several splits
    Column("first_seen", UTCDateTime, nullable=False),
    Column("shingles", sa.LargeBinary),  # what near-duplicates are recognised by, also when the review is gone
    Column("judgements", sa.Integer, nullable=False, server_default="0"),  # of models that its label has judged
    CheckConstraint("split IN ('train', 'validation', 'test', 'set_aside')", name="split"),
)

corpora = Table(
    "corpora",
    metadata,
    Column("corpus", sa.Text, primary_key=True),
    Column("origin", sa.Text, nullable=False, unique=True),  # a retried task finds what it froze
    Column("due", UTCDateTime, nullable=False),
    Column("artifact", sa.Text, nullable=False),
    Column("digest", sa.String(64), nullable=False),
    Column("summary", sa.JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("version", sa.Text, primary_key=True),
    Column("origin", sa.Text, nullable=False, unique=True),
    Column("corpus", sa.Text, ForeignKey("corpora.corpus"), nullable=False),
    Column("base_model", sa.Text, nullable=False),
    Column("base_revision", sa.Text),
    Column("config", sa.JSON, nullable=False),
    Column("code_version", sa.Text, nullable=False),
    Column("normaliser_version", sa.SmallInteger, nullable=False),
    Column("artifact", sa.Text, nullable=False),
    Column("digest", sa.String(64), nullable=False),
    Column("training", sa.JSON, nullable=False),  # seconds, steps, loss history
    Column("verdict", sa.Text, CheckConstraint("verdict IN ('promote', 'refuse')", name="verdict")),
    Column("trained_at", UTCDateTime, nullable=False),
)

encoders = Table(  # pretrained on the unlabelled reviews: what a training can start from
    "encoders",
    metadata,
    Column("version", sa.Text, primary_key=True),
    Column("origin", sa.Text, nullable=False, unique=True),
    Column("base_model", sa.Text, nullable=False),
    Column("base_revision", sa.Text),
    Column("config", sa.JSON, nullable=False),
    Column("code_version", sa.Text, nullable=False),
    Column("normaliser_version", sa.SmallInteger, nullable=False),
    Column("artifact", sa.Text, nullable=False),
    Column("digest", sa.String(64), nullable=False),
    Column("training", sa.JSON, nullable=False),  # texts, left out, steps, loss history
    Column("trained_at", UTCDateTime, nullable=False),
)

frozen_texts = Table(  # what an encoder is pretrained on; erased reviews are taken out of it
    "frozen_texts",
    metadata,
    Column("origin", sa.Text, primary_key=True),  # a retried task finds what it froze
    Column("texts", sa.Text, nullable=False),  # the artifact as it was frozen: what encoders name
    Column("due", UTCDateTime, nullable=False),
    Column("base_model", sa.Text, nullable=False),
    Column("artifact", sa.Text, nullable=False),  # what is left of it
    Column("digest", sa.String(64), nullable=False),
    Column("counts", sa.JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

annotation_suspects = Table(  # labels by people that the other reviews of the corpus speak against
    "annotation_suspects",
    metadata,
    Column("corpus", sa.Text, ForeignKey("corpora.corpus"), primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    Column("label", sa.SmallInteger, nullable=False),
    Column("suggested_label", sa.SmallInteger, nullable=False),
    Column("label_probability", sa.Double, nullable=False),  # out of fold
    Column("suggested_probability", sa.Double, nullable=False),
)

model_labels = Table(
    "model_labels",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("label", sa.SmallInteger, primary_key=True),
    Column("label_name", sa.Text, nullable=False),
)

model_forms = Table(  # what can serve: fp32, bf16, int8, each a folder of its own; and what was refused, and why
    "model_forms",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("form", sa.Text, primary_key=True),
    Column("verdict", sa.Text, CheckConstraint("verdict IN ('proven', 'refused')", name="verdict"), nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("artifact", sa.Text),
    Column("digest", sa.String(64)),
    Column("library", sa.Text, nullable=False),
    Column("agreement", sa.Double),  # share of labels equal to fp32's
    Column("reviews_compared", Counter),
    Column("reviews_per_second", sa.Double),  # in that comparison, on the machine that made it
    Column("temperature", sa.Double, nullable=False),
    Column("serves", sa.Boolean, nullable=False),
    CheckConstraint("(verdict = 'proven') = (digest IS NOT NULL)", name="kept"),
    CheckConstraint("verdict = 'proven' OR NOT serves", name="serves"),
)

model_metrics = Table(
    "model_metrics",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),  # the candidate being judged
    Column("subject", sa.Text, primary_key=True),  # candidate, champion or baseline; or a form of the candidate
    Column("split", sa.Text, primary_key=True),
    Column("metric", sa.Text, primary_key=True),
    Column("value", sa.Double, nullable=False),
)

gate_results = Table(
    "gate_results",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("position", sa.SmallInteger, primary_key=True),
    Column("rule", sa.Text, nullable=False),
    Column("reference", sa.Text),
    Column("reference_version", sa.Text, ForeignKey("models.version")),  # which model the champion was then
    Column("slice", sa.Text),  # empty: all test rows
    Column("rows", Counter),
    Column("figure", sa.Double),
    Column("bound", sa.Double),  # one-sided confidence bound of the figure, where the rule looks at one
    Column("threshold", sa.Double),
    Column("passed", sa.Boolean, nullable=False),
    Column("reason", sa.Text, nullable=False),
)

promotions = Table(  # append-only, but for serving_since, which is set once
    "promotions",
    metadata,
    Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    Column("previous_seq", sa.Integer, nullable=False, unique=True),  # two promotions at once cannot both win
    Column("model_version", sa.Text, ForeignKey("models.version"), nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("compared_with", sa.Text, ForeignKey("models.version")),  # the champion it was judged against
    Column("actor", sa.Text, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("serving_since", UTCDateTime),  # empty: waiting until every review has its label
    Column("anchors", sa.Boolean, nullable=False),  # better beyond doubt, or a person's: later candidates meet it too
    CheckConstraint("seq = previous_seq + 1", name="chain"),
    CheckConstraint("kind IN ('gate', 'person', 'overruling', 'rollback')", name="kind"),
)

champion_checks = Table(  # the champion on labels that arrived since its corpus: rows that judged nothing before
    "champion_checks",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("corpus", sa.Text, ForeignKey("corpora.corpus"), primary_key=True),  # that holds these labels
    Column("rows", Counter, nullable=False),
    Column("accuracy", sa.Double),
    Column("macro_f1", sa.Double),
    Column("lower_bound", sa.Double),  # of the accuracy
    Column("upper_bound", sa.Double),
    Column("promised", sa.Double),  # the accuracy that it was promoted with
    Column("alarm", sa.Boolean, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("checked_at", UTCDateTime, nullable=False),
)

# --- scoring -----------------------------------------------------------------------------------------------------

scoring_runs = Table(
    "scoring_runs",
    metadata,
    Column("run_id", Counter, primary_key=True),
    Column("origin", sa.Text, nullable=False, unique=True),  # makes opening a run idempotent
    Column("scope", sa.Text, nullable=False),
    Column("model_version", sa.Text, ForeignKey("models.version"), nullable=False),
    Column("form", sa.Text, nullable=False),
    Column("due", UTCDateTime, nullable=False),
    Column("state", sa.Text, nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("published_at", UTCDateTime),
    Column("publish_seq", Counter, unique=True),
    Column("planned", Counter),
    Column("labelled", Counter),
    Column("failed", Counter),
    Column("superseded", Counter),
    Column("truncated", Counter),
    Column("after_id", ReviewId),  # of a run over a range of keys: those above this one
    Column("through_id", ReviewId),  # ... up to this one
    Column("late", Counter),  # of a reconciliation: planned reviews that the nights had no chance to see
    Column("seconds", sa.Double),  # from opening to publication
    Column("overruled", sa.Text),  # the checks that a person overruled, what they found, and why and by whom
    Column("overruled_by", sa.Text),
    Column("overruled_reason", sa.Text),
    CheckConstraint("scope IN ('new', 'all', 'rescore', 'reconcile')", name="scope"),
    CheckConstraint("state IN ('open', 'planned', 'audited', 'published', 'abandoned')", name="state"),
    CheckConstraint("(state = 'published') = (publish_seq IS NOT NULL)", name="published"),
)

scoring_watermarks = Table(  # everything changed up to here was planned and published for the model
    "scoring_watermarks",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("through", UTCDateTime, nullable=False),
)

run_summaries = Table(  # what a published run said, for the nights after it to be compared with
    "run_summaries",
    metadata,
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id"), primary_key=True),
    Column("label", sa.SmallInteger, primary_key=True),
    Column("labels", Counter, nullable=False),
    Column("confidence_sum", sa.Double, nullable=False),
    Column("confidence_squares", sa.Double, nullable=False),
)

run_items = Table(  # the frozen plan: which version of which review, in which shard (contiguous in review_id)
    "run_items",
    metadata,
    Column("run_id", Counter, primary_key=True),
    Column("shard", sa.SmallInteger, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    Column("review_updated_at", UTCDateTime, nullable=False),
    postgresql_partition_by="LIST (run_id)",
)

run_shards = Table(
    "run_shards",
    metadata,
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id"), primary_key=True),
    Column("shard", sa.SmallInteger, primary_key=True),
    Column("planned", Counter, nullable=False),
    Column("attempt", sa.Integer, nullable=False, server_default="0"),  # the fencing token: claiming raises it
    Column("accepted_attempt", sa.Integer),  # set once, when every page is staged
    Column("staged_through", ReviewId),  # the last review_id answered: where the next attempt goes on
    CheckConstraint("accepted_attempt <= attempt", name="accepted"),
)

staged_labels = Table(  # append-only and without an index, so that it takes rows as fast as the database can
    "staged_labels",
    metadata,
    Column("run_id", Counter, nullable=False),
    Column("shard", sa.SmallInteger, nullable=False),
    Column("attempt", sa.Integer, nullable=False),
    Column("review_id", ReviewId, nullable=False),
    Column("text_digest", Digest, nullable=False),
    Column("label", sa.SmallInteger),
    Column("score", sa.Double),
    Column("confidence", sa.Double),
    Column("truncated", sa.Boolean, nullable=False),
    Column("local_day", sa.Date, nullable=False),
    Column("scored_at", UTCDateTime, nullable=False),
    Column("reason", sa.Text),  # why it could not be scored
    CheckConstraint("(label IS NULL) = (reason IS NOT NULL)", name="answer"),
    postgresql_partition_by="LIST (run_id)",
)


def _label_columns() -> list[Column[object]]:
    return [
        Column("text_digest", Digest, nullable=False),
        Column("review_updated_at", UTCDateTime, nullable=False),  # the version of the text that was read
        Column("label", sa.SmallInteger, nullable=False),
        Column("score", sa.Double, nullable=False),
        Column("confidence", sa.Double, nullable=False),
        Column("truncated", sa.Boolean, nullable=False),
        Column("form", sa.Text, nullable=False),
        Column("run_id", Counter, nullable=False),
        Column("scored_at", UTCDateTime, nullable=False),
        Column("local_day", sa.Date, nullable=False),  # the day the review was written, in SENTI_TIMEZONE
    ]


review_labels = Table(
    "review_labels",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    *_label_columns(),
    Column("publish_seq", Counter, nullable=False),
    Index("ix_review_labels_text_digest", "model_version", "text_digest"),
    postgresql_partition_by="LIST (model_version)",
)

review_label_history = Table(  # labels of texts that were edited since
    "review_label_history",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    *_label_columns(),
    Column("publish_seq", Counter, primary_key=True),
    Column("replaced_by", Counter, nullable=False),  # the publish_seq that replaced it
)

scoring_errors = Table(
    "scoring_errors",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    Column("review_updated_at", UTCDateTime, primary_key=True),
    Column("text_digest", Digest, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("run_id", Counter, nullable=False),
    Column("at", UTCDateTime, nullable=False),
)

calendar_days = Table(  # what databases spell differently: the week and the month of a day, and days between two
    "calendar_days",
    metadata,
    Column("day", sa.Date, primary_key=True),
    Column("day_number", sa.Integer, nullable=False),  # days since 1970-01-01
    Column("week_start", sa.Date, nullable=False),  # a Monday
    Column("month", sa.Text, nullable=False),  # 2026-11
)

label_rollups = Table(  # sums over review_labels, kept with every publication, so that a month is thirty rows
    "label_rollups",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("local_day", sa.Date, primary_key=True),
    Column("label", sa.SmallInteger, primary_key=True),
    Column("reviews", Counter, nullable=False),
    Column("score_sum", sa.Double, nullable=False),
    Column("confidence_sum", sa.Double, nullable=False),
)

forgotten_reviews = Table(  # erased on request: never labelled, published or imported again
    "forgotten_reviews",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("actor", sa.Text, nullable=False),
    Column("reason", sa.Text, nullable=False),
)
