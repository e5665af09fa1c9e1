"""Corpora, models, their judgement and their promotions."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Table

from senti_tasks.warehouse.schema.metadata import Counter, metadata
from senti_tasks.warehouse.types import ReviewId, UTCDateTime

text_splits = Table(  # append-only: a text's split is decided once and never moves
    "text_splits",
    metadata,
    Column("content_hash", sa.String(64), primary_key=True),
    Column("split", sa.Text, nullable=False),  # set_aside: it resembles texts of several splits
    Column("first_seen", UTCDateTime, nullable=False),
    Column(
        "shingles", sa.LargeBinary, nullable=False
    ),  # what near-duplicates are recognised by, also when the review is gone
    Column("judgements", sa.Integer, nullable=False, server_default="0"),  # of models that its label has judged
    CheckConstraint("split IN ('train', 'validation', 'test', 'set_aside')", name="split"),
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
)

models = Table(
    "models",
    metadata,
    Column("version", sa.Text, primary_key=True),
    Column("idempotency_key", sa.Text, nullable=False, unique=True),
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
    Column("idempotency_key", sa.Text, nullable=False, unique=True),
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

text_snapshots = Table(  # what an encoder is pretrained on; erased reviews are taken out of it
    "text_snapshots",
    metadata,
    Column("idempotency_key", sa.Text, primary_key=True),  # a retried task finds its snapshot
    Column("texts", sa.Text, nullable=False),  # the first name of the artifact: encoders refer to it
    Column("due", UTCDateTime, nullable=False),
    Column("base_model", sa.Text, nullable=False),
    Column("artifact", sa.Text, nullable=False),  # what is left of it
    Column("digest", sa.String(64), nullable=False),
    Column("counts", sa.JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

annotation_suspects = Table(  # labels by people that are probably wrong, as the other reviews of the corpus suggest
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

model_variants = Table(  # what can serve: fp32, bf16, int8, each a folder of its own; and what was refused, and why
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
    Column("subject", sa.Text, primary_key=True),  # candidate, champion or baseline; or a variant of the candidate
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
    Column("anchors", sa.Boolean, nullable=False),  # later candidates are compared with it too
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
    Column("accuracy_at_promotion", sa.Double),  # on its test split, when it was judged
    Column("alarm", sa.Boolean, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("checked_at", UTCDateTime, nullable=False),
)
