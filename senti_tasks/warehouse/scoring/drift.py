"""Drift: how the reviews of a run differ from those of earlier runs and from the training, in all and by product.

The rows of ``run_drift`` are written when the run is audited, from its staged rows: they describe what came in, also
if the run is held. Everything is added up in the database, so memory does not grow with the run.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from senti_tasks.warehouse import product_names
from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.models import registry
from senti_tasks.warehouse.schema import products, run_drift, staged_labels
from senti_tasks.warehouse.schema.runs import BINS
from senti_tasks.warehouse.scoring import run_figures
from senti_tasks.warehouse.scoring.runs import run

LEAST_REVIEWS = 30
"""Labels that a product needs in a run to have a row of its own."""

_BIN_NAMES = tuple(f"bin_{number}" for number in range(1, BINS + 1))
_BATCH = 500


Judge = Callable[[Mapping[str, Any], Mapping[str, Any] | None], dict[str, Any]]
"""Sums of a part of a run, and the bins of its scores, to the columns ``psi``, ``psi_training`` and ``drift``."""


def record(connection: Connection, run_id: int, judge: Judge) -> int:
    """Writes the rows of ``run_drift`` of a run whose staged rows have passed the audit; they replace earlier ones.

    Nothing is written for a published run, whose staged rows may be gone. Runs of the scope ``rescore`` get rows, but
    no drift: their reviews are those of all times. The caller holds the publication lock. Returns in how many rows some
    bound of ``judge`` is exceeded.
    """
    found = run(connection, run_id)
    if found["state"] in ("published", "abandoned"):
        return 0
    staged = staged_labels.c
    names = sa.select(staged.product).where(staged.run_id == run_id).distinct().subquery("named")
    product_names.record(connection, names)
    bins = registry.score_bins(connection, found["model_version"], found["variant"])
    connection.execute(sa.delete(run_drift).where(run_drift.c.run_id == run_id))
    _add_up(connection, run_id, bins)
    compared = found["scope"] != "rescore"
    before = list(connection.execute(run_figures.runs_before(found)).scalars()) if compared else []
    drifted, after = 0, ("", -1)
    while rows := _rows(connection, run_id, before, after):
        judged = [judge(row, bins) | ({} if compared else {"drift": None}) for row in rows]
        drifted += sum(columns["drift"] is not None for columns in judged)
        key = (run_drift.c.part == sa.bindparam("at_part"), run_drift.c.product_id == sa.bindparam("at_product"))
        update = sa.update(run_drift).where(run_drift.c.run_id == run_id, *key)
        connection.execute(
            update.values({name: sa.bindparam(f"new_{name}") for name in ("psi", "psi_training", "drift")}),
            [
                {
                    "at_part": row["part"],
                    "at_product": row["product_id"],
                    **{f"new_{name}": value for name, value in columns.items()},
                }
                for row, columns in zip(rows, judged, strict=True)
            ],
        )
        after = (rows[-1]["part"], rows[-1]["product_id"])
    return drifted


def _add_up(connection: Connection, run_id: int, bins: Mapping[str, Any] | None) -> None:
    """Inserts the sums over the staged labels of the run: one row in all, and one for each product with enough."""
    staged = staged_labels.c
    number = product_names.number_of()
    labelled = sa.and_(staged.run_id == run_id, staged.label.is_not(None))
    sums = [
        sa.func.count(),
        sa.func.sum(_one_if(staged.label == 0)),
        sa.func.sum(staged.confidence),
        sa.func.sum(staged.confidence * staged.confidence),
        sa.func.sum(staged.characters),
        sa.func.sum(staged.unknown_characters),
        sa.func.sum(sa.case((staged.unlike, 1), (~staged.unlike, 0))),
        sa.func.sum(sa.cast(staged.unlikeness, sa.Double)),
        *_bin_counts(staged.score, bins),
    ]
    in_all = sa.select(sa.literal(run_id), sa.literal("run", sa.Text), sa.literal(0), *sums)
    in_all = in_all.where(labelled).having(sa.func.count() > 0)
    named = staged_labels.outerjoin(products, products.c.product == staged.product)
    by_product = (
        sa.select(sa.literal(run_id), sa.literal("product", sa.Text), number, *sums).select_from(named).where(labelled)
    )
    by_product = by_product.group_by(number).having(sa.func.count() >= LEAST_REVIEWS)
    columns = ["run_id", "part", "product_id", "reviews", "negative", "confidence_sum", "confidence_squares"]
    columns += ["characters", "unknown_characters", "unlike", "unlikeness_sum", *_BIN_NAMES]
    for counted in (in_all, by_product):
        connection.execute(sa.insert(run_drift).from_select(columns, counted))


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return sa.case((condition, 1), else_=0)


def _bin_counts(score: ColumnElement[float], bins: Mapping[str, Any] | None) -> list[ColumnElement[Any]]:
    """For each bin, how many scores are in it. A bin contains its upper edge."""
    if bins is None:
        return [sa.cast(sa.null(), sa.Integer)] * BINS
    edges = bins["edges"]
    conditions: list[ColumnElement[bool]] = []
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        above = sa.true() if low is None else score > low
        conditions.append(above if high is None else sa.and_(above, score <= high))
    counts: list[ColumnElement[Any]] = [sa.func.sum(_one_if(condition)) for condition in conditions]
    return counts + [sa.cast(sa.null(), sa.Integer)] * (BINS - len(counts))


def _rows(connection: Connection, run_id: int, before: Sequence[int], after: tuple[str, int]) -> list[dict[str, Any]]:
    """The next ``_BATCH`` rows of the run after the key ``after``, each with the sums of the same part of the runs
    ``before``, under the same names with ``before_``, and their number (``runs``)."""
    drift = run_drift.c
    summed = ("reviews", "confidence_sum", "confidence_squares", *_BIN_NAMES)
    earlier = (
        sa.select(
            drift.part,
            drift.product_id,
            sa.func.count().label("runs"),
            sa.func.sum(drift.confidence_sum * drift.confidence_sum / drift.reviews).label("before_mean_squares"),
            *(sa.cast(sa.func.sum(drift[name]), sa.Double).label(f"before_{name}") for name in summed),
        )
        .where(drift.run_id.in_(list(before)))
        .group_by(drift.part, drift.product_id)
        .subquery("earlier")
    )
    same = sa.and_(earlier.c.part == drift.part, earlier.c.product_id == drift.product_id)
    others = (column for column in earlier.c if column.name not in ("part", "product_id"))
    next_ones = sa.or_(drift.part > after[0], sa.and_(drift.part == after[0], drift.product_id > after[1]))
    rows = sa.select(run_drift, *others).select_from(run_drift.outerjoin(earlier, same))
    rows = rows.where(drift.run_id == run_id, next_ones)
    return fetch_all(connection, rows.order_by(drift.part, drift.product_id).limit(_BATCH))


def newest(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """The rows of ``label_drift`` with drift of the run that was audited last, as ``of_run`` orders them; at most
    ``limit``."""
    last = connection.scalar(sa.select(sa.func.max(run_drift.c.run_id)))
    rows = [] if last is None else of_run(connection, last, limit=limit)
    return [row for row in rows if row["drift"] is not None]


def before(connection: Connection, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of ``label_drift`` for all of each of the runs with which the run ``found`` was compared, the oldest
    first."""
    runs = sa.select(run_figures.runs_before(found).subquery("before").c.run_id)
    view = sa.table("label_drift", sa.column("run_id"), sa.column("part"))
    shown = sa.select(sa.text("*")).select_from(view).where(view.c.run_id.in_(runs), view.c.part == "run")
    return fetch_all(connection, shown.order_by(view.c.run_id))


def of_run(connection: Connection, run_id: int, *, limit: int) -> list[dict[str, Any]]:
    """The rows of the view ``label_drift`` of a run: the one in all first, then the products, those with drift and the
    furthest from earlier runs first; at most ``limit``."""
    view = sa.table("label_drift", *map(sa.column, ("run_id", "part", "drift", "psi", "unlike_share", "product")))
    far = sa.func.coalesce(view.c.psi, 0) + sa.func.coalesce(view.c.unlike_share, 0)
    order = (_one_if(view.c.part == "product"), _one_if(view.c.drift.is_(None)), far.desc(), view.c.product)
    shown = sa.select(sa.text("*")).select_from(view).where(view.c.run_id == run_id).order_by(*order).limit(limit)
    return fetch_all(connection, shown)
