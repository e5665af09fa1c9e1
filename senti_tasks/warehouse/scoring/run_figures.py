"""Figures about one run for people. Everything is added up in the database: a run may have millions of reviews."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError
from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.schema import (
    product_rollups,
    products,
    review_labels,
    run_shards,
    run_summaries,
    scoring_errors,
    scoring_runs,
    staged_labels,
)

RUNS_COMPARED = 28
"""As in ``sql/checks/usual``."""
PRODUCTS_SHOWN = 15
LEAST_LABELS = 10
"""Labels of a product, in this run and in the others, that a comparison needs."""
MOVED_Z = 3
"""Standard errors by which a product has moved: of 1,000 products that did not, fewer than 3 are shown."""


def newest(connection: Connection) -> int:
    """The run that was published or held last. Raises ``RunStateError`` if there is none."""
    shown = sa.select(sa.func.max(scoring_runs.c.run_id)).where(scoring_runs.c.state.in_(["published", "held"]))
    found: int | None = connection.scalar(shown)
    if found is None:
        raise RunStateError(
            "no run was published or held yet, so there is nothing to report: `senti score` labels the reviews"
        )
    return found


def newest_series(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The ``limit`` series that were opened last, the newest first: a re-scoring has hundreds of runs, and is one.

    Each has series, scope, model_version, opened_at, published_at (of its last run), runs (how many), run_id (of its
    last run), planned, labelled, failed, the numbers of its runs in each state (open, planned, audited, held,
    published, abandoned), and shards and finished_shards of its runs.
    """
    run, shard = scoring_runs.c, run_shards.c
    states = ("open", "planned", "audited", "held", "published", "abandoned")
    sums = (sa.func.sum(sa.func.coalesce(run[name], 0)).label(name) for name in ("planned", "labelled", "failed"))
    in_state = (sa.func.sum(sa.case((run.state == state, 1), else_=0)).label(f"{state}_runs") for state in states)
    grouped = (
        sa.select(
            run.series,
            sa.func.min(run.scope).label("scope"),
            sa.func.min(run.model_version).label("model_version"),
            sa.func.min(run.opened_at).label("opened_at"),
            sa.func.max(run.published_at).label("published_at"),
            sa.func.count().label("runs"),
            sa.func.max(run.run_id).label("run_id"),
            *sums,
            *in_state,
        )
        .group_by(run.series)
        .order_by(sa.func.max(run.run_id).desc())
        .limit(limit)
    )
    found = fetch_all(connection, grouped)
    finished = sa.func.sum(sa.case((shard.accepted_attempt.is_not(None), 1), else_=0)).label("finished_shards")
    counted = sa.select(run.series, sa.func.count().label("shards"), finished)
    counted = counted.join_from(run_shards, scoring_runs, run.run_id == shard.run_id)
    counted = counted.where(run.series.in_([row["series"] for row in found])).group_by(run.series)
    shards = {row["series"]: row for row in fetch_all(connection, counted)}
    return [{**row, **shards.get(row["series"], {"shards": 0, "finished_shards": 0})} for row in found]


def progress(connection: Connection, run_id: int) -> dict[str, Any]:
    """shards, attempts (more than the shards if some were repeated), claimed_at (of the first) and accepted_at (of the
    last); the times are ``None`` before the shards were scored."""
    shard = run_shards.c
    counted = sa.select(
        sa.func.count().label("shards"),
        sa.func.sum(shard.attempt).label("attempts"),
        sa.func.min(shard.claimed_at).label("claimed_at"),
        sa.func.max(shard.accepted_at).label("accepted_at"),
    ).where(shard.run_id == run_id)
    (found,) = fetch_all(connection, counted)
    return found


