"""Audits a run's staged labels and publishes them in one transaction, so that analysts see all of a run or nothing."""

from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import AuditError, RunStateError
from senti_tasks.warehouse import partitions, product_names
from senti_tasks.warehouse.database import fetch_all, insert
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import (
    erased_reviews,
    products,
    review_labels,
    reviews,
    run_items,
    run_shards,
    run_summaries,
    scoring_errors,
    scoring_runs,
    staged_labels,
)
from senti_tasks.warehouse.scoring import held_runs, merging, publication_lock, series, watermarks
from senti_tasks.warehouse.scoring.runs import run

OFFENDERS_SHOWN = 5


def audit(
    connection: Connection, run_id: int, *, anyway: str | None = None, actor: str | None = None
) -> dict[str, Any]:
    """Runs every check of ``sql/checks`` on the run's staged labels, and marks the run as audited if all pass.

    The checks in ``sql/checks/usual`` compare the run with the 28 before it. A person may overrule them: ``anyway`` is
    the reason, ``actor`` the person. Both are recorded with what the checks found, and from then on these checks are
    skipped for this run, e.g. when it waits for the end of a freeze. The other checks are conditions for publishing
    and cannot be overruled.
    Returns run_id, checks (their names) and unusual: what the checks of ``sql/checks/usual`` found, or ``None``. If
    they found something, the run is not marked as audited, and the caller must hold it (``held_runs.hold``). A held run
    is not compared again: the same findings are returned until a person overrules them.
    Raises ``RunStateError`` for a run that is not planned or was abandoned, and ``AuditError`` with each other check
    that failed and its first offending rows. A published run is not audited again.
    """
    publication_lock.take(connection)  # or another process could publish the run and drop its staged rows meanwhile
    found = run(connection, run_id)
    state = found["state"]
    if state in ("open", "abandoned"):
        raise RunStateError(f"run {run_id} is {state}: there is nothing to audit")
    strict, usual = sorted((SQL / "checks").glob("*.sql")), sorted((SQL / "checks" / "usual").glob("*.sql"))
    result = {"run_id": run_id, "checks": [path.stem for path in (*strict, *usual)], "unusual": None}
    if state == "published":
        return result
    partitions.analyze(connection, staged_labels, run_id)
    if failures := _failures(connection, run_id, strict):
        raise AuditError(
            f"run {run_id} was not published, and yesterday's labels stand: {' | '.join(failures)}. "
            "The staged rows are kept in staged_labels; each check is a query in sql/checks that returns "
            f"offenders; `senti score --run {run_id} --restart` gives the run up, and another one answers its reviews"
        )
    if state == "held":
        unusual = found["held_because"]
    else:
        unusual = None if found["overruled"] else " | ".join(_failures(connection, run_id, usual)) or None
    if unusual is not None and anyway is None:
        return {**result, "unusual": unusual}
    unpublished = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state.in_(["planned", "audited", "held"]))
    values: dict[str, str | None] = {"state": "audited"}
    if unusual is not None:
        values |= {"overruled": unusual, "overruled_by": actor, "overruled_reason": anyway}
    connection.execute(sa.update(scoring_runs).where(unpublished).values(values))
    return result


def _failures(connection: Connection, run_id: int, checks: list[Path]) -> list[str]:
    """The name of each check that returned rows, with the first ``OFFENDERS_SHOWN`` of them."""
    failures = []
    for path in checks:
        offenders = connection.execute(sa.text(path.read_text("utf-8")), {"run_id": run_id})
        if rows := offenders.fetchmany(OFFENDERS_SHOWN + 1):
            shown = "; ".join(str(dict(row._mapping)) for row in rows[:OFFENDERS_SHOWN])
            more = ", and more" if len(rows) > OFFENDERS_SHOWN else ""
            failures.append(f"{path.stem}: {shown}{more}")
    return failures


