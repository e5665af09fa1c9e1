"""Corpora, models, their judgement and their promotions."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Table

from senti_tasks.warehouse.schema.metadata import Counter, metadata
from senti_tasks.warehouse.types import ReviewId, UTCDateTime


def _training_columns() -> list[Column[object]]:
    return [
        Column("base_model", sa.Text, nullable=False),
        Column("base_revision", sa.Text),
        Column("config", sa.JSON, nullable=False),
        Column("code_version", sa.Text, nullable=False),
        Column("normaliser_version", sa.SmallInteger, nullable=False),
        Column("artifact", sa.Text, nullable=False),
        Column("digest", sa.String(64), nullable=False),
        Column("training", sa.JSON, nullable=False),  # counts, steps, loss history
        Column("trained_at", UTCDateTime, nullable=False),
    ]


text_splits = Table(  # a text's split is decided once and never moves; only an erasure deletes it
    "text_splits",
    metadata,
    Column("content_hash", sa.String(64), primary_key=True),
    Column("split", sa.Text, nullable=False),  # set_aside: it resembles texts of several splits
    Column("first_seen", UTCDateTime, nullable=False),
    # Near-duplicates are found by their shingles, also after the review was deleted at the source. The text can be
    # rebuilt from them.
    Column("shingles", sa.LargeBinary, nullable=False),
    Column("judgements", sa.Integer, nullable=False, server_default="0"),  # number of models judged with this text
    CheckConstraint("split IN ('train', 'validation', 'test', 'set_aside')", name="split"),
)

text_split_reviews = Table(  # an erasure finds by it what the ledger knows of a review, earlier texts included
    "text_split_reviews",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("content_hash", sa.String(64), ForeignKey("text_splits.content_hash"), primary_key=True, index=True),
)

corpora = Table(
    "corpora",
    metadata,
    Column("corpus", sa.Text, primary_key=True),
    Column("idempotency_key", sa.Text, nullable=False, unique=True),  # a retried task finds its corpus
    Column("due", UTCDateTime, nullable=False),
    Column("artifact", sa.Text, nullable=False),
    Column("digest", sa.String(64), nullable=False),
    Column("summary", sa.JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("retired_at", UTCDateTime),  # since then the artifact is deleted; the row stays as a record
)

models = Table(
    "models",
    metadata,
    Column("version", sa.Text, primary_key=True),
    Column("idempotency_key", sa.Text, nullable=False, unique=True),
    Column("corpus", sa.Text, ForeignKey("corpora.corpus"), nullable=False),
    *_training_columns(),
    Column("verdict", sa.Text, CheckConstraint("verdict IN ('promote', 'refuse')", name="verdict")),
)

encoders = Table(  # pretrained on reviews without labels; a training can start from one
    "encoders",
    metadata,
    Column("version", sa.Text, primary_key=True),
    Column("idempotency_key", sa.Text, nullable=False, unique=True),
    *_training_columns(),
    Column("retired_at", UTCDateTime),
)

text_snapshots = Table(  # the texts for a pretraining; erased reviews are removed from them
    "text_snapshots",
    metadata,
    Column("idempotency_key", sa.Text, primary_key=True),  # a retried task finds its snapshot
    Column("texts", sa.Text, nullable=False),  # the artifact's first name: encoders refer to it
    Column("due", UTCDateTime, nullable=False),
    Column("base_model", sa.Text, nullable=False),
    Column("artifact", sa.Text, nullable=False),  # the artifact now, after erasures
    Column("digest", sa.String(64), nullable=False),
    Column("counts", sa.JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("retired_at", UTCDateTime),
)

annotation_suspects = Table(  # labels by people that are probably wrong, judged by the other reviews of the corpus
    "annotation_suspects",
    metadata,
    Column("corpus", sa.Text, ForeignKey("corpora.corpus"), primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    Column("label", sa.SmallInteger, nullable=False),
    Column("suggested_label", sa.SmallInteger, nullable=False),
    Column("label_probability", sa.Double, nullable=False),  # both by models trained without this review
    Column("suggested_probability", sa.Double, nullable=False),
)

model_labels = Table(
    "model_labels",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("label", sa.SmallInteger, primary_key=True),
    Column("label_name", sa.Text, nullable=False),
)

model_variants = Table(  # fp32, bf16, int8 and cascade, each in a folder: those that can serve, and those refused
    "model_variants",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("variant", sa.Text, primary_key=True),
    Column("verdict", sa.Text, CheckConstraint("verdict IN ('proven', 'refused')", name="verdict"), nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("artifact", sa.Text),
    Column("digest", sa.String(64)),
    Column("library", sa.Text, nullable=False),
    Column("agreement", sa.Double),  # share of labels equal to fp32's
    Column("labels_differing", Counter),  # of reviews_compared
    Column("disagreement_bound", sa.Double),  # upper confidence bound of the share of labels that differ
    Column("disagreement_limit", sa.Double),  # what the bound must not exceed
    Column("reviews_compared", Counter),
    Column("reviews_per_second", sa.Double),  # measured in that comparison, on the machine that built it
    Column("escalated_share", sa.Double),  # cascade: of the compared reviews, those that its last stage answered
    Column("stages", sa.JSON(none_as_null=True)),  # cascade: what is in its cascade.json
    Column("temperature", sa.Double, nullable=False),
    Column(
        "score_bins", sa.JSON(none_as_null=True)
    ),  # edges and shares of ten bins of the validation scores, for label_drift
    Column("serves", sa.Boolean, nullable=False),
    Column("withdrawn_at", UTCDateTime),  # since then it serves no more: checks in service found too many other labels
    Column("withdrawn_because", sa.Text),
    Column("retired_at", UTCDateTime),  # fp32: the model's own artifact is the same folder
    CheckConstraint("(verdict = 'proven') = (digest IS NOT NULL)", name="kept"),
    CheckConstraint("verdict = 'proven' OR NOT serves", name="serves"),
    CheckConstraint("(withdrawn_at IS NULL) = (withdrawn_because IS NULL)", name="withdrawn_because"),
    CheckConstraint("withdrawn_at IS NULL OR NOT serves", name="withdrawn"),
)

model_metrics = Table(
    "model_metrics",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),  # the candidate being judged
    Column("subject", sa.Text, primary_key=True),  # candidate, champion, baseline, or a variant of the candidate
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
    Column("reference_version", sa.Text, ForeignKey("models.version")),  # if the reference is a model
    Column("slice", sa.Text),  # NULL: all test rows
    Column("rows", Counter),
    Column("figure", sa.Double),
    Column("bound", sa.Double),  # one-sided confidence bound of the figure, if the rule uses one
    Column("threshold", sa.Double),
    Column("passed", sa.Boolean, nullable=False),
    Column("reason", sa.Text, nullable=False),
)

promotions = Table(  # append-only, except serving_since, which is set once
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
    Column("serving_since", UTCDateTime),  # NULL: waits until every review has its label
    Column("anchors", sa.Boolean, nullable=False),  # later candidates are also compared with it
    CheckConstraint("seq = previous_seq + 1", name="chain"),
    CheckConstraint("kind IN ('gate', 'person', 'overruling', 'rollback')", name="kind"),
)

champion_checks = Table(  # the champion's accuracy on labels newer than its corpus, which judged no model before
    "champion_checks",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("corpus", sa.Text, ForeignKey("corpora.corpus"), primary_key=True),  # the corpus that has these labels
    Column("rows", Counter, nullable=False),
    Column("accuracy", sa.Double),
    Column("macro_f1", sa.Double),
    Column("lower_bound", sa.Double),  # of the accuracy
    Column("upper_bound", sa.Double),
    Column("accuracy_at_promotion", sa.Double),  # on the test split
    Column("alarm", sa.Boolean, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("checked_at", UTCDateTime, nullable=False),
)