def labels(connection: Connection, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """label, labels and confidence_sum of the run ``found``, in order of the labels: those that it published, or else
    those that it has staged."""
    if found["state"] == "published":
        summary = run_summaries.c
        shown = sa.select(summary.label, summary.labels, summary.confidence_sum).where(
            summary.run_id == found["run_id"]
        )
        return fetch_all(connection, shown.order_by(summary.label))
    staged = staged_labels.c
    counted = sa.select(
        staged.label, sa.func.count().label("labels"), sa.func.sum(staged.confidence).label("confidence_sum")
    )
    counted = counted.where(staged.run_id == found["run_id"], staged.label.is_not(None))
    return fetch_all(connection, counted.group_by(staged.label).order_by(staged.label))


def runs_before(found: Mapping[str, Any]) -> sa.Select[Any]:
    """run_id and publish_seq of the last ``RUNS_COMPARED`` runs of the scope ``new`` that the model published before
    the run ``found``, the newest first."""
    run = scoring_runs.c
    before = sa.select(run.run_id, run.publish_seq).where(
        run.model_version == found["model_version"], run.state == "published", run.scope == "new", run.labelled > 0
    )
    if found["publish_seq"] is not None:
        before = before.where(run.publish_seq < found["publish_seq"])
    return before.order_by(run.publish_seq.desc()).limit(RUNS_COMPARED)


def earlier(connection: Connection, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """run_id, label, labels, confidence_sum and confidence_squares of the last ``RUNS_COMPARED`` runs of the scope
    ``new`` that the model published before the run ``found``, the oldest first. A label that a run did
    not give has no row."""
    summary = run_summaries.c
    last = runs_before(found).subquery("before")
    rows = sa.select(summary.run_id, summary.label, summary.labels, summary.confidence_sum, summary.confidence_squares)
    rows = rows.join_from(run_summaries, last, last.c.run_id == summary.run_id)
    return fetch_all(connection, rows.order_by(last.c.publish_seq, summary.label))


def failures(connection: Connection, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """reason and reviews of what the run could not label, the most frequent first; at most
    ``PRODUCTS_SHOWN`` reasons."""
    table = scoring_errors if found["state"] == "published" else staged_labels
    reason, reviews = table.c.reason, sa.func.count().label("reviews")
    counted = sa.select(reason, reviews).where(table.c.run_id == found["run_id"], reason.is_not(None))
    if table is scoring_errors:
        counted = counted.where(table.c.model_version == found["model_version"])
    return fetch_all(connection, counted.group_by(reason).order_by(reviews.desc(), reason).limit(PRODUCTS_SHOWN))


def distinct_texts(connection: Connection, found: Mapping[str, Any]) -> int:
    """How many different texts the labels of the run have. Each further occurrence of a text got the label of the first
    one, without being scored again."""
    of_run = _labels_of(connection, found).subquery("of_run")
    return connection.scalar(sa.select(sa.func.count(sa.distinct(of_run.c.text_hash)))) or 0


def moved_products(connection: Connection, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Products whose share of negative labels in this run differs by more than ``MOVED_Z`` standard errors from that of
    the other labels of the model, the furthest first; at most ``PRODUCTS_SHOWN``.

    Each has product, labels, negative_share, labels_before, negative_share_before and z. Reviews without a product
    are one of them, with the product ``None``.
    """
    of_run, rollup = _labels_of(connection, found).subquery("of_run"), product_rollups.c
    counted, negative = sa.func.count(), sa.func.sum(sa.case((of_run.c.label == 0, 1), else_=0))
    by_product = sa.select(of_run.c.product_id, counted.label("n"), negative.label("negative"))
    here = by_product.group_by(of_run.c.product_id).having(counted >= LEAST_LABELS).subquery("here")
    reviews, negatives = sa.func.sum(rollup.reviews), sa.func.sum(rollup.negative)
    sums = sa.select(rollup.product_id, reviews.label("n"), negatives.label("negative"))
    known = sums.where(rollup.model_version == found["model_version"]).group_by(rollup.product_id).subquery("known")
    own = 1 if found["state"] == "published" else 0  # the sums include a published run
    n, other = sa.cast(here.c.n, sa.Double), sa.func.nullif(sa.cast(known.c.n - own * here.c.n, sa.Double), 0.0)
    share, share_before = here.c.negative / n, (known.c.negative - own * here.c.negative) / other
    pooled = (known.c.negative + (1 - own) * here.c.negative + 1.0) / (n + other + 2.0)
    z_squared = (share - share_before) * (share - share_before) / (pooled * (1 - pooled) * (1 / n + 1 / other))
    compared = (
        sa.select(
            products.c.product,
            here.c.n.label("labels"),
            share.label("negative_share"),
            (known.c.n - own * here.c.n).label("labels_before"),
            share_before.label("negative_share_before"),
            z_squared.label("z_squared"),
        )
        .join_from(here, known, known.c.product_id == here.c.product_id)
        .join(products, products.c.product_id == here.c.product_id)
        .where(known.c.n - own * here.c.n >= LEAST_LABELS)
        .subquery("compared")
    )
    far = sa.select(compared).where(compared.c.z_squared > MOVED_Z**2)
    rows = fetch_all(connection, far.order_by(compared.c.z_squared.desc(), compared.c.product).limit(PRODUCTS_SHOWN))
    for row in rows:
        size = float(row.pop("z_squared")) ** 0.5
        row["z"] = size if row["negative_share"] > row["negative_share_before"] else -size
    return rows


def _labels_of(connection: Connection, found: Mapping[str, Any]) -> sa.Select[Any]:
    """label, text_hash and product_id of the labels of the run ``found``, published or staged."""
    if found["state"] == "published":
        label = review_labels.c
        model: sa.ColumnElement[str] = label.model_version
        if connection.dialect.name == "sqlite":  # through its index, reading the labels would be ten times as slow
            model = sa.func.coalesce(model, "")
        of_run = sa.select(label.label, label.text_hash, label.product_id)
        return of_run.where(model == found["model_version"], label.run_id == found["run_id"])
    staged = staged_labels.c
    number = sa.case((staged.product.is_(None), 0), else_=products.c.product_id).label("product_id")
    of_run = sa.select(staged.label, staged.text_hash, number)
    of_run = of_run.select_from(staged_labels.outerjoin(products, products.c.product == staged.product))
    return of_run.where(staged.run_id == found["run_id"], staged.label.is_not(None))