def publish(connection: Connection, run_id: int, *, now: datetime) -> dict[str, Any]:
    """Merges the run's accepted labels into ``review_labels`` and records the run as published; returns its row.

    A label of an older text never replaces one of a newer text. A label that is replaced because the text was edited
    moves to ``review_label_history``. Reviews that belong to an earlier held run are left out, and count as superseded.
    Publishing twice changes nothing. Raises ``RunStateError`` if the run is not audited, and ``FrozenError`` if
    publishing is frozen.
    """
    lock = publication_lock.take(connection)
    found = run(connection, run_id)
    if found["state"] == "published":
        return found
    if found["state"] != "audited":
        raise RunStateError(f"run {run_id} is {found['state']}, and only an audited run can be published")
    publication_lock.require_unfrozen(lock, run_id)
    seq = lock["publish_seq"] + 1
    again = found["scope"] == "all"
    product_names.record(connection, _staged_products(run_id))
    publishing = merging.merge(connection, _decide(_accepted(connection, found), again=again), seq)
    _record_errors(connection, publishing, now, again=again)
    counts = _summarise(connection, run_id, publishing)
    publishing.drop(connection)
    published = {
        "state": "published",
        "publish_seq": seq,
        "published_at": now,
        "seconds": (now - found["opened_at"]).total_seconds(),
        **counts,
        "superseded": found["planned"] - counts["labelled"] - counts["failed"],
    }
    connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == run_id).values(published))
    publication_lock.advance(connection, seq)
    if not series.others_left(connection, found):
        _advance_watermark(connection, found)
    return run(connection, run_id)


def _advance_watermark(connection: Connection, found: dict[str, Any]) -> None:
    """Moves the watermark to the time for which the series of the run was due, unless a held run was given up since the
    series was planned.

    That moved the watermark back behind ``planned_from``, and this series has not planned the reviews in between.
    """
    model, planned_from = found["model_version"], series.planned_from(connection, found)
    present = watermarks.of(connection, model)
    if planned_from is None or present is None or present >= planned_from:
        watermarks.advance(connection, model, min(found["due"], found["opened_at"]))


def _staged_products(run_id: int) -> sa.Subquery:
    return sa.select(staged_labels.c.product).where(staged_labels.c.run_id == run_id).distinct().subquery("named")


def _accepted(connection: Connection, found: dict[str, Any]) -> sa.Subquery:
    """The run's staged rows in accepted shards, each with the planned version of its text (``review_updated_at``).

    Reviews that were erased after planning are left out, and those that both this run and an earlier held run planned.
    """
    staged, item, shard, erased = staged_labels.c, run_items.c, run_shards.c, erased_reviews.c
    same_shard = sa.and_(shard.run_id == staged.run_id, shard.shard == staged.shard)
    same_item = sa.and_(item.run_id == staged.run_id, item.shard == staged.shard, item.review_id == staged.review_id)
    accepted = (
        sa.select(
            sa.literal(found["model_version"], sa.Text).label("model_version"),
            sa.literal(found["variant"], sa.Text).label("variant"),
            sa.cast(sa.null(), sa.Text).label("carried_from"),
            item.review_updated_at,
            product_names.number_of().label("product_id"),
            *(column for column in staged if column.name not in ("shard", "attempt", "product")),
        )
        .join_from(staged_labels, run_items, same_item)
        .join(run_shards, same_shard)
        .outerjoin(products, products.c.product == staged.product)
        .outerjoin(erased_reviews, erased.review_id == staged.review_id)
        .where(staged.run_id == found["run_id"], shard.accepted_attempt.is_not(None), erased.review_id.is_(None))
    )
    if held := held_runs.before(connection, found):
        accepted = accepted.where(~held_runs.owned(held, item.review_id, item.review_updated_at))
    return accepted.subquery("answers")


