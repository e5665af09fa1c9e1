"""Scoring runs: plans, shards, staged labels and the publication lock."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table

from senti_tasks.warehouse.schema.metadata import Counter, TextHash, metadata
from senti_tasks.warehouse.types import ReviewId, SourceTimestamp, UTCDateTime

scoring_runs = Table(
    "scoring_runs",
    metadata,
    Column("run_id", Counter, primary_key=True),
    Column("idempotency_key", sa.Text, nullable=False, unique=True),  # a retried task finds its run
    Column("series", sa.Text, nullable=False),  # the runs over ranges of keys that one call opened
    Column("scope", sa.Text, nullable=False),
    Column("model_version", sa.Text, ForeignKey("models.version"), nullable=False),
    Column("variant", sa.Text, nullable=False),
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
    Column("after_id", ReviewId),  # a run over a range of keys has those above after_id
    Column("through_id", ReviewId),  # up to and including through_id
    Column("late", Counter),  # of scope reconcile: planned reviews that runs of scope new had missed
    Column("seconds", sa.Double),  # from opening to publication
    Column("overruled", sa.Text),  # the checks that a person overruled, and what they found
    Column("overruled_by", sa.Text),
    Column("overruled_reason", sa.Text),
    Column("held_at", UTCDateTime),  # since then its reviews are kept from other runs, until it is finished
    Column("held_because", sa.Text),  # the checks that hold it, and what they found
    Column("planned_from", UTCDateTime),  # the model's watermark when the run was planned
    Column("fell_back", sa.Text),  # why it scores without the cascade that the model was judged with
    CheckConstraint("scope IN ('new', 'all', 'rescore', 'reconcile')", name="scope"),
    CheckConstraint("state IN ('open', 'planned', 'audited', 'held', 'published', 'abandoned')", name="state"),
    CheckConstraint("(state = 'published') = (publish_seq IS NOT NULL)", name="published"),
    CheckConstraint("state <> 'held' OR held_at IS NOT NULL", name="held"),
    CheckConstraint("(held_at IS NULL) = (held_because IS NULL)", name="held_because"),
    Index("ix_scoring_runs_series", "series"),
)

scoring_watermarks = Table(  # every review that changed up to the watermark was planned and published
    "scoring_watermarks",
    metadata,
    Column("model_version", sa.Text, ForeignKey("models.version"), primary_key=True),
    Column("watermark", UTCDateTime, nullable=False),
)

run_summaries = Table(  # label counts of a published run: audits of later runs compare with them
    "run_summaries",
    metadata,
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id"), primary_key=True),
    Column("label", sa.SmallInteger, primary_key=True),
    Column("labels", Counter, nullable=False),
    Column("confidence_sum", sa.Double, nullable=False),
    Column("confidence_squares", sa.Double, nullable=False),
)

BINS = 10
"""Bins of the score in ``run_drift``."""

run_drift = Table(  # what a run's reviews looked like, in all and by product: later runs are compared with it
    "run_drift",
    metadata,
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id"), primary_key=True),
    Column("part", sa.Text, primary_key=True),
    Column("product_id", sa.Integer, primary_key=True),  # 0 for the part run
    Column("reviews", Counter, nullable=False),  # with a label
    Column("negative", Counter, nullable=False),
    Column("confidence_sum", sa.Double, nullable=False),
    Column("confidence_squares", sa.Double, nullable=False),
    Column("characters", Counter),
    Column("unknown_characters", Counter),
    Column("unlike", Counter),
    Column("unlikeness_sum", sa.Double),
    *(Column(f"bin_{number}", Counter) for number in range(1, BINS + 1)),  # reviews by score; NULL: no bins are known
    Column("psi", sa.Double),  # against the earlier runs
    Column("psi_training", sa.Double),  # against the validation split
    Column("drift", sa.Text),  # which bounds are exceeded; NULL: none
    CheckConstraint("part IN ('run', 'product')", name="part"),
)

run_checks = Table(  # of a run of a cascade: what the last stage says to a random sample of the other stages' answers
    "run_checks",
    metadata,
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id"), primary_key=True),
    Column("answered", Counter, nullable=False),  # reviews that the run scored
    Column("escalated", Counter, nullable=False),  # those that the last stage answered
    Column("checked", Counter, nullable=False),  # of the others, those in the sample
    Column("differing", Counter, nullable=False),  # of these, those to which the last stage gives another label
    *(Column(f"{name}disagreement{bound}", sa.Double) for name in ("", "recent_") for bound in ("", "_least", "_most")),
    Column("recent_runs", sa.Integer, nullable=False),  # this run and those before it that the recent figures are of
    Column("disagreement_limit", sa.Double, nullable=False),
    Column("alarm", sa.Text),  # which figures break the limit; NULL: none
    CheckConstraint("escalated + checked <= answered AND differing <= checked", name="counts"),
)

run_items = Table(  # the plan: which version of which review is in which shard, a contiguous range of keys
    "run_items",
    metadata,
    Column("run_id", Counter, primary_key=True),
    Column("shard", sa.SmallInteger, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    Column("review_updated_at", SourceTimestamp, nullable=False),
    postgresql_partition_by="LIST (run_id)",
)

run_shards = Table(
    "run_shards",
    metadata,
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id"), primary_key=True),
    Column("shard", sa.SmallInteger, primary_key=True),
    Column("planned", Counter, nullable=False),
    Column("attempt", sa.Integer, nullable=False, server_default="0"),  # the fencing token: each claim raises it
    Column("accepted_attempt", sa.Integer),  # set once, when all chunks are staged
    Column("cursor", ReviewId),  # the last review_id staged: the next attempt continues after it
    Column("lease_until", UTCDateTime),  # until then, other processes leave the shard to its attempt
    Column("claimed_at", UTCDateTime),  # when the present attempt began
    Column("accepted_at", UTCDateTime),
    CheckConstraint("accepted_attempt <= attempt", name="accepted"),
)

staged_labels = Table(  # append-only, and without an index, so that inserts are fast
    "staged_labels",
    metadata,
    Column("run_id", Counter, nullable=False),
    Column("shard", sa.SmallInteger, nullable=False),
    Column("attempt", sa.Integer, nullable=False),
    Column("review_id", ReviewId, nullable=False),
    Column("text_hash", TextHash, nullable=False),
    Column("label", sa.SmallInteger),
    Column("score", sa.Double),
    Column("confidence", sa.Double),
    Column("truncated", sa.Boolean, nullable=False),
    Column("local_day", sa.Date, nullable=False),
    Column("product", sa.Text),
    Column("scored_at", UTCDateTime, nullable=False),
    Column("reason", sa.Text),  # why the review could not be scored
    Column("characters", sa.Integer),  # NULL: the model has no profile of its training texts
    Column("unknown_characters", sa.Integer),  # characters for which the model has no token
    Column("unlike", sa.Boolean),  # the text is unlike those of the training
    Column("unlikeness", sa.REAL),  # how unlike: mean 0 and standard deviation 1 on the validation split
    Column("escalated", sa.Boolean),  # the last stage of a cascade answered; NULL: no cascade, or a known answer
    Column("checked_label", sa.SmallInteger),  # the label of its last stage, for an answer in the sample
    CheckConstraint("(label IS NULL) = (reason IS NOT NULL)", name="answer"),
    postgresql_partition_by="LIST (run_id)",
)

publication_lock = Table(  # one row; its row lock makes publications run one after the other
    "publication_lock",
    metadata,
    Column("id", sa.SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("publish_seq", Counter, nullable=False),
    Column("frozen_at", UTCDateTime),  # NULL: publishing is not frozen
    Column("frozen_by", sa.Text),
    Column("frozen_reason", sa.Text),
)

decisions = Table(  # append-only: what people decided that no other table records
    "decisions",
    metadata,
    Column("decision", Counter, primary_key=True),
    Column("kind", sa.Text, nullable=False),
    Column("run_id", Counter, ForeignKey("scoring_runs.run_id")),  # of a run that was given up
    Column("actor", sa.Text, nullable=False),
    Column("reason", sa.Text),
    Column("at", UTCDateTime, nullable=False),
    CheckConstraint("kind IN ('freeze', 'unfreeze', 'give_up')", name="kind"),
    CheckConstraint("(kind = 'give_up') = (run_id IS NOT NULL)", name="subject"),
)

told_events = Table(  # events that people got an alert about
    "told_events",
    metadata,
    Column("event", sa.Text, primary_key=True),
    Column("kind", sa.Text, nullable=False),
    Column("told_at", UTCDateTime, nullable=False),
)