def _decide(answers: sa.Subquery, *, again: bool) -> sa.Select[Any]:
    """Adds two columns to ``answers``: ``publishes`` (the label is to be published) and ``replaces`` (an older label).

    A label is published if the review has no label or an older one.
    A label is older if its version is earlier than the answer's, or if it is not the version now in ``reviews``. The
    second case covers a restored backup, where versions go backwards. A label of the same version is replaced if
    ``again``, or if it was carried over from another model. The publication lock is held, so the decision still holds
    when the labels are written.
    """
    old, answer = review_labels, answers.c
    other = answer.review_updated_at != old.c.review_updated_at
    # A subquery instead of a join: it is computed only for the few reviews that have a label of another version.
    present = sa.select(reviews.c.updated_at).where(reviews.c.review_id == answer.review_id).scalar_subquery()
    newer = sa.or_(
        old.c.review_id.is_(None),
        sa.and_(
            answer.review_updated_at > old.c.review_updated_at,
            sa.func.coalesce(old.c.review_updated_at != present, sa.true()),
        ),
        *([~other] if again else []),
        sa.and_(other, answer.review_updated_at == present),
        sa.and_(~other, old.c.carried_from.is_not(None)),
    )
    same_review = sa.and_(old.c.model_version == answer.model_version, old.c.review_id == answer.review_id)
    publishes = sa.and_(answer.label.is_not(None), sa.func.coalesce(newer, sa.false()))
    return sa.select(
        *(answer[name] for name in merging.LABEL_COLUMNS),
        answer.reason,
        publishes.label("publishes"),
        sa.and_(publishes, old.c.review_id.is_not(None)).label("replaces"),
    ).select_from(answers.outerjoin(old, same_review))


def _record_errors(connection: Connection, publishing: sa.Table, now: datetime, *, again: bool) -> None:
    new, old = publishing.c, scoring_errors.c
    names = ["model_version", "review_id", "review_updated_at", "text_hash", "reason", "run_id"]
    failed = sa.select(*(new[name] for name in names), sa.literal(now, old.failed_at.type))
    errors = insert(connection, scoring_errors).from_select(
        [*names, "failed_at"], failed.where(new.reason.is_not(None))
    )
    connection.execute(errors.on_conflict_do_nothing())
    if again:  # a run of the scope ``all`` may label reviews that had an error before
        same_text = sa.and_(*(new[name] == old[name] for name in ("model_version", "review_id", "review_updated_at")))
        connection.execute(sa.delete(scoring_errors).where(sa.exists().where(new.publishes, same_text)))


def _summarise(connection: Connection, run_id: int, publishing: sa.Table) -> dict[str, int]:
    """Records the counts of the run by label; audits of later runs compare with them. Returns how many reviews the run
    labelled, how many failed, and of how many the text was truncated."""
    answer, total = publishing.c, sa.func.sum
    by_label = sa.select(
        answer.label,
        sa.func.count().label("labels"),
        total(answer.confidence).label("confidence_sum"),
        total(answer.confidence * answer.confidence).label("confidence_squares"),
        total(sa.case((answer.truncated, 1), else_=0)).label("truncated"),
    ).group_by(answer.label)
    rows = fetch_all(connection, by_label)
    counts = {
        "labelled": sum(row["labels"] for row in rows if row["label"] is not None),
        "failed": sum(row["labels"] for row in rows if row["label"] is None),
        "truncated": sum(row.pop("truncated") for row in rows),
    }
    if summaries := [{"run_id": run_id, **row} for row in rows if row["label"] is not None]:
        connection.execute(sa.insert(run_summaries), summaries)
    return counts


def sweep(connection: Connection) -> None:
    """Deletes the plans and staged rows of runs that were published or abandoned: no later step reads them."""
    publication_lock.take(connection)  # two processes cannot drop the same partition
    finished = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.state.in_(["published", "abandoned"]))
    for table in (staged_labels, run_items):
        stored = sorted(int(key) for key in partitions.keys(connection, table))
        for run_id in connection.execute(finished.where(scoring_runs.c.run_id.in_(stored))).scalars().all():
            partitions.drop(connection, table, run_id)
